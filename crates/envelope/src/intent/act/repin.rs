//! The versions that an intent is held to change.

use crate::base::names::AgentName;
use crate::base::names::AgentVersion;
use crate::intent::draft::Draft;
use crate::intent::event::Event;
use crate::intent::snapshot::Snapshot;
use crate::intent::status::IllegalTransition;

/// Changes a pin of work that is elsewhere.
///
/// # Errors
/// When this may not follow the status of the head.
pub fn repin(head: &Snapshot, agent: &AgentName, version: &AgentVersion) -> Result<Draft, IllegalTransition> {
    let mut draft = Draft::after(head, Event::Repinned)?;
    change_pin(&mut draft.snapshot, agent, version);
    Ok(draft)
}

/// Changes a pin that is there. One that is not there is not made: a move is no promise for later hops.
pub(crate) fn change_pin(snapshot: &mut Snapshot, agent: &AgentName, version: &AgentVersion) {
    if let Some(pinned) = snapshot.pins.get_mut(agent) {
        *pinned = version.clone();
    }
}
