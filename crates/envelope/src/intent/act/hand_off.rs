//! The hop is done, and another agent goes on.

use crate::base::names::AgentVersion;
use crate::intent::draft::Draft;
use crate::intent::event::Event;
use crate::intent::snapshot::Snapshot;
use crate::intent::status::IllegalTransition;
use crate::message::envelope::Envelope;

/// Puts the next envelope before a version of the agent that it is for.
///
/// # Errors
/// When this may not follow the status of the head.
pub fn hand_off(head: &Snapshot, envelope: Envelope, version: AgentVersion) -> Result<Draft, IllegalTransition> {
    Ok(Draft::after(head, Event::HandedOff)?.put(envelope, version))
}
