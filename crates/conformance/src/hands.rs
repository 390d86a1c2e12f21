//! What both judges do with the server: publish, read what is stored, ask the JetStream API.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use baton_jetstream::{Error, Limits, Mesh, Wire};
use serde_json::{Value, json};

use crate::error::ConformanceError;
use crate::record::Stored;

/// The judge's hands.
#[derive(Debug)]
pub(crate) struct Hands {
    mesh: Mesh,
    wire: Wire,
    /// What the judge has published itself: subject and body.
    own: Mutex<HashSet<(String, Vec<u8>)>>,
}

impl Hands {
    pub(crate) fn of(mesh: &Mesh) -> Self {
        Self {
            mesh: mesh.clone(),
            wire: Wire::of(mesh),
            own: Mutex::default(),
        }
    }

    pub(crate) const fn wire(&self) -> &Wire {
        &self.wire
    }

    /// Makes the streams of the mesh.
    ///
    /// # Errors
    /// Also when the ledger holds anything: the mesh is somebody's.
    pub(crate) async fn take_new_mesh(&self) -> Result<(), ConformanceError> {
        self.mesh.ensure_topology(Limits::default()).await?;
        let subjects = self.mesh.subjects();
        let records = self.count(&subjects.ledger_stream()).await?;
        if records > 0 {
            return Err(ConformanceError::InUse {
                namespace: subjects.namespace().to_string(),
                found: format!("{records} records"),
            });
        }
        Ok(())
    }

    /// How many messages a stream holds.
    pub(crate) async fn count(&self, stream: &str) -> Result<u64, Error> {
        let info = self.api(&format!("STREAM.INFO.{stream}"), "").await?;
        Ok(info
            .pointer("/state/messages")
            .and_then(Value::as_u64)
            .unwrap_or_default())
    }

    /// An answer of the JetStream API; `Null` when there is none.
    pub(crate) async fn api(&self, verb: &str, question: &str) -> Result<Value, Error> {
        let subject = format!("$JS.API.{verb}");
        self.note(&subject, question.as_bytes());
        let answer = self.wire.request(&subject, &[], question.to_owned()).await?;
        Ok(answer
            .and_then(|answer| serde_json::from_slice(&answer.body).ok())
            .unwrap_or_default())
    }

    /// Publishes to a stream: the sequence at which it stands.
    pub(crate) async fn publish(&self, subject: &str, headers: &[(&str, &str)], body: String) -> Result<u64, Error> {
        self.note(subject, body.as_bytes());
        let answer = self.wire.request(subject, headers, body).await?;
        let answer = answer.map(|answer| answer.body).unwrap_or_default();
        let answer: Value = serde_json::from_slice(&answer).unwrap_or_default();
        // A refusal has a `seq` as well, which is 0.
        let seq = answer.get("seq").and_then(Value::as_u64);
        seq.filter(|_| answer.get("error").is_none())
            .ok_or_else(|| Error::Missing {
                what: format!("an acknowledgement for {subject}: {answer}"),
            })
    }

    /// Publishes on a subject of no stream.
    pub(crate) async fn tell(&self, subject: &str, headers: &[(&str, &str)], body: String) -> Result<(), Error> {
        self.note(subject, body.as_bytes());
        self.wire.publish(subject, headers, body).await
    }

    pub(crate) async fn put_route(&self, agent: &str, route: &Value) -> Result<(), Error> {
        let bucket = self.mesh.subjects().routes_bucket();
        self.publish(&format!("$KV.{bucket}.{agent}"), &[], route.to_string())
            .await?;
        Ok(())
    }

    /// A message of a stream.
    pub(crate) async fn stored(&self, stream: &str, question: &Value) -> Result<Option<Stored>, Error> {
        let subject = format!("$JS.API.STREAM.MSG.GET.{stream}");
        let answer = self.wire.request(&subject, &[], question.to_string()).await?;
        Ok(answer.and_then(|answer| Stored::read(&answer.body)))
    }

    /// All messages of a stream on a subject, oldest first, from this sequence on.
    pub(crate) async fn all_from(&self, stream: &str, first: u64, subject: &str) -> Result<Vec<Stored>, Error> {
        let (mut found, mut next) = (Vec::new(), first);
        loop {
            let question = json!({"seq": next, "next_by_subj": subject});
            let Some(message) = self.stored(stream, &question).await? else {
                return Ok(found);
            };
            next = message.seq + 1;
            found.push(message);
        }
    }

    /// Changes the settings of a stream as an accident would.
    pub(crate) async fn change_stream(&self, stream: &str, changes: &Value) -> Result<(), Error> {
        let mut info = self.api(&format!("STREAM.INFO.{stream}"), "").await?;
        let mut config = info.get_mut("config").map(Value::take).unwrap_or_default();
        if let (Some(config), Some(changes)) = (config.as_object_mut(), changes.as_object()) {
            config.extend(changes.clone());
        }
        let answer = self
            .api(&format!("STREAM.UPDATE.{stream}"), &config.to_string())
            .await?;
        match answer.get("config") {
            Some(_) => Ok(()),
            None => Err(Error::Missing {
                what: format!("the settings {changes} of {stream}: {answer}"),
            }),
        }
    }

    fn note(&self, subject: &str, body: &[u8]) {
        let mut own = self.own.lock().unwrap_or_else(PoisonError::into_inner);
        own.insert((subject.to_owned(), body.to_vec()));
    }

    /// Whether the judge has published this itself.
    pub(crate) fn is_own(&self, subject: &str, body: &[u8]) -> bool {
        let own = self.own.lock().unwrap_or_else(PoisonError::into_inner);
        own.contains(&(subject.to_owned(), body.to_vec()))
    }
}
