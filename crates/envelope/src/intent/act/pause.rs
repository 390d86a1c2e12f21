//! Pauses an open intent.

use crate::base::codes;
use crate::intent::draft::Draft;
use crate::intent::error_info::ErrorInfo;
use crate::intent::event::Event;
use crate::intent::snapshot::Snapshot;
use crate::intent::status::IllegalTransition;

/// Sets the intent aside because somebody wants it to stand still, and takes the hop from its holder. It waits as a dead
/// letter does, and goes on as one does: it is redriven.
///
/// # Errors
/// When this may not follow the status of the head.
pub fn pause(head: &Snapshot, reason: &str) -> Result<Draft, IllegalTransition> {
    let code = codes::PAUSED.to_owned();
    let error = ErrorInfo::new(codes::PAUSED, reason);
    let draft = Draft::after(head, Event::Parked { code })?
        .without_holder()
        .with_error(error);
    Ok(draft.with_note(Some(reason.to_owned())))
}
