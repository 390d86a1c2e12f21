//! Changes the versions that an intent is pinned to.

use crate::base::names::AgentName;
use crate::base::names::AgentVersion;
use crate::intent::draft::Draft;
use crate::intent::event::Event;
use crate::intent::snapshot::Snapshot;
use crate::intent::status::IllegalTransition;

/// Changes a pin to an agent that does not have the work now.
///
/// # Errors
/// When this may not follow the status of the head.
pub fn repin(head: &Snapshot, agent: &AgentName, version: &AgentVersion) -> Result<Draft, IllegalTransition> {
    let mut draft = Draft::after(head, Event::Repinned)?;
    change_pin(&mut draft.snapshot, agent, version);
    Ok(draft)
}

/// Changes an existing pin. It never adds one: a move promises nothing for later hops.
pub(crate) fn change_pin(snapshot: &mut Snapshot, agent: &AgentName, version: &AgentVersion) {
    if let Some(pinned) = snapshot.pins.get_mut(agent) {
        *pinned = version.clone();
    }
}
