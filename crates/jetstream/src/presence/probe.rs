//! Whether a worker is alive, asked of the worker and of the server, and which workers there are.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use async_nats::{Request, RequestErrorKind};
use baton_envelope::{AgentName, AgentVersion, Declaration};
use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use serde::Deserialize;

use super::service::SERVICE;
use crate::error::{Error, Source};
use crate::server::ControllerMesh;

/// How long a worker may take to answer.
const PATIENCE: Duration = Duration::from_secs(1);

/// Whether one worker process is alive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Alive {
    /// It answered.
    Yes,
    /// The server has no connection that would answer: the process ended, or lost its connection.
    Gone,
    /// No answer in time: the worker is frozen or cut off, or the server is unreachable from here.
    Silent,
}

/// The part of a micro service's description that is needed here.
#[derive(Deserialize)]
struct Info {
    #[serde(default)]
    metadata: Option<HashMap<String, String>>,
}

impl ControllerMesh {
    /// Whether a worker process is alive. A killed process is `Gone` within milliseconds; a machine that lost its power
    /// is `Silent` until the server misses it.
    pub async fn is_worker_alive(&self, agent: &AgentName, version: &AgentVersion, instance: &str) -> Alive {
        let request = Request::new().timeout(Some(PATIENCE));
        let subject = self.subjects().instance(agent, version, instance);
        match self.client().send_request(subject, request).await {
            Ok(_) => Alive::Yes,
            Err(error) if error.kind() == RequestErrorKind::NoResponders => Alive::Gone,
            Err(error) => {
                tracing::debug!(%error, %agent, %version, instance, "a worker does not answer");
                Alive::Silent
            }
        }
    }

    /// The workers of this mesh that answer within `patience`, by agent, version and instance, each with the
    /// declaration that it made when it started.
    ///
    /// # Errors
    /// When the connection was closed.
    pub async fn find_workers(&self, patience: Duration) -> Result<Vec<Declaration>, Error> {
        let until = tokio::time::Instant::now() + patience;
        let inbox = self.client().new_inbox();
        let failed = |error: Source| Error::api("looking for workers", error);
        let subscribed = self.client().subscribe(inbox.clone()).await;
        let mut infos = subscribed.map_err(|error| failed(error.into()))?;
        self.client()
            .publish_with_reply(format!("$SRV.INFO.{SERVICE}"), inbox, "".into())
            .await
            .map_err(|error| failed(error.into()))?;
        let mut asked = FuturesUnordered::new();
        let mut found = BTreeMap::new();
        let mut is_open = true;
        while is_open || !asked.is_empty() {
            tokio::select! {
                info = infos.next(), if is_open => match info {
                    // The server reports that nobody is there.
                    Some(message) if message.status.is_some() => is_open = false,
                    Some(message) => asked.extend(self.worker_of(&message.payload).map(|subject| self.declared(subject))),
                    None => is_open = false,
                },
                Some(declared) = asked.next(), if !asked.is_empty() => found.extend(declared),
                () = tokio::time::sleep_until(until) => break,
            }
        }
        Ok(found.into_values().collect())
    }

    /// The subject on which a worker of this mesh answers; `None` for a worker of another mesh.
    fn worker_of(&self, info: &[u8]) -> Option<String> {
        let metadata = serde_json::from_slice::<Info>(info).ok()?.metadata?;
        if metadata.get("namespace")? != self.subjects().namespace().as_str() {
            return None;
        }
        let agent = metadata.get("agent")?.parse().ok()?;
        let version = metadata.get("version")?.parse().ok()?;
        let instance = metadata.get("instance")?;
        // It becomes part of a subject, and anyone may register a service.
        let is_token = !instance.is_empty() && !instance.contains(|c: char| c.is_whitespace() || ".*>".contains(c));
        is_token.then(|| self.subjects().instance(&agent, &version, instance))
    }

    async fn declared(&self, subject: String) -> Option<((AgentName, AgentVersion, String), Declaration)> {
        let request = Request::new().timeout(Some(PATIENCE));
        let reply = self.client().send_request(subject.clone(), request).await.ok()?;
        let declaration: Declaration = serde_json::from_slice(&reply.payload).ok()?;
        let Declaration {
            agent,
            version,
            instance,
            ..
        } = &declaration;
        // NATS grants by subject what a worker may answer on, so the body alone proves nothing.
        if self.subjects().instance(agent, version, instance) != subject {
            tracing::warn!(%subject, "dropping a declaration that speaks for another worker");
            return None;
        }
        Some(((agent.clone(), version.clone(), instance.clone()), declaration))
    }
}
