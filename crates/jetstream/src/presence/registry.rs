//! Heartbeats of workers on plain NATS, and the declarations that controllers keep.

use async_nats::Subscriber;
use baton_envelope::{AgentName, AgentVersion, Declaration, Mutant, Subjects};
use futures::StreamExt as _;

use crate::error::Error;
use crate::server::{ControllerMesh, Mesh, WorkerMesh};

/// A stream of heartbeats.
#[derive(Debug)]
pub struct Heartbeats {
    messages: Subscriber,
    subjects: Subjects,
}

impl Heartbeats {
    /// The next readable heartbeat; `None` when the connection was closed.
    pub async fn next(&mut self) -> Option<Declaration> {
        loop {
            let message = self.messages.next().await?;
            match serde_json::from_slice::<Declaration>(&message.payload) {
                Ok(declaration) if self.is_from(&declaration, &message.subject) => return Some(declaration),
                Ok(_) => tracing::warn!(subject = %message.subject, "dropping a heartbeat that speaks for another"),
                Err(error) => tracing::warn!(%error, subject = %message.subject, "cannot read a heartbeat"),
            }
        }
    }
}

impl Heartbeats {
    /// Whether a declaration came on its own subject: NATS grants by subject what a worker may publish, so the body
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
    /// The stored declarations, by agent and version.
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

impl ControllerMesh {
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
        // The server must know the subscription before the caller relies on it.
        self.round_trip().await?;
        Ok(Heartbeats {
            messages,
            subjects: self.subjects().clone(),
        })
    }

    /// Stores a declaration in the agents bucket; only controllers do.
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
}

impl ControllerMesh {
    /// Removes the stored declaration of a version.
    ///
    /// # Errors
    /// When the bucket cannot be written.
    pub async fn drop_declaration(&self, agent: &AgentName, version: &AgentVersion) -> Result<(), Error> {
        let store = self.bucket(self.subjects().agents_bucket()).await?;
        let key = self.subjects().agent_key(agent, version);
        let purged = store.purge(key).await;
        purged.map_err(|error| Error::api("removing a declaration", error))
    }
}

impl WorkerMesh {
    /// Publishes that a worker is alive. Core NATS: possibly nobody listens.
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
}
