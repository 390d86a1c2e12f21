//! Schedules the next attempt after a failed one.

use crate::base::timestamp::Timestamp;
use crate::intent::draft::Draft;
use crate::intent::error_info::ErrorInfo;
use crate::intent::event::Event;
use crate::intent::snapshot::Snapshot;
use crate::intent::status::IllegalTransition;

/// Schedules the next attempt, not before `wake_at`.
///
/// # Errors
/// When this may not follow the status of the head.
pub fn retry(head: &Snapshot, wake_at: Timestamp, error: ErrorInfo) -> Result<Draft, IllegalTransition> {
    let mut draft = Draft::after(head, Event::RetryScheduled)?
        .given_back()
        .with_error(error);
    draft.snapshot.attempt = draft.snapshot.attempt.saturating_add(1);
    draft.snapshot.wake_at = Some(wake_at);
    Ok(draft)
}
