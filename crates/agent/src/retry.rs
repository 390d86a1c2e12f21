//! When to retry a failed attempt.

use std::time::Duration;

use baton_envelope::{ATTEMPTS_DEFAULT, BACKOFF_DEFAULT, LONGEST_DEFAULT, Policy};

/// How often and when to retry a failed hop. An operator may change it for an agent while its workers run
/// (`baton agents policy`).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RetryPolicy {
    /// How many attempts a hop gets before it is parked; a worker that dies during one uses it up.
    pub max_attempts: u32,
    /// The unit of the backoff: the delay after attempt n is `unit × 2^n`, with ±20 % of jitter.
    pub unit: Duration,
    /// The longest delay, before jitter.
    pub longest: Duration,
    /// How long one attempt may run. After that it has failed, and is tried again: the handler is dropped, and a program of
    /// it ended. None: as long as it takes.
    pub attempt_timeout: Option<Duration>,
}

impl Default for RetryPolicy {
    /// Three attempts, with min(2^n, 30) seconds after attempt n.
    fn default() -> Self {
        Self {
            max_attempts: ATTEMPTS_DEFAULT,
            unit: BACKOFF_DEFAULT,
            longest: LONGEST_DEFAULT,
            attempt_timeout: None,
        }
    }
}

impl RetryPolicy {
    /// The policy, as the protocol has it.
    pub(crate) fn policy(&self) -> Policy {
        let millis = |duration: Duration| u64::try_from(duration.as_millis()).ok();
        Policy {
            attempts: Some(self.max_attempts),
            backoff_ms: millis(self.unit),
            longest_ms: millis(self.longest),
            attempt_timeout_ms: self.attempt_timeout.and_then(millis),
            ..Policy::default()
        }
    }

    /// What a worker declares of it: whatever differs from what every worker does.
    pub(crate) fn declared(&self) -> Option<Policy> {
        let (own, usual) = (self.policy(), Self::default().policy());
        let declared = Policy {
            attempts: own.attempts.filter(|_| own.attempts != usual.attempts),
            backoff_ms: own.backoff_ms.filter(|_| own.backoff_ms != usual.backoff_ms),
            longest_ms: own.longest_ms.filter(|_| own.longest_ms != usual.longest_ms),
            ..own
        };
        (!declared.is_empty()).then_some(declared)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_declares_what_differs_from_the_usual() {
        assert_eq!(RetryPolicy::default().declared(), None);
        let own = RetryPolicy {
            max_attempts: 5,
            attempt_timeout: Some(Duration::from_secs(30)),
            ..RetryPolicy::default()
        };
        let declared = own.declared().expect("it differs");
        let text = serde_json::to_string(&declared).expect("json");
        assert_eq!(text, r#"{"attempts":5,"attempt_timeout_ms":30000}"#);
    }
}
