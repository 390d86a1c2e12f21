//! A holder gives the hop back unfinished.

use crate::intent::draft::Draft;
use crate::intent::event::Event;
use crate::intent::snapshot::Snapshot;
use crate::intent::status::IllegalTransition;

/// Gives the hop back. The next delivery burns no attempt.
///
/// # Errors
/// When this may not follow the status of the head.
pub fn release(head: &Snapshot, reason: &str) -> Result<Draft, IllegalTransition> {
    let draft = Draft::after(head, Event::Released)?.given_back();
    Ok(draft.with_note(Some(reason.to_owned())))
}
