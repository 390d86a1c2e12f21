//! Fan-out: a hop asks other agents and does not come back. Whoever is next gets what they came to.

use baton_envelope::codes;
use baton_envelope::{Json, Onward, WaitSpec};
use futures::future::BoxFuture;

use crate::approving::{Gates, gated};
use crate::calling::Calls;
use crate::fault::Fault;
use crate::handler::AnyHandler;
use crate::hop::Hop;
use crate::outcome::{Outcome, OutcomeKind};

/// The name of the call of a fan-out that has none.
const NAME: &str = "fan-out";

impl Outcome {
    /// Asks these agents, and hands on what they come to when as many have ended as the calls ask for: to the agent that
    /// [`Outcome::then`] names, else to whoever is next, as [`Outcome::next`] does. The handler does not run again. The next
    /// agent gets a [`Joined`](crate::Joined).
    pub fn fan_out(calls: Calls) -> Self {
        let spec = WaitSpec {
            onward: Some(Box::default()),
            ..calls.wait(NAME)
        };
        Self::of_fan_out(spec)
    }

    /// Names the agent that gets what the children of a fan-out come to. Of another outcome it changes nothing.
    ///
    /// # Errors
    /// When the name is invalid.
    pub fn then(mut self, agent: &str) -> Result<Self, Fault> {
        let to = agent
            .parse()
            .map_err(|error| Fault::terminal(codes::BAD_AGENT_NAME, format!("{error}")))?;
        if let OutcomeKind::FanOut(spec) = &mut self.kind {
            onward_of(spec).to = Some(to);
        }
        Ok(self)
    }

    pub(crate) fn of_fan_out(spec: WaitSpec) -> Self {
        Self::of(OutcomeKind::FanOut(Box::new(spec)))
    }
}

fn onward_of(spec: &mut WaitSpec) -> &mut Onward {
    spec.onward.get_or_insert_default()
}

impl Hop {
    /// What becomes of an outcome that asks others: the hop is suspended, until they have ended. A broadcast fixes first who they
    /// are, where it is committed. Any other stays as it is.
    pub(crate) async fn fanned(&mut self, outcome: Outcome) -> Result<Outcome, Fault> {
        if outcome.undo.is_some() && matches!(outcome.kind, OutcomeKind::FanOut(_) | OutcomeKind::Broadcast(_)) {
            let text = "a fan-out or a broadcast names no undo: the steps before it do, and what the others do they undo themselves";
            return Err(Fault::retry(text).with_code(codes::BAD_UNDO));
        }
        let mut spec = match outcome.kind {
            OutcomeKind::FanOut(spec) => spec,
            OutcomeKind::Broadcast(_) => return self.check_broadcast().map(|()| outcome),
            OutcomeKind::Complete(_) | OutcomeKind::HandOff { .. } | OutcomeKind::Reject { .. } => return Ok(outcome),
        };
        let onward = onward_of(&mut spec);
        onward.note = outcome.note;
        onward.cost = outcome.cost.and_then(|cost| Json::of(&cost).ok());
        self.gather(*spec).await
    }

    /// The handoff of a fan-out whose children have ended; the suspension while they have not.
    async fn gather(&mut self, spec: WaitSpec) -> Result<Outcome, Fault> {
        let onward = spec.onward.as_deref().cloned().unwrap_or_default();
        let count = spec.children.as_ref().map_or(0, |children| children.children.len());
        let mut waited = self.ask(vec![spec]).await?;
        let none = || Fault::terminal(codes::BAD_WAIT, "the fan-out has no children");
        let waited = waited.pop().ok_or_else(none)?;
        let joined = self.joined(&waited, count).await?;
        let cost = onward.cost.as_ref().and_then(|cost| cost.read().ok());
        let mut outcome = match &onward.to {
            Some(to) => Outcome::hand_off(to.as_str(), &joined)?,
            None => Outcome::next(&joined)?,
        };
        if let Some(kind) = onward.kind {
            outcome = outcome.with_kind(kind);
        }
        if let Some(history) = onward.history {
            outcome = outcome.with_history(history);
        }
        (outcome.note, outcome.cost) = (onward.note, cost);
        Ok(outcome)
    }
}

/// Runs a handler, once people have let it begin; or in its place what it has asked for by a fan-out.
pub(crate) fn resumed<'a>(
    handler: &'a dyn AnyHandler,
    hop: &'a mut Hop,
    gates: Gates,
    fan_out: Option<Box<WaitSpec>>,
) -> BoxFuture<'a, Result<Outcome, Fault>> {
    match fan_out {
        Some(spec) => Box::pin(hop.gather(*spec)),
        None => gated(handler, hop, gates),
    }
}
