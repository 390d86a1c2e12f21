//! A holder says how far it is.

use crate::base::json::Json;
use crate::intent::draft::Draft;
use crate::intent::event::Event;
use crate::intent::snapshot::Snapshot;
use crate::intent::status::IllegalTransition;

/// Adds what the holder tells of its progress, for whoever asks. No attempt reads it.
///
/// # Errors
/// When this may not follow the status of the head.
pub fn publish_state(head: &Snapshot, state: Json) -> Result<Draft, IllegalTransition> {
    let mut draft = Draft::after(head, Event::Progress)?;
    draft.state = Some(state);
    Ok(draft)
}
