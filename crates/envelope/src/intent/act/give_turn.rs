//! It is the turn of work that waited for it.

use crate::base::names::AgentVersion;
use crate::base::timestamp::Timestamp;
use crate::intent::act::resume::resume;
use crate::intent::draft::Draft;
use crate::intent::snapshot::Snapshot;
use crate::intent::status::IllegalTransition;
use crate::message::envelope::Envelope;

/// Puts the work before its version. `of` is how many may have their turn at a time, `at` the time where it matters to the
/// next of its key. `envelope` is the hop's envelope under a new id.
///
/// # Errors
/// When this may not follow the status of the head.
pub fn give_turn(
    head: &Snapshot,
    envelope: Envelope,
    version: AgentVersion,
    of: u32,
    at: Option<Timestamp>,
) -> Result<Draft, IllegalTransition> {
    let mut draft = resume(head, envelope, version, Vec::new(), &[])?;
    if let Some(order) = &mut draft.snapshot.order {
        order.given = Some(of);
        order.given_at = at;
    }
    Ok(draft)
}
