//! Puts a parked intent back to work.

use crate::base::names::AgentVersion;
use crate::intent::draft::Draft;
use crate::intent::event::Event;
use crate::intent::snapshot::Snapshot;
use crate::intent::status::{IllegalTransition, Status};
use crate::intent::wait_reason::WaitReason;
use crate::message::envelope::Envelope;

/// Gives a parked intent to a version of its agent again. One that has not had its turn waits for it again, at its place.
///
/// # Errors
/// When this may not follow the status of the head.
pub fn redrive(head: &Snapshot, envelope: Envelope, version: AgentVersion) -> Result<Draft, IllegalTransition> {
    let mut draft = Draft::after(head, Event::Redriven)?.put(envelope, version);
    if draft.snapshot.is_before_its_turn() {
        draft.snapshot.status = Status::Waiting {
            reason: WaitReason::Order,
        };
    }
    Ok(draft)
}
