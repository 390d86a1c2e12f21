//! Adds a note to an open intent from outside of its hop.

use crate::intent::draft::Draft;
use crate::intent::event::Event;
use crate::intent::snapshot::Snapshot;
use crate::intent::status::IllegalTransition;

/// Notes something about the intent and changes nothing: its pins stay those that they were. (`progress` is the holder's
/// own, and does not follow every open status.)
///
/// # Errors
/// When this may not follow the status of the head.
pub fn annotate(head: &Snapshot, note: &str) -> Result<Draft, IllegalTransition> {
    Ok(Draft::after(head, Event::Repinned)?.with_note(Some(note.to_owned())))
}
