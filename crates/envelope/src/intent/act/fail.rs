//! Fails an intent permanently.

use crate::intent::draft::Draft;
use crate::intent::error_info::ErrorInfo;
use crate::intent::event::Event;
use crate::intent::snapshot::Snapshot;
use crate::intent::status::IllegalTransition;

/// Ends the intent as failed.
///
/// # Errors
/// When this may not follow the status of the head.
pub fn fail(head: &Snapshot, error: ErrorInfo) -> Result<Draft, IllegalTransition> {
    let code = error.code.clone();
    Ok(Draft::after(head, Event::Failed { code })?.with_error(error))
}
