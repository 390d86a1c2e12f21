//! Who holds a unique key, and for how long.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::base::ids::IntentId;
use crate::base::timestamp::Timestamp;
use crate::intent::record::{Author, Record};
use crate::intent::status::Status;
use crate::message::envelope::Envelope;

/// Who holds a unique key. It has the work itself: whoever finds that its submitter died before the submit completes it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct UniqueHolder {
    /// The key as it was given, for people.
    pub key: String,
    /// The intent.
    pub intent: IntentId,
    /// When it took the key, by the server's clock.
    pub at: Timestamp,
    /// For how long it holds the key once it has completed.
    pub within_ms: u64,
    /// Who submits it.
    pub by: Author,
    /// What is submitted.
    pub envelope: Envelope,
}

impl UniqueHolder {
    /// Whether the time is over for which completed work holds the key.
    pub fn is_over(&self, now: Timestamp) -> bool {
        self.at.plus(Duration::from_millis(self.within_ms)) <= now
    }

    /// Whether it holds the key still, by the last record of its intent: as long as it is open, and, once completed, until
    /// its time is over. Work that failed, was rejected, cancelled or late leaves the key free for another try.
    pub fn holds(&self, last: &Record, now: Timestamp) -> bool {
        let status = &last.snapshot.status;
        match *status == Status::Completed {
            true => !self.is_over(now),
            false => !status.is_terminal(),
        }
    }
}
