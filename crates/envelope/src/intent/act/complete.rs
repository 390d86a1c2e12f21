//! Completes an intent.

use crate::base::json::Json;
use crate::intent::draft::Draft;
use crate::intent::event::Event;
use crate::intent::snapshot::Snapshot;
use crate::intent::status::IllegalTransition;

/// Ends the intent with its result.
///
/// # Errors
/// When this may not follow the status of the head.
pub fn complete(head: &Snapshot, result: Json) -> Result<Draft, IllegalTransition> {
    let mut draft = Draft::after(head, Event::Completed)?;
    draft.snapshot.result = Some(result);
    draft.snapshot.error = None;
    Ok(draft)
}
