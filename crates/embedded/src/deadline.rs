//! Waits with a limit for real processes and sockets.

#![expect(
    clippy::disallowed_types,
    reason = "bounds real processes from blocking code: no paused clock can apply"
)]

use std::thread;
use std::time::{Duration, Instant};

/// The pause between two checks of a process, a file or a socket.
pub(crate) const POLL: Duration = Duration::from_millis(10);

/// The point in time at which waiting ends.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Deadline(Instant);

impl Deadline {
    pub(crate) fn after(max: Duration) -> Self {
        Self(Instant::now() + max)
    }

    /// The time left; never zero, because sockets refuse a zero timeout.
    pub(crate) fn remaining(&self) -> Duration {
        self.0
            .saturating_duration_since(Instant::now())
            .max(Duration::from_millis(1))
    }

    pub(crate) fn passed(&self) -> bool {
        Instant::now() >= self.0
    }

    /// Pauses for one poll; returns false if the deadline has passed.
    pub(crate) fn pause(&self) -> bool {
        if self.passed() {
            return false;
        }
        thread::sleep(POLL);
        true
    }
}
