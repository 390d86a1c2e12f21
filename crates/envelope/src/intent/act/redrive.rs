//! Puts a parked intent back to work.

use crate::base::names::AgentVersion;
use crate::intent::draft::Draft;
use crate::intent::event::Event;
use crate::intent::snapshot::Snapshot;
use crate::intent::status::IllegalTransition;
use crate::message::envelope::Envelope;

/// Gives a parked intent to a version of its agent again.
///
/// # Errors
/// When this may not follow the status of the head.
pub fn redrive(head: &Snapshot, envelope: Envelope, version: AgentVersion) -> Result<Draft, IllegalTransition> {
    Ok(Draft::after(head, Event::Redriven)?.put(envelope, version))
}
