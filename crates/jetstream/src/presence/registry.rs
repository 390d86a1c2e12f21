//! What workers say of themselves: heartbeats on plain NATS, and what controllers keep of them.

use async_nats::Subscriber;
use baton_envelope::{Declaration, Mutant, Subjects};
use futures::StreamExt as _;

use crate::error::Error;
use crate::server::Mesh;

/// A stream of heartbeats.
#[derive(Debug)]
pub struct Heartbeats {
    messages: Subscriber,
    subjects: Subjects,
}

impl Heartbeats {
    /// The next heartbeat that can be read; `None` when the connection was closed.
    pub async fn next(&mut self) -> Option<Declaration> {
        loop {
            let message = self.messages.next().await?;
            match serde_json::from_slice::<Declaration>(&message.payload) {
                Ok(declaration) if self.is_from(&declaration, &message.subject) => return Some(declaration),
                Ok(_) => tracing::warn!(subject = %message.subject, "a heartbeat that speaks for another is dropped"),
                Err(error) => tracing::warn!(%error, subject = %message.subject, "a heartbeat cannot be read"),
            }
        }
    }
}

impl Heartbeats {
    /// Whether a declaration came on its own subject: what a worker may publish is granted by subject, so the body
    /// alone proves nothing.
    fn is_from(&self, declaration: &Declaration, subject: &str) -> bool {
        let Declaration {
            agent,
            version,
            instance,
            ..
        } = declaration;
        self.subjects.heartbeat(agent, version, instance) == subject || Mutant::I15AnyoneSpeaks.is_on()
    }
}

impl Mesh {
    /// Says that a worker is alive. Core NATS: nobody may be listening.
    ///
    /// # Errors
    /// When the connection was closed.
    pub async fn beat(&self, declaration: &Declaration) -> Result<(), Error> {
        let subject = self
            .subjects()
            .heartbeat(&declaration.agent, &declaration.version, &declaration.instance);
        let body = serde_json::to_vec(declaration).map_err(|error| Error::api("encoding a heartbeat", error))?;
        self.publish_plain(subject, body.into()).await
    }

    /// All heartbeats of the mesh from now on.
    ///
    /// # Errors
    /// When the connection was closed.
    pub async fn heartbeats(&self) -> Result<Heartbeats, Error> {
        let subject = self.subjects().heartbeat_all();
        let messages = self
            .client()
            .subscribe(subject)
            .await
            .map_err(|error| Error::api("subscribe", error))?;
        // The server must know of the subscription before the caller counts on it.
        self.round_trip().await?;
        Ok(Heartbeats {
            messages,
            subjects: self.subjects().clone(),
        })
    }

    /// Keeps a declaration in the agents bucket; only controllers do.
    ///
    /// # Errors
    /// When the bucket cannot be written.
    pub async fn keep_declaration(&self, declaration: &Declaration) -> Result<(), Error> {
        let store = self.bucket(self.subjects().agents_bucket()).await?;
        let key = self.subjects().agent_key(&declaration.agent, &declaration.version);
        let body = serde_json::to_vec(declaration).map_err(|error| Error::api("encoding a declaration", error))?;
        store
            .put(key, body.into())
            .await
            .map(drop)
            .map_err(|error| Error::api("keeping a declaration", error))
    }

    /// The declarations that were kept, by agent and version.
    ///
    /// # Errors
    /// When the bucket cannot be read.
    pub async fn declarations(&self) -> Result<Vec<Declaration>, Error> {
        let mut found: Vec<Declaration> = self
            .bucket_values(&self.subjects().agents_bucket())
            .await?
            .iter()
            .filter_map(|value| serde_json::from_slice(value).ok())
            .collect();
        found.sort_by(|a, b| (&a.agent, &a.version).cmp(&(&b.agent, &b.version)));
        Ok(found)
    }
}
