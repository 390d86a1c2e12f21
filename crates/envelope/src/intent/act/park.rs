//! Sets an intent aside for a person.

use crate::intent::draft::Draft;
use crate::intent::error_info::ErrorInfo;
use crate::intent::event::Event;
use crate::intent::snapshot::Snapshot;
use crate::intent::status::IllegalTransition;

/// Sets the intent aside, and takes the hop from its holder.
///
/// # Errors
/// When this may not follow the status of the head.
pub fn park(head: &Snapshot, error: ErrorInfo) -> Result<Draft, IllegalTransition> {
    let code = error.code.clone();
    Ok(Draft::after(head, Event::Parked { code })?
        .without_holder()
        .with_error(error))
}
