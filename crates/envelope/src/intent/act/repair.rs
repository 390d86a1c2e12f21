//! States again where an intent stands, behind a record that cannot be read.

use crate::intent::containment::close_again;
use crate::intent::draft::Draft;
use crate::intent::event::Event;
use crate::intent::record::Record;
use crate::intent::status::IllegalTransition;

/// Writes the state of the last record that counts once more, so that every reader finds it at the end. Whoever holds the hop
/// keeps it: as with each event that only adds, the holder's next write comes after this one.
///
/// # Errors
/// When nothing may follow the status.
pub fn repair(last: &Record, note: &str) -> Result<Draft, IllegalTransition> {
    let snapshot = &last.snapshot;
    let draft = if snapshot.status.is_terminal() {
        close_again(snapshot, last)
    } else {
        // Its pins are those that it had: this says nothing new, and every version of Baton reads it.
        Draft::after(snapshot, Event::Repinned)?
    };
    Ok(draft.with_note(Some(note.to_owned())))
}
