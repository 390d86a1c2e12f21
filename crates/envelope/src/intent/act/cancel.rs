//! Cancels an open intent.

use crate::base::codes;
use crate::intent::draft::Draft;
use crate::intent::error_info::ErrorInfo;
use crate::intent::event::Event;
use crate::intent::snapshot::Snapshot;
use crate::intent::status::IllegalTransition;

/// Ends the intent because somebody no longer wants it, and takes the hop from its holder: whatever the holder still
/// commits is refused.
///
/// # Errors
/// When this may not follow the status of the head.
pub fn cancel(head: &Snapshot, reason: &str) -> Result<Draft, IllegalTransition> {
    let error = ErrorInfo::new(codes::CANCELLED, reason);
    let draft = Draft::after(head, Event::Cancelled)?.without_holder().with_error(error);
    Ok(draft.with_note(Some(reason.to_owned())))
}
