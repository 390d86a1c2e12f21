//! Saying again and again, but not each time, what lasts.

use std::time::Duration;

use tokio::time::Instant;

/// How often to say what lasts.
const EVERY: Duration = Duration::from_secs(60);

/// When something was said last; `None` while there is nothing to say.
#[derive(Debug, Default)]
pub(super) struct Told(Option<Instant>);

impl Told {
    /// Whether to say it now.
    pub(super) fn is_due(&mut self) -> bool {
        let due = self.0.is_none_or(|at| at.elapsed() >= EVERY);
        if due {
            self.0 = Some(Instant::now());
        }
        due
    }

    /// It is over; tells whether it was said.
    pub(super) fn end(&mut self) -> bool {
        self.0.take().is_some()
    }
}
