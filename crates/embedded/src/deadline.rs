//! Bounded waiting for real processes and sockets.

#![expect(
    clippy::disallowed_types,
    reason = "bounds real processes from blocking code: no paused clock can apply"
)]

use std::thread;
use std::time::{Duration, Instant};

/// Pause between two looks at a process, a file or a socket.
pub(crate) const POLL: Duration = Duration::from_millis(10);

/// A point in time after which waiting ends.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Deadline(Instant);

impl Deadline {
    pub(crate) fn after(max: Duration) -> Self {
        Self(Instant::now() + max)
    }

    /// Time left; never zero, because sockets refuse a timeout of zero.
    pub(crate) fn remaining(&self) -> Duration {
        self.0
            .saturating_duration_since(Instant::now())
            .max(Duration::from_millis(1))
    }

    pub(crate) fn passed(&self) -> bool {
        Instant::now() >= self.0
    }

    /// Pauses for one poll; false when the deadline has passed.
    pub(crate) fn pause(&self) -> bool {
        if self.passed() {
            return false;
        }
        thread::sleep(POLL);
        true
    }
}
