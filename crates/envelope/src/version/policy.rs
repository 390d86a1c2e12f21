//! The failure policy of an agent: what becomes of attempts that fail, of work that nobody takes, of work that is declined,
//! and of new work while the breaker is open.
//!
//! It has three sources: what a worker declares, what an operator has set on the agent, which comes first, and what an intent
//! asks for within the bounds of both.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::base::names::AgentName;
use crate::base::wire::wire_object;
use crate::base::wire_enum::wire_enum;
use crate::people::Approval;

/// How many attempts a hop gets where nobody says otherwise.
pub const ATTEMPTS_DEFAULT: u32 = 3;
/// The most attempts that a policy may give.
pub const ATTEMPTS_LIMIT: u32 = 1000;
/// The unit of the backoff where nobody says otherwise.
pub const BACKOFF_DEFAULT: Duration = Duration::from_secs(1);
/// The longest delay between two attempts where nobody says otherwise.
pub const LONGEST_DEFAULT: Duration = Duration::from_secs(30);
/// How often work is offered to an agent that does not take it: each time for as long as `accept_within` says.
pub const OFFERS: u32 = 3;

/// What stands before the agent in the name of [`OnExhausted::Escalate`].
const ESCALATE: &str = "escalate:";

/// What happens to a hop whose attempts are used up.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum OnExhausted {
    /// It is set aside for a person.
    #[default]
    Park,
    /// The intent fails.
    Fail,
    /// Another agent gets it, with the error in the history of its envelope.
    Escalate(AgentName),
    /// A person decides. Without approvals this is to park it, as `EXHAUSTED`.
    Human,
    /// What the intent did is undone, and then it fails. With nothing to undo it fails at once. So it does where an attempt fails
    /// for good.
    Compensate,
    /// A name of a newer version, kept as written. It is treated as `park`.
    Unknown(String),
}

impl OnExhausted {
    fn of_name(name: &str) -> Self {
        match name {
            "park" => Self::Park,
            "fail" => Self::Fail,
            "human" => Self::Human,
            "compensate" => Self::Compensate,
            _ => match name.strip_prefix(ESCALATE).map(str::parse) {
                Some(Ok(agent)) => Self::Escalate(agent),
                Some(Err(_)) | None => Self::Unknown(name.to_owned()),
            },
        }
    }

    /// The agent that it goes to.
    pub fn agent(&self) -> Option<&AgentName> {
        match self {
            Self::Escalate(agent) => Some(agent),
            Self::Park | Self::Fail | Self::Human | Self::Compensate | Self::Unknown(_) => None,
        }
    }
}

impl fmt::Display for OnExhausted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Park => f.write_str("park"),
            Self::Fail => f.write_str("fail"),
            Self::Human => f.write_str("human"),
            Self::Compensate => f.write_str("compensate"),
            Self::Escalate(agent) => write!(f, "{ESCALATE}{agent}"),
            Self::Unknown(name) => f.write_str(name),
        }
    }
}

impl Serialize for OnExhausted {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for OnExhausted {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self::of_name(&String::deserialize(deserializer)?))
    }
}

wire_enum! {
    /// What happens to work that the agent declines.
    #[derive(Default)]
    pub enum OnRejected {
        /// The intent ends as declined.
        #[default]
        End = "end",
        /// The next of the alternatives that has not had this work gets it; without one the intent ends.
        Alternative = "alternative",
        /// The agent before gets it back, with the reason in the history of its envelope; without one the intent ends.
        Return = "return",
    }
}

wire_enum! {
    /// What happens to work that nobody has taken after three times `accept_within`.
    #[derive(Default)]
    pub enum OnUnaccepted {
        /// It is set aside for a person.
        #[default]
        Park = "park",
        /// The next of the alternatives that has not had this work gets it; without one it is set aside.
        Alternative = "alternative",
    }
}

wire_enum! {
    /// What happens to new work while the breaker of the version that would get it is open.
    #[derive(Default)]
    pub enum OnOpen {
        /// It is recorded, and its ticket is withheld until the breaker is closed.
        #[default]
        Wait = "wait",
        /// The next of the alternatives gets it; without one it waits.
        Alternative = "alternative",
        /// It is refused.
        Refuse = "refuse",
    }
}

wire_object! {
    /// How failures of an agent's work are treated. An absent field leaves it to the next source.
    #[derive(Default)]
    pub struct Policy {
        /// How many attempts a hop gets: 1 to 1000.
        opt attempts: u32,
        /// The unit of the backoff in milliseconds: the delay after attempt n is this times 2^n, with 20 % of jitter.
        opt backoff_ms: u64,
        /// The longest delay between two attempts in milliseconds, before jitter.
        opt longest_ms: u64,
        /// How long one attempt may run, in milliseconds; 0 for as long as it takes.
        opt attempt_timeout_ms: u64,
        /// How long work may wait to be taken before that counts as one offer of three, in milliseconds; 0 for ever.
        opt accept_within_ms: u64,
        /// The agents that may stand in for this one, in the order in which they are asked.
        def alternatives: Vec<AgentName>,
        /// What happens to a hop whose attempts are used up: `park`, `fail`, `human`, `compensate` or `escalate:AGENT`.
        opt on_exhausted: OnExhausted,
        /// What happens to work that the agent declines.
        opt on_rejected: OnRejected,
        /// What happens to work that nobody takes.
        opt on_unaccepted: OnUnaccepted,
        /// What happens to new work while the breaker is open.
        opt on_open: OnOpen,
        /// What people are asked before the agent begins with a hop. Only an operator's counts.
        opt gate: Box<Approval>,
    }
}

wire_object! {
    /// Why an agent has work that was meant for another one: it stands in for it.
    pub struct StandsIn {
        /// The agent that the work was meant for. Its policy names the alternatives.
        req for_agent: AgentName,
        /// The agents that have had this work, or were passed over, and do not get it again.
        def tried: Vec<AgentName>,
    }
}

impl StandsIn {
    /// The alternatives that have not had the work.
    pub fn left<'p>(&self, policy: Option<&'p Policy>) -> Vec<&'p AgentName> {
        let alternatives = policy.into_iter().flat_map(|policy| &policy.alternatives);
        alternatives.filter(|agent| !self.tried.contains(agent)).collect()
    }
}

/// What is wrong with a policy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field} {value}: {problem}; fix: {fix}")]
pub struct BadPolicy {
    /// The field.
    pub field: &'static str,
    /// Its value.
    pub value: String,
    /// What is wrong with it.
    pub problem: &'static str,
    /// What to do.
    pub fix: &'static str,
}

impl Policy {
    /// Whether it says nothing.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// This policy with every field that another one gives.
    #[must_use]
    pub fn with(&self, other: &Self) -> Self {
        let mut extra = self.extra.clone();
        extra.extend(other.extra.clone());
        Self {
            attempts: other.attempts.or(self.attempts),
            backoff_ms: other.backoff_ms.or(self.backoff_ms),
            longest_ms: other.longest_ms.or(self.longest_ms),
            attempt_timeout_ms: other.attempt_timeout_ms.or(self.attempt_timeout_ms),
            accept_within_ms: other.accept_within_ms.or(self.accept_within_ms),
            alternatives: match other.alternatives.is_empty() {
                true => self.alternatives.clone(),
                false => other.alternatives.clone(),
            },
            on_exhausted: other.on_exhausted.clone().or_else(|| self.on_exhausted.clone()),
            on_rejected: other.on_rejected.clone().or_else(|| self.on_rejected.clone()),
            on_unaccepted: other.on_unaccepted.clone().or_else(|| self.on_unaccepted.clone()),
            on_open: other.on_open.clone().or_else(|| self.on_open.clone()),
            gate: other.gate.clone().or_else(|| self.gate.clone()),
            extra,
        }
    }

    /// Whether an agent may have this policy.
    ///
    /// # Errors
    /// Names the field, its value and the fix.
    pub fn check(&self, agent: &AgentName) -> Result<(), BadPolicy> {
        let bad = |field, value: String, problem, fix| {
            Err(BadPolicy {
                field,
                value,
                problem,
                fix,
            })
        };
        if let Some(attempts) = self
            .attempts
            .filter(|attempts| !(1..=ATTEMPTS_LIMIT).contains(attempts))
        {
            return bad("attempts", attempts.to_string(), "is out of range", "give 1 to 1000");
        }
        if let Some(millis) = self.accept_within_ms.filter(|millis| (1..1000).contains(millis)) {
            let problem = "is too short: a worker says only after a moment that it has the work";
            return bad(
                "accept_within_ms",
                millis.to_string(),
                problem,
                "give a second or more, or 0 for none",
            );
        }
        if let (Some(longest), Some(backoff)) = (self.longest_ms, self.backoff_ms)
            && longest < backoff
        {
            let problem = "is shorter than the backoff, the unit of every delay";
            let fix = "give as much as --backoff, or more";
            return bad("longest_ms", longest.to_string(), problem, fix);
        }
        let twice = |(at, agent): &(usize, &AgentName)| self.alternatives.iter().take(*at).any(|one| one == *agent);
        if let Some((_, named)) = self.alternatives.iter().enumerate().find(twice) {
            let problem = "an agent is named twice";
            return bad(
                "alternatives",
                named.to_string(),
                problem,
                "name each once, in the order to ask them",
            );
        }
        if self.alternatives.contains(agent) {
            let problem = "an agent cannot stand in for itself";
            return bad("alternatives", agent.to_string(), problem, "name other agents");
        }
        if self.on_exhausted.as_ref().and_then(OnExhausted::agent) == Some(agent) {
            let problem = "an agent cannot escalate to itself";
            return bad(
                "on_exhausted",
                format!("{ESCALATE}{agent}"),
                problem,
                "name another agent",
            );
        }
        if let Some(OnExhausted::Unknown(name)) = &self.on_exhausted {
            let fix = "give park, fail, human, compensate or escalate:AGENT";
            return bad("on_exhausted", format!("\"{name}\""), "is not known", fix);
        }
        let needs = [
            ("on_rejected", self.on_rejected == Some(OnRejected::Alternative)),
            ("on_unaccepted", self.on_unaccepted == Some(OnUnaccepted::Alternative)),
            ("on_open", self.on_open == Some(OnOpen::Alternative)),
        ];
        if self.alternatives.is_empty()
            && let Some((field, _)) = needs.into_iter().find(|(_, wants)| *wants)
        {
            let problem = "the policy names no alternatives";
            return bad(
                field,
                "alternative".to_owned(),
                problem,
                "name them: --alternatives AGENT,…",
            );
        }
        Ok(())
    }
}

/// The policy that holds for a piece of work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InForce {
    /// How many attempts a hop gets.
    pub attempts: u32,
    /// The unit of the backoff.
    pub backoff: Duration,
    /// The longest delay between two attempts, before jitter.
    pub longest: Duration,
    /// How long one attempt may run.
    pub attempt_timeout: Option<Duration>,
    /// How long work may wait to be taken, for one offer.
    pub accept_within: Option<Duration>,
    /// What happens to a hop whose attempts are used up.
    pub on_exhausted: OnExhausted,
    /// What happens to work that the agent declines.
    pub on_rejected: OnRejected,
}

impl InForce {
    /// Joins what a worker `declared`, what an operator has `set` on the agent, and what an intent `asked` for. The operator
    /// comes before the worker. The intent may ask for fewer attempts and for shorter times, and for `park`, `fail` or
    /// `compensate` where the agent does one of them.
    pub fn of(set: Option<&Policy>, declared: Option<&Policy>, asked: Option<&Policy>) -> Self {
        let nothing = Policy::default();
        let (set, declared, asked) = (
            set.unwrap_or(&nothing),
            declared.unwrap_or(&nothing),
            asked.unwrap_or(&nothing),
        );
        let millis = |millis: Option<u64>| millis.filter(|millis| *millis > 0).map(Duration::from_millis);
        let shorter = |own: Option<u64>, asked: Option<u64>| match (millis(own), millis(asked)) {
            (Some(own), Some(asked)) => Some(own.min(asked)),
            (own, asked) => own.or(asked),
        };
        let attempts = set.attempts.or(declared.attempts).unwrap_or(ATTEMPTS_DEFAULT).max(1);
        let own = set.on_exhausted.clone().or_else(|| declared.on_exhausted.clone());
        let own = own.unwrap_or_default();
        let on_exhausted = match (&own, &asked.on_exhausted) {
            (
                OnExhausted::Park | OnExhausted::Fail | OnExhausted::Compensate,
                Some(asked @ (OnExhausted::Park | OnExhausted::Fail | OnExhausted::Compensate)),
            ) => asked.clone(),
            (_, _) => own,
        };
        Self {
            attempts: asked.attempts.map_or(attempts, |asked| asked.clamp(1, attempts)),
            backoff: set
                .backoff_ms
                .or(declared.backoff_ms)
                .map_or(BACKOFF_DEFAULT, Duration::from_millis),
            longest: set
                .longest_ms
                .or(declared.longest_ms)
                .map_or(LONGEST_DEFAULT, Duration::from_millis),
            attempt_timeout: shorter(
                set.attempt_timeout_ms.or(declared.attempt_timeout_ms),
                asked.attempt_timeout_ms,
            ),
            accept_within: shorter(set.accept_within_ms, asked.accept_within_ms),
            on_exhausted,
            on_rejected: set
                .on_rejected
                .clone()
                .or_else(|| declared.on_rejected.clone())
                .unwrap_or_default(),
        }
    }

    /// The delay after a failed attempt; `random` spreads it.
    pub fn delay(&self, attempt: u32, random: u8) -> Duration {
        let doubled = self.backoff.saturating_mul(2_u32.saturating_pow(attempt.min(31)));
        let spread = 0.8 + 0.4 * f64::from(random) / 255.0;
        doubled.min(self.longest).mul_f64(spread)
    }
}

/// Whether work that has waited since `since` was offered as often as it is, and nobody took it.
pub fn is_unaccepted(waited: Duration, accept_within: Duration) -> bool {
    waited >= accept_within.saturating_mul(OFFERS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::wire::Extra;

    fn name(text: &str) -> AgentName {
        text.parse().expect("name")
    }

    fn policy(json: &str) -> Policy {
        serde_json::from_str(json).expect("policy")
    }

    #[test]
    fn the_operator_comes_before_the_worker_and_the_intent_stays_within_both() {
        let declared = policy(r#"{"attempts":5,"backoff_ms":100,"attempt_timeout_ms":60000}"#);
        let set = policy(r#"{"attempts":4,"attempt_timeout_ms":30000,"on_exhausted":"fail"}"#);
        let asked = policy(r#"{"attempts":9,"attempt_timeout_ms":10000,"accept_within_ms":500,"on_exhausted":"park"}"#);
        let in_force = InForce::of(Some(&set), Some(&declared), Some(&asked));
        assert_eq!(in_force.attempts, 4, "an intent gets no more than the agent gives");
        assert_eq!(in_force.backoff, Duration::from_millis(100));
        assert_eq!(in_force.longest, LONGEST_DEFAULT);
        assert_eq!(in_force.attempt_timeout, Some(Duration::from_secs(10)));
        assert_eq!(in_force.accept_within, Some(Duration::from_millis(500)));
        assert_eq!(in_force.on_exhausted, OnExhausted::Park);
        let fewer = InForce::of(Some(&set), Some(&declared), Some(&policy(r#"{"attempts":1}"#)));
        assert_eq!(
            (fewer.attempts, fewer.attempt_timeout),
            (1, Some(Duration::from_secs(30)))
        );
        let none = InForce::of(None, None, None);
        assert_eq!(
            (none.attempts, none.attempt_timeout, none.accept_within),
            (3, None, None)
        );
        let ended = InForce::of(Some(&policy(r#"{"attempt_timeout_ms":0}"#)), Some(&declared), None);
        assert_eq!(ended.attempt_timeout, None, "an operator takes a worker's timeout away");
    }

    #[test]
    fn an_intent_does_not_take_work_away_from_whom_it_is_escalated_to() {
        let set = policy(r#"{"on_exhausted":"escalate:chief"}"#);
        let in_force = InForce::of(Some(&set), None, Some(&policy(r#"{"on_exhausted":"fail"}"#)));
        assert_eq!(in_force.on_exhausted, OnExhausted::Escalate(name("chief")));
        let asked = InForce::of(None, None, Some(&policy(r#"{"on_exhausted":"escalate:chief"}"#)));
        assert_eq!(
            asked.on_exhausted,
            OnExhausted::Park,
            "only the agent's policy escalates"
        );
    }

    #[test]
    fn what_an_operator_gives_comes_over_what_was_there() {
        let before = policy(r#"{"attempts":2,"alternatives":["b"],"on_open":"refuse","newer":1}"#);
        let after = before.with(&policy(r#"{"attempts":7,"on_rejected":"return"}"#));
        let expected =
            policy(r#"{"attempts":7,"alternatives":["b"],"on_open":"refuse","on_rejected":"return","newer":1}"#);
        assert_eq!(after, expected);
        assert_eq!(before.with(&Policy::default()), before);
        assert!(Policy::default().is_empty() && !before.is_empty());
    }

    #[test]
    fn names_of_a_newer_version_survive() {
        let text = r#"{"on_exhausted":"pray","on_rejected":"later","on_open":"queue"}"#;
        let newer = policy(text);
        assert_eq!(newer.on_exhausted, Some(OnExhausted::Unknown("pray".to_owned())));
        assert_eq!(serde_json::to_string(&newer).expect("json"), text);
        let escalates = policy(r#"{"on_exhausted":"escalate:Not A Name"}"#);
        assert!(matches!(escalates.on_exhausted, Some(OnExhausted::Unknown(_))));
        assert_eq!(
            Policy {
                extra: Extra::new(),
                ..Policy::default()
            },
            Policy::default()
        );
    }

    #[test]
    fn what_cannot_be_kept_is_refused_with_its_field() {
        let code = name("code");
        for (json, field) in [
            (r#"{"attempts":0}"#, "attempts"),
            (r#"{"attempts":1001}"#, "attempts"),
            (r#"{"accept_within_ms":999}"#, "accept_within_ms"),
            (r#"{"alternatives":["code"]}"#, "alternatives"),
            (r#"{"alternatives":["b","c","b"]}"#, "alternatives"),
            (r#"{"longest_ms":1,"backoff_ms":5000}"#, "longest_ms"),
            (r#"{"on_exhausted":"escalate:code"}"#, "on_exhausted"),
            (r#"{"on_exhausted":"pray"}"#, "on_exhausted"),
            (r#"{"on_rejected":"alternative"}"#, "on_rejected"),
            (r#"{"on_open":"alternative"}"#, "on_open"),
            (r#"{"on_unaccepted":"alternative"}"#, "on_unaccepted"),
        ] {
            let bad = policy(json).check(&code).expect_err(json);
            assert_eq!(bad.field, field, "{bad}");
        }
        let good = r#"{"attempts":5,"alternatives":["b"],"on_rejected":"alternative","on_exhausted":"escalate:chief"}"#;
        assert_eq!(policy(good).check(&code), Ok(()));
    }

    #[test]
    fn delays_double_up_to_the_longest_within_the_jitter() {
        let policy = InForce::of(None, None, None);
        assert_eq!(policy.delay(1, 0), Duration::from_millis(1600));
        assert_eq!(policy.delay(1, 255), Duration::from_millis(2400));
        assert_eq!(policy.delay(9, 255), Duration::from_secs(36));
        assert_eq!(policy.delay(u32::MAX, 0), Duration::from_secs(24));
    }

    #[test]
    fn work_is_offered_three_times() {
        let within = Duration::from_secs(5);
        assert!(!is_unaccepted(Duration::from_millis(14_999), within));
        assert!(is_unaccepted(Duration::from_secs(15), within));
    }
}
