//! Steps that name what takes them back, and whether an undo may be named.

use std::collections::BTreeMap;
use std::future::Future;

use baton_envelope::{AgentName, AgentVersion, Asked, Envelope, MOST_UNDOS, Snapshot, StepEntry, Undo, act, codes};
use baton_jetstream::{Error, WorkerMesh};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::fault::Fault;
use crate::hop::{Hop, HopClock, Journal, lost};
use crate::outcome::undo;

/// Whether an intent may name one more undo.
pub(crate) fn check_room(at: &Snapshot) -> Result<(), Fault> {
    match at.undo.as_ref().is_some_and(|undo| undo.named >= MOST_UNDOS) {
        false => Ok(()),
        true => {
            let text = format!("the steps and hops of the intent have named {MOST_UNDOS} undos, and that is the most");
            Err(Fault::terminal(codes::BAD_UNDO, text))
        }
    }
}

/// Whether somebody takes what an undo asks, by the routes of this moment: what nobody is or does is never taken back.
pub(crate) async fn check_taker(
    mesh: &WorkerMesh,
    of: &Envelope,
    pins: &BTreeMap<AgentName, AgentVersion>,
    undo: &Undo,
) -> Result<(), Fault> {
    let asked = Asked {
        root: of.root(),
        kind: undo.kind.as_deref(),
        pins,
        path: &[],
    };
    match mesh.choose(&undo.agent, &asked).await {
        Ok(_) => Ok(()),
        Err(error @ (Error::UnknownAgent { .. } | Error::Unroutable(_))) => {
            Err(Fault::retry(format!("the undo: {error}")).with_code(codes::BAD_UNDO))
        }
        Err(error) => Err(Fault::unwritten(&error)),
    }
}

impl Hop {
    /// As [`Hop::step`], for an effect that can be taken back: should the intent fail for good where its policy is to
    /// compensate, or be cancelled with `--undo`, the agent of the undo gets what `payload` makes of the result, as an intent of
    /// its own. What an intent did is undone in reverse order, one after the other.
    ///
    /// ```
    /// # use baton_agent::{Fault, Hop};
    /// # async fn book_flight() -> Result<String, Fault> { Ok(String::new()) }
    /// # async fn handle(hop: &mut Hop) -> Result<String, Fault> {
    /// hop.step_undoable("flight", book_flight, "cancel-flight", |booking| booking.clone()).await
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`Hop::step`]; and with `BAD_UNDO`, before the effect, when there is no such agent, none of its versions that get work
    /// takes it, or the intent has too many undos.
    pub async fn step_undoable<T, E, F, Fut, P>(
        &mut self,
        name: &str,
        effect: F,
        agent: &str,
        payload: impl FnOnce(&T) -> P,
    ) -> Result<T, Fault>
    where
        T: Serialize + DeserializeOwned,
        E: Into<Fault>,
        F: FnOnce() -> Fut,
        Fut: Future<Output = Result<T, E>>,
        P: Serialize,
    {
        if !self.steps.contains_key(name) {
            // The payload follows from the result; all else is known before.
            self.check_undo(&undo(agent, &())?).await?;
        }
        self.step_with(name, effect, |result| undo(agent, &payload(result)).map(Some))
            .await
    }

    /// Whether a step may name this undo.
    pub(crate) async fn check_undo(&self, undo: &Undo) -> Result<(), Fault> {
        let (HopClock::Mesh(mesh), Journal::Ledger(claim)) = (&self.clock, &self.journal) else {
            return Ok(());
        };
        // The routes are asked without the claim, which others wait for.
        let pins = {
            let claim = claim.lock().await;
            check_room(&claim.snapshot)?;
            claim.snapshot.pins.clone()
        };
        check_taker(mesh, &self.envelope, &pins, undo).await
    }

    /// Records a step, with what takes it back.
    pub(crate) async fn append_step(&self, entry: StepEntry) -> Result<(), Fault> {
        match &self.journal {
            Journal::Ledger(claim) => {
                let mut claim = claim.lock().await;
                let appended = claim.append(|head| act::step(head, entry.clone())).await;
                appended.map_err(lost)
            }
            // The program has done the step by itself: note it, record nothing.
            Journal::Sandbox(sandbox) => {
                sandbox.note_step(&entry.name);
                Ok(())
            }
        }
    }
}
