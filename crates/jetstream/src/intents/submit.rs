//! Taking an intent in: `submitted` at expected sequence 0, then the ticket.

use std::collections::BTreeMap;
use std::time::Duration;

use baton_envelope::{
    AgentName, AgentVersion, Asked, Author, Envelope, Pinning, ProtocolRange, Record, Submission, choose,
    compare_submission,
};

use super::form::in_form_for;
use crate::error::Error;
use crate::ledger::{Head, Written};
use crate::server::Mesh;

/// What became of a submit.
#[derive(Debug)]
pub enum Submitted {
    /// The intent is new and stands at this sequence.
    New {
        /// Its sequence in the ledger stream.
        seq: u64,
    },
    /// The same work was submitted under this id before; this is where it stands.
    Repeated(Box<Head>),
    /// Other work was submitted under this id before.
    Conflict(Box<Head>),
}

impl Mesh {
    /// Submits an intent: the version comes from the envelope's pins, else from the route.
    ///
    /// The id is an idempotency key. A submit that finds it taken compares: the same work is the same intent, other
    /// work is a conflict. Either way the ticket of an intent that nobody has taken yet is written once more, so that a
    /// submitter which died between its two writes is made good by the next one.
    ///
    /// # Errors
    /// When the agent is unknown, the deadline has passed, or the server refuses.
    pub async fn submit(&self, envelope: Envelope, by: Author) -> Result<Submitted, Error> {
        self.submit_as(envelope, by, false).await
    }

    /// Submits an intent whose id was made for this submit alone ([`Clock::intent_id`](crate::Clock::intent_id)), so that
    /// nobody will submit it again: once it is archived the ledger keeps nothing of it.
    ///
    /// # Errors
    /// As [`Mesh::submit`].
    pub async fn submit_new(&self, envelope: Envelope, by: Author) -> Result<Submitted, Error> {
        self.submit_as(envelope, by, true).await
    }

    pub(crate) async fn submit_as(
        &self,
        mut envelope: Envelope,
        by: Author,
        generated: bool,
    ) -> Result<Submitted, Error> {
        let now = self.now();
        if let Some(deadline) = envelope.deadline.filter(|deadline| *deadline <= now) {
            let problem = format!("{deadline} is in the past (now {now}); give a time in the future, or none");
            return Err(Error::BadEnvelope {
                field: "deadline",
                problem,
            });
        }
        // An agent that nobody knows has no stream for the ticket, whatever version the intent is pinned to.
        let asked = Asked {
            root: envelope.root(),
            kind: envelope.kind.as_deref(),
            pins: &envelope.pins,
            path: &[],
        };
        let (choice, route) = self.choose(&envelope.to, &asked).await?;
        let version = choice.version;
        let pinning = envelope.pinning.as_ref().unwrap_or(&route.pinning);
        if *pinning == Pinning::Chain {
            envelope.pins = Box::pin(self.pins_of_now(&envelope, &version)).await?;
        }
        envelope.to_version = Some(version.clone());
        let from = envelope.protocol;
        let (envelope, conversion) = in_form_for(&route, &version, envelope, from, ProtocolRange::of_forms())?;
        let mut record = Record::submitted(self.record_id(), now, by, version, envelope);
        record.conversion = conversion;
        record.generated_id = generated;
        let body = Self::encode(&record)?;
        match self.write_encoded(&record, body.clone(), 0).await? {
            Written::Stored { seq } => {
                self.settle_encoded(&record, body, seq).await?;
                Ok(Submitted::New { seq })
            }
            // Apart, so that the common case stays small.
            Written::Superseded(head) => Box::pin(self.compare(&record, head)).await,
        }
    }

    /// The versions that the routes give this intent now, for every agent; its own pins come first.
    async fn pins_of_now(
        &self,
        envelope: &Envelope,
        first: &AgentVersion,
    ) -> Result<BTreeMap<AgentName, AgentVersion>, Error> {
        let mut pins = BTreeMap::from([(envelope.to.clone(), first.clone())]);
        for route in self.known_routes().await? {
            let asked = Asked {
                root: envelope.root(),
                kind: None,
                pins: &envelope.pins,
                path: &[],
            };
            // An agent that is pinned to a version which takes nothing is refused where the intent gets there.
            if let Ok(choice) = choose(&route, &asked) {
                pins.entry(route.agent.clone()).or_insert(choice.version);
            }
        }
        for (agent, version) in &envelope.pins {
            pins.insert(agent.clone(), version.clone());
        }
        Ok(pins)
    }

    /// Submits as soon as the agent is known: a worker that has just started is, once a controller has heard it.
    ///
    /// # Errors
    /// As [`Mesh::submit`]; `UnknownAgent` when the agent is still unknown after `patience`.
    pub async fn submit_when_known(
        &self,
        envelope: Envelope,
        by: Author,
        patience: Duration,
    ) -> Result<Submitted, Error> {
        let until = tokio::time::Instant::now() + patience;
        loop {
            match Box::pin(self.submit(envelope.clone(), by.clone())).await {
                Err(Error::UnknownAgent { .. }) if tokio::time::Instant::now() < until => {
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
                submitted => return submitted,
            }
        }
    }

    async fn compare(&self, record: &Record, head: Box<Head>) -> Result<Submitted, Error> {
        let first = self.trail_through(&record.intent, head.seq).await?.into_iter().next();
        let same = match (
            first.as_ref().and_then(|first| first.record.envelope.as_ref()),
            &record.envelope,
        ) {
            (Some(there), Some(new)) => compare_submission(there, new) == Submission::Same,
            (_, _) => false,
        };
        if !same {
            return Ok(Submitted::Conflict(head));
        }
        self.settle(&head.record, head.seq).await?;
        Ok(Submitted::Repeated(head))
    }
}
