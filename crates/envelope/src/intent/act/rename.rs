//! Moves an intent that waits or is parked to another version. It has no ticket, so only the name changes.

use crate::base::names::AgentName;
use crate::base::names::AgentVersion;
use crate::intent::act::repin::change_pin;
use crate::intent::draft::Draft;
use crate::intent::event::Event;
use crate::intent::snapshot::Snapshot;
use crate::intent::status::IllegalTransition;

/// Names the version that will go on with the work later.
///
/// # Errors
/// When this may not follow the status of the head.
pub fn rename(head: &Snapshot, agent: &AgentName, version: &AgentVersion) -> Result<Draft, IllegalTransition> {
    let mut draft = Draft::after(head, Event::Moved)?;
    let snapshot = &mut draft.snapshot;
    snapshot.wake_at = head.wake_at;
    snapshot.version = Some(version.clone());
    snapshot.epoch = snapshot.epoch.saturating_add(1);
    snapshot.given_back = None;
    if let Some(last) = snapshot.path.last_mut().filter(|last| last.agent == *agent) {
        last.version = version.clone();
    }
    change_pin(snapshot, agent, version);
    Ok(draft)
}
