//! Something was done about an approval that is open: a decision, a delegation, a reminder, an escalation.

use crate::intent::draft::Draft;
use crate::intent::event::Event;
use crate::intent::signals::tell;
use crate::intent::snapshot::Snapshot;
use crate::intent::status::IllegalTransition;
use crate::people::{Ballot, PeopleEntry};

/// Notes what was done, with the state of the approval after it. The record that makes the outcome certain fixes it. It
/// changes nothing else, so a holder writes on after it.
///
/// # Errors
/// When this may not follow the status of the head.
pub fn decide(head: &Snapshot, entry: PeopleEntry, ballot: Ballot) -> Result<Draft, IllegalTransition> {
    let mut draft = Draft::after(head, Event::Signalled)?;
    let snapshot = &mut draft.snapshot;
    let of_entry = |wait: &&mut crate::intent::waits::OpenWait| wait.hop == entry.hop && wait.name == entry.wait;
    if let Some(wait) = snapshot.waits.iter_mut().find(of_entry) {
        wait.decided = ballot.decided.as_ref().map(|decided| decided.choice.clone());
        wait.ballot = Some(ballot);
    }
    if let Some(id) = &entry.id {
        tell(snapshot, id);
    }
    draft.people = Some(Box::new(entry));
    Ok(draft)
}
