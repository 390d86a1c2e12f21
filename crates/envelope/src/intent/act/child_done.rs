//! Children have ended.

use crate::intent::children::{ChildrenDone, forget_over};
use crate::intent::draft::Draft;
use crate::intent::event::Event;
use crate::intent::snapshot::Snapshot;
use crate::intent::status::IllegalTransition;

/// Records the ends of children that are not recorded yet; `None` when there is none. It changes nothing else, so a holder
/// writes on after it.
///
/// # Errors
/// When this may not follow the status of the head.
pub fn child_done(head: &Snapshot, done: &[ChildrenDone]) -> Result<Option<Draft>, IllegalTransition> {
    let mut draft = Draft::after(head, Event::ChildDone)?;
    for of_call in done {
        let sets = &mut draft.snapshot.children;
        let set = sets
            .iter_mut()
            .find(|set| set.hop == of_call.hop && set.name == of_call.name);
        let Some(set) = set else { continue };
        let ends = set.record(of_call.ends.clone());
        if !ends.is_empty() {
            draft.children.push(ChildrenDone {
                ends,
                ..of_call.clone()
            });
        }
    }
    forget_over(&mut draft.snapshot);
    Ok((!draft.children.is_empty()).then_some(draft))
}
