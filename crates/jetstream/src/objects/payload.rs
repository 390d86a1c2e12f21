//! Payloads and results as objects: which go out of line, for whom, and what a reference stands for.

use baton_envelope::{
    AgentName, AgentVersion, Body, Envelope, IntentId, Json, OBJECTS_SINCE, ObjectRef, Record, Route, Snapshot,
};

use crate::error::Error;
use crate::server::Mesh;

/// Whether a version takes a payload by reference. An undeclared version reads what the oldest builds read.
pub(crate) fn takes_references(route: &Route, version: &AgentVersion) -> bool {
    let entry = route.versions.get(version);
    entry.is_some_and(|entry| entry.protocol.newest >= OBJECTS_SINCE)
}

impl Mesh {
    /// The envelope as it goes to this version: a large payload as an object where the version takes one, and an object as a
    /// payload where it does not. Where neither is large and neither is an object, nothing is asked or written.
    ///
    /// # Errors
    /// As [`Mesh::put_object`] and [`Mesh::get_object`].
    pub async fn fitted(&self, route: &Route, version: &AgentVersion, envelope: Envelope) -> Result<Envelope, Error> {
        let takes = takes_references(route, version);
        match &envelope.payload_ref {
            None if !envelope.has_large_payload() => Ok(envelope),
            None if takes => {
                let body = Box::pin(self.as_object(envelope.root(), &envelope.payload_body())).await?;
                Ok(match body {
                    Some(payload) => envelope.with_payload_ref(payload),
                    None => envelope,
                })
            }
            Some(payload) if !takes => {
                let body = Box::pin(self.body_of(envelope.root(), payload)).await?;
                Ok(envelope.with_payload(body))
            }
            None if envelope.payload.get().len() > self.largest_message() => Err(Error::TooLarge {
                what: format!(
                    "the payload for {}@{version}, which reads no payload by reference (protocol {OBJECTS_SINCE} and newer do),",
                    route.agent
                ),
                size: envelope.payload.get().len(),
                limit: self.largest_message(),
            }),
            None | Some(_) => Ok(envelope),
        }
    }

    /// Whether the object is there that whoever made the envelope names as its payload.
    ///
    /// # Errors
    /// As [`Mesh::get_object`].
    pub(crate) async fn must_have_payload(&self, envelope: &Envelope) -> Result<(), Error> {
        match &envelope.payload_ref {
            Some(payload) => self.get_kept_object(envelope.root(), payload).await.map(drop),
            None => Ok(()),
        }
    }

    /// The object that stands for a body of a tree, where it is too large to stand in a message; stores it. `None` where it
    /// is not, and where this process can store no objects.
    ///
    /// # Errors
    /// As [`Mesh::put_object`].
    pub async fn as_object(&self, tree: &IntentId, body: &Body) -> Result<Option<ObjectRef>, Error> {
        if !body.is_large() {
            return Ok(None);
        }
        let Some(content) = body.content() else {
            return Ok(None);
        };
        match self.put_object(tree, content.bytes.into(), content.media).await {
            Ok(object) => Ok(Some(object)),
            // A mesh whose controllers or accounts are of before objects, or a server that takes small messages alone: where a
            // message has room for it, it goes on as then, and where none has, that is said when it is written.
            Err(error @ (Error::NoStream(_) | Error::Denied { .. } | Error::TooLarge { .. })) => {
                tracing::debug!(%error, %tree, "a payload stays inline");
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// The object that stands for the result of a step of a version, where it is too large to stand in the record; stores it.
    /// `None` where it is not, and where a worker of the version may be one that reads no reference.
    ///
    /// # Errors
    /// As [`Mesh::put_object`].
    pub async fn as_step_object(
        &self,
        tree: &IntentId,
        (agent, version): (&AgentName, &AgentVersion),
        result: &Json,
    ) -> Result<Option<ObjectRef>, Error> {
        let body = Body::from(result.clone());
        if !body.is_large() {
            return Ok(None);
        }
        match self.reads_references(agent, version).await? {
            true => self.as_object(tree, &body).await,
            false => Ok(None),
        }
    }

    /// Whether every worker of a version reads references.
    ///
    /// # Errors
    /// When the route cannot be read.
    pub async fn reads_references(&self, agent: &AgentName, version: &AgentVersion) -> Result<bool, Error> {
        Ok(takes_references(&*self.route_of(agent).await?, version))
    }

    /// Puts the results of the steps of a hop in their places that are objects.
    ///
    /// # Errors
    /// As [`Mesh::get_object`].
    pub async fn read_step_results<'r>(
        &self,
        tree: &IntentId,
        records: impl IntoIterator<Item = &'r mut Record>,
        hop: u32,
    ) -> Result<(), Error> {
        let of_hop: Vec<_> = records
            .into_iter()
            .filter(|record| record.snapshot.hop == hop)
            .collect();
        for record in of_hop {
            if let Some(step) = &mut record.step
                && let Some(object) = &step.result_ref
            {
                step.result = self.body_of(tree, object).await?.json;
            }
        }
        Ok(())
    }

    /// The body that an object of a tree stands for.
    ///
    /// # Errors
    /// As [`Mesh::get_object`].
    pub async fn body_of(&self, tree: &IntentId, object: &ObjectRef) -> Result<Body, Error> {
        let content = self.get_object(tree, object).await?;
        Body::of_content(&content, object.media.as_deref()).map_err(|problem| Error::ObjectCorrupt {
            tree: tree.clone(),
            object: object.hash.to_string(),
            problem,
        })
    }

    /// The result of an intent, whether it stands in the snapshot or is an object; `None` where there is none.
    ///
    /// # Errors
    /// As [`Mesh::get_object`].
    pub async fn result_body(&self, intent: &IntentId, snapshot: &Snapshot) -> Result<Option<Body>, Error> {
        if let Some(object) = &snapshot.result_ref {
            let tree = snapshot.root.as_ref().unwrap_or(intent);
            return self.body_of(tree, object).await.map(Some);
        }
        Ok(snapshot.result.clone().map(|json| Body {
            json,
            encoding: snapshot.result_encoding.clone(),
        }))
    }
}
