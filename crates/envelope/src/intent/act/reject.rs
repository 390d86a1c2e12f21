//! An agent declines an intent.

use crate::intent::draft::Draft;
use crate::intent::error_info::ErrorInfo;
use crate::intent::event::Event;
use crate::intent::snapshot::Snapshot;
use crate::intent::status::IllegalTransition;

/// Ends the intent as declined.
///
/// # Errors
/// When this may not follow the status of the head.
pub fn reject(head: &Snapshot, error: ErrorInfo) -> Result<Draft, IllegalTransition> {
    let code = error.code.clone();
    Ok(Draft::after(head, Event::Rejected { code })?.with_error(error))
}
