//! One hop, as a handler sees it.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;

use baton_envelope::codes;
use baton_envelope::{Envelope, IntentId, Json, ProtocolRange, StepEntry, act};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::Mutex;

use crate::claim::{AppendError, Claim};
use crate::fault::Fault;
use crate::sandbox::Sandbox;

/// One hop of one intent, with what an agent may know and do.
#[derive(Debug)]
pub struct Hop {
    pub(crate) envelope: Arc<Envelope>,
    pub(crate) attempt: u32,
    pub(crate) epoch: u64,
    pub(crate) journal: Journal,
    pub(crate) steps: BTreeMap<String, Json>,
    /// The versions of the protocol that the agent reads.
    pub(crate) protocol: ProtocolRange,
}

/// What a hop stands on.
#[derive(Debug)]
pub(crate) enum Journal {
    /// Its place in the ledger: what it does is written there.
    Ledger(Arc<Mutex<Claim>>),
    /// Nothing: a replay, which writes nowhere.
    Sandbox(Arc<Sandbox>),
}

impl Hop {
    /// The intent.
    pub fn intent(&self) -> &IntentId {
        &self.envelope.intent
    }

    /// The envelope that this hop received.
    pub fn envelope(&self) -> &Envelope {
        &self.envelope
    }

    /// The envelope as a JSON document, in the newest form that both this agent and this build know: what the agent
    /// declares that it reads is what it gets, whatever form the sender wrote.
    pub fn document(&self) -> Json {
        let form = self.protocol.newest_common(ProtocolRange::of_forms());
        let document = form.and_then(|form| self.envelope.document(form).ok());
        // An agent that reads no form that is known here gets no work; a replay on it shows the form that there is.
        document.unwrap_or_else(|| Json::of(self.envelope()).unwrap_or_default())
    }

    /// The payload as it is.
    pub fn payload(&self) -> &Json {
        &self.envelope.payload
    }

    /// The number of this hop, from 1.
    pub fn number(&self) -> u32 {
        self.envelope.hop
    }

    /// The attempt, from 1.
    pub fn attempt(&self) -> u32 {
        self.attempt
    }

    /// The fencing number of this holder: pass it to a system that can refuse an older one.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Whether this is a replay: the hop was run before, and what is done here is written nowhere. Recorded steps give
    /// their results and no other step is run; a handler with effects outside of steps must leave those out.
    pub fn is_replay(&self) -> bool {
        self.sandbox().is_some()
    }

    pub(crate) fn sandbox(&self) -> Option<&Sandbox> {
        match &self.journal {
            Journal::Ledger(_) => None,
            Journal::Sandbox(sandbox) => Some(sandbox),
        }
    }

    /// The steps that are recorded so far, those of earlier attempts included.
    pub fn steps(&self) -> &BTreeMap<String, Json> {
        &self.steps
    }

    /// A key that is the same in every attempt of this step: hand it to whatever the effect calls, so that an effect
    /// which happened but could not be recorded is not repeated there.
    pub fn idempotency_key(&self, step: &str) -> String {
        format!("{}:{}:{step}", self.envelope.intent, self.envelope.hop)
    }

    /// Runs an effect once: its result is recorded in the ledger, and later attempts get the recorded result instead.
    ///
    /// Names are unique within a hop. Between the effect and its record a crash can still make it run again; that is
    /// what [`Hop::idempotency_key`] is for.
    ///
    /// # Errors
    /// Whatever the effect fails with; or when the hop was taken over, or the ledger cannot be written. In a replay, when
    /// the step has no record.
    pub async fn step<T, E, F, Fut>(&mut self, name: &str, effect: F) -> Result<T, Fault>
    where
        T: Serialize + DeserializeOwned,
        E: Into<Fault>,
        F: FnOnce() -> Fut,
        Fut: Future<Output = Result<T, E>>,
    {
        if let Some(recorded) = self.steps.get(name) {
            return recorded.read().map_err(|error| {
                Fault::terminal(
                    codes::STEP_CHANGED,
                    format!("the recorded result of step \"{name}\": {error}"),
                )
            });
        }
        if let Some(sandbox) = self.sandbox() {
            return Err(sandbox.new_step(name));
        }
        // First say who holds the hop, guarded: should a step be recorded already that this holder does not know of,
        // the write is refused here, before the effect.
        self.visible().await?;
        let value = effect().await.map_err(Into::into)?;
        let result = Json::of(&value)
            .map_err(|error| Fault::terminal(codes::NOT_JSON, format!("the result of step \"{name}\": {error}")))?;
        self.record_step(name, result).await?;
        Ok(value)
    }

    /// Adds a note to the intent's trail.
    ///
    /// # Errors
    /// When the hop was taken over, or the ledger cannot be written.
    pub async fn progress(&mut self, note: &str) -> Result<(), Fault> {
        let Journal::Ledger(claim) = &self.journal else {
            return Ok(());
        };
        self.visible().await?;
        let mut claim = claim.lock().await;
        claim.append(|head| act::progress(head, note)).await.map_err(lost)
    }

    pub(crate) async fn visible(&self) -> Result<(), Fault> {
        match &self.journal {
            Journal::Ledger(claim) => claim.lock().await.make_visible().await.map_err(lost),
            Journal::Sandbox(_) => Ok(()),
        }
    }

    pub(crate) async fn record_step(&mut self, name: &str, result: Json) -> Result<(), Fault> {
        match &self.journal {
            Journal::Ledger(claim) => {
                let entry = StepEntry::new(name, result.clone());
                let mut claim = claim.lock().await;
                claim
                    .append(|head| act::step(head, entry.clone()))
                    .await
                    .map_err(lost)?;
            }
            // A program that has done the step by itself: it is told of, not kept.
            Journal::Sandbox(sandbox) => sandbox.note_step(name),
        }
        self.steps.insert(name.to_owned(), result);
        Ok(())
    }
}

fn lost(error: AppendError) -> Fault {
    match error {
        AppendError::Fenced(_) => Fault::fenced(),
        AppendError::Failed(baton_jetstream::Error::TooLarge { what, size, limit }) => Fault::terminal(
            codes::PAYLOAD_TOO_LARGE,
            format!("{what}: {size} bytes, and the server takes at most {limit} in one message"),
        ),
        AppendError::Failed(error) | AppendError::Unsettled(error) => Fault::unwritten(&error),
    }
}
