//! What the program under judgement is asked to submit: the language of `docs/conformance.md`.

use std::time::Duration;

/// One run of the program: the payload on its stdin, all else in its environment.
#[derive(Debug, Clone)]
pub(super) struct Job {
    pub(super) agent: String,
    pub(super) payload: Vec<u8>,
    asked: Vec<(&'static str, String)>,
}

/// The agent that the judge plays.
pub(super) const AGENT: &str = "conformance";
/// An agent that nobody has heard of.
pub(super) const NOBODY: &str = "conformance-nobody";

/// The intent id that is asked for.
const INTENT: &str = "SUBMIT_INTENT";

impl Job {
    pub(super) fn of(payload: impl Into<Vec<u8>>) -> Self {
        Self {
            agent: AGENT.to_owned(),
            payload: payload.into(),
            asked: Vec::new(),
        }
    }

    fn ask(mut self, name: &'static str, value: impl ToString) -> Self {
        self.asked.push((name, value.to_string()));
        self
    }

    /// For another agent than the one that the judge plays.
    pub(super) fn to(mut self, agent: &str) -> Self {
        agent.clone_into(&mut self.agent);
        self
    }

    /// Under this id.
    pub(super) fn intent(self, id: &str) -> Self {
        self.ask(INTENT, id)
    }

    pub(super) fn kind(self, kind: &str) -> Self {
        self.ask("SUBMIT_KIND", kind)
    }

    pub(super) fn priority(self, priority: u8) -> Self {
        self.ask("SUBMIT_PRIORITY", priority)
    }

    pub(super) fn deadline(self, deadline: &str) -> Self {
        self.ask("SUBMIT_DEADLINE", deadline)
    }

    pub(super) fn max_hops(self, hops: u32) -> Self {
        self.ask("SUBMIT_MAX_HOPS", hops)
    }

    /// With these must-carry constraints, as text.
    pub(super) fn constraints(self, constraints: &str) -> Self {
        self.ask("SUBMIT_CONSTRAINTS", constraints)
    }

    /// With people who are asked before this agent begins.
    pub(super) fn gate(self, agent: &str) -> Self {
        self.ask("SUBMIT_GATE", agent)
    }

    /// In its turn among the work with this key.
    pub(super) fn order_key(self, key: &str) -> Self {
        self.ask("SUBMIT_ORDER_KEY", key)
    }

    /// With further members of the envelope: an object, as text.
    pub(super) fn envelope(self, members: &str) -> Self {
        self.ask("SUBMIT_ENVELOPE", members)
    }

    /// To be waited for: the program ends with the intent, and prints its result.
    pub(super) fn wait(self, at_most: Duration) -> Self {
        self.ask("SUBMIT_WAIT", at_most.as_secs())
    }

    /// The id that is asked for.
    pub(super) fn chosen(&self) -> Option<&str> {
        let chosen = self.asked.iter().find(|(name, _)| *name == INTENT);
        chosen.map(|(_, value)| value.as_str())
    }

    /// Its environment.
    pub(super) fn environment(&self) -> impl Iterator<Item = (&str, &str)> {
        let asked = self.asked.iter().map(|(name, value)| (*name, value.as_str()));
        asked.chain([("SUBMIT_AGENT", self.agent.as_str())])
    }
}
