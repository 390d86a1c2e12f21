//! Hands the work to the next agent.

use crate::base::names::AgentVersion;
use crate::intent::draft::Draft;
use crate::intent::event::Event;
use crate::intent::snapshot::Snapshot;
use crate::intent::status::IllegalTransition;
use crate::message::envelope::Envelope;

/// Gives the next envelope to a version of its agent.
///
/// # Errors
/// When this may not follow the status of the head.
pub fn hand_off(head: &Snapshot, envelope: Envelope, version: AgentVersion) -> Result<Draft, IllegalTransition> {
    Ok(Draft::after(head, Event::HandedOff)?.put(envelope, version))
}
