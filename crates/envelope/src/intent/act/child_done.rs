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
        let set = set.clone();
        draft.snapshot.settle(&set, faults::settled(&ends, &of_call.ends));
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

/// Faults of test builds.
mod faults {
    use crate::base::mutants::Mutant;
    use crate::intent::children::ChildEnd;

    /// B3: the ends to settle; the fault settles also what is recorded already.
    pub(super) fn settled<'e>(new: &'e [ChildEnd], all: &'e [ChildEnd]) -> &'e [ChildEnd] {
        match Mutant::B3SettlesTwice.is_on() {
            true => all,
            false => new,
        }
    }
}
