//! Workers as NATS micro services, so that `nats service ls` and `nats service info` show them.

use std::collections::HashMap;

use async_nats::service::ServiceExt as _;
use baton_envelope::control::Fenced;
use baton_envelope::{Declaration, IntentId};
use futures::StreamExt as _;

use crate::error::Error;
use crate::server::WorkerMesh;

/// The service name under which all workers of all agents register.
pub(crate) const SERVICE: &str = "baton-agent";

/// A registration that lasts as long as this value.
#[derive(Debug)]
pub struct ServiceRegistration {
    task: tokio::task::JoinHandle<()>,
}

impl Drop for ServiceRegistration {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl WorkerMesh {
    /// Registers a worker. Its one endpoint answers with its declaration, and hears which hops are the worker's no longer:
    /// `told` gets the intents.
    ///
    /// # Errors
    /// When the service cannot be started.
    pub async fn register_service(
        &self,
        declaration: &Declaration,
        told: impl Fn(&[IntentId]) + Send + Sync + 'static,
    ) -> Result<ServiceRegistration, Error> {
        let failed = |error: async_nats::Error| Error::api("registering the service", error);
        let metadata = HashMap::from([
            ("agent".to_owned(), declaration.agent.to_string()),
            ("version".to_owned(), declaration.version.to_string()),
            ("instance".to_owned(), declaration.instance.clone()),
            ("capabilities".to_owned(), declaration.capabilities.join(",")),
            (
                "protocol".to_owned(),
                format!("{} - {}", declaration.protocol.oldest, declaration.protocol.newest),
            ),
            ("namespace".to_owned(), self.subjects().namespace().to_string()),
        ]);
        let service = self
            .client()
            .service_builder()
            .description(format!("Baton worker of agent {}", declaration.agent))
            .metadata(metadata.clone())
            .start(SERVICE, declaration.version.to_string())
            .await
            .map_err(failed)?;
        let subject = format!(
            "{}.agent.{}.{}.{}",
            self.subjects().namespace(),
            declaration.agent,
            declaration.version.token(),
            declaration.instance
        );
        let mut endpoint = service
            .endpoint_builder()
            .name("status")
            .metadata(metadata)
            .add(subject)
            .await
            .map_err(failed)?;
        let body = serde_json::to_vec(declaration).map_err(|error| Error::api("encoding a declaration", error))?;
        let task = tokio::spawn(async move {
            // The service answers as long as this task holds it.
            let _service = service;
            while let Some(request) = endpoint.next().await {
                if let Ok(Fenced { fenced }) = serde_json::from_slice(&request.message.payload) {
                    told(&fenced);
                    continue;
                }
                if let Err(error) = request.respond(Ok(body.clone().into())).await {
                    tracing::debug!(%error, "cannot answer a status request");
                }
            }
        });
        Ok(ServiceRegistration { task })
    }
}
