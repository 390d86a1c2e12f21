//! Time and randomness, which come in from outside.

use std::fmt::Debug;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use baton_envelope::{EnvelopeId, IntentId, RecordId, SecretKey, Timestamp};

/// Where the time and random bytes come from. Production uses [`SystemClock`]; tests may pass their own.
pub trait Clock: Debug + Send + Sync {
    /// The time now.
    fn now(&self) -> Timestamp;

    /// Fresh random bytes.
    fn random(&self) -> [u8; 10];

    /// A new envelope id.
    fn envelope_id(&self) -> EnvelopeId {
        EnvelopeId::generate(self.now(), self.random())
    }

    /// A new record id.
    fn record_id(&self) -> RecordId {
        RecordId::generate(self.now(), self.random())
    }

    /// A new intent id.
    fn intent_id(&self) -> IntentId {
        IntentId::generate(self.now(), self.random())
    }
}

/// The machine's clock and random numbers.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place where the machine's clock is read"
    )]
    fn now(&self) -> Timestamp {
        let since = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .unwrap_or_default();
        Timestamp::from_unix_millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
    }

    fn random(&self) -> [u8; 10] {
        rand::random()
    }
}

/// A new key to sign records with, from the machine's random numbers.
pub fn new_signing_key() -> SecretKey {
    SecretKey::of(rand::random())
}

/// By how much the clock of this machine is off, as the server's answers tell.
///
/// A worker whose clock is half a minute behind would wait that much longer for each retry, and one whose clock is ahead
/// would end work before its deadline. Whoever compares times of several machines needs one clock, and the server's is the
/// one that all of them can read: each answer about a stream has it.
#[derive(Debug, Default)]
pub(crate) struct ServerTime {
    /// In milliseconds; positive where the server is ahead. 0 below [`TOLERATED`].
    ahead: AtomicI64,
}

/// What two clocks that NTP sets may be apart, with the way of an answer.
const TOLERATED: Duration = Duration::from_secs(1);

impl ServerTime {
    /// The server's time at a time of this machine.
    pub(crate) fn of(&self, here: Timestamp) -> Timestamp {
        let ahead = self.ahead.load(Ordering::Relaxed);
        let by = Duration::from_millis(ahead.unsigned_abs());
        if ahead < 0 { here.minus(by) } else { here.plus(by) }
    }

    /// By how many milliseconds this machine's clock is ahead; negative where it is behind.
    pub(crate) fn clock_ahead_ms(&self) -> i64 {
        self.ahead.load(Ordering::Relaxed).saturating_neg()
    }

    /// Learns from a time that the server told between two times of this machine. An answer that took long tells nothing.
    pub(crate) fn learn(&self, told: Timestamp, asked: Timestamp, answered: Timestamp) {
        let way = answered.since(asked);
        if way > TOLERATED || answered < asked {
            return;
        }
        let here = asked.plus(way / 2);
        let (ahead, behind) = (told.since(here), here.since(told));
        let apart = ahead.max(behind);
        let millis = i64::try_from(apart.as_millis()).unwrap_or(i64::MAX);
        let new = match apart < TOLERATED {
            true => 0,
            false if ahead > behind => millis,
            false => -millis,
        };
        let old = self.ahead.swap(new, Ordering::Relaxed);
        // Not at each answer: what changes by less is the way of the answers.
        if old.abs_diff(new) >= TOLERATED.as_millis().try_into().unwrap_or(u64::MAX) {
            tracing::warn!(
                "the clock of this machine is {:.1} s {} the server's; times are corrected by that: set it by NTP",
                apart.as_secs_f64(),
                if ahead > behind { "behind" } else { "ahead of" }
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_unix_millis(millis)
    }

    #[test]
    fn a_clock_that_is_off_is_corrected_in_both_directions() {
        let time = ServerTime::default();
        time.learn(at(130_010), at(100_000), at(100_020));
        assert_eq!(time.of(at(200_000)), at(230_000));
        assert_eq!(time.clock_ahead_ms(), -30_000);
        time.learn(at(70_010), at(100_000), at(100_020));
        assert_eq!(time.of(at(200_000)), at(170_000));
        time.learn(at(100_500), at(100_000), at(100_020));
        assert_eq!(time.of(at(200_000)), at(200_000), "it was set");
    }

    #[test]
    fn an_answer_that_took_long_tells_nothing() {
        let time = ServerTime::default();
        time.learn(at(130_000), at(100_000), at(102_000));
        assert_eq!(time.of(at(200_000)), at(200_000));
    }
}
