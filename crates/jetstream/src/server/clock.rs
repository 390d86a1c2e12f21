//! Time and randomness, which come in from outside.

use std::fmt::Debug;

use baton_envelope::{EnvelopeId, IntentId, RecordId, Timestamp};

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
