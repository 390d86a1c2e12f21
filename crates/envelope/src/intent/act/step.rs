//! Records the result of a step.

use crate::intent::draft::Draft;
use crate::intent::event::Event;
use crate::intent::record::StepEntry;
use crate::intent::snapshot::Snapshot;
use crate::intent::status::IllegalTransition;

/// Records the result of a step. Later attempts reuse it.
///
/// # Errors
/// When this may not follow the status of the head.
pub fn step(head: &Snapshot, entry: StepEntry) -> Result<Draft, IllegalTransition> {
    let mut draft = Draft::after(head, Event::Step)?;
    if entry.undo.is_some() {
        draft.snapshot.count_undo();
    }
    draft.step = Some(entry);
    Ok(draft)
}
