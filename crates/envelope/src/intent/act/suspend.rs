//! A hop stops without holding a process, until what it waits for has come.

use crate::intent::draft::Draft;
use crate::intent::event::Event;
use crate::intent::snapshot::Snapshot;
use crate::intent::status::IllegalTransition;
use crate::intent::waits::{Asked, WaitSpec, compare_waits, reason_of};

/// Suspends the hop until its waits have ended, and takes it from its holder. Waits that are open already, from before the
/// intent was parked or put back, keep the time at which they end.
///
/// # Errors
/// When this may not follow the status of the head.
pub fn suspend(head: &Snapshot, waits: &[WaitSpec]) -> Result<Draft, IllegalTransition> {
    let reason = reason_of(waits);
    let mut draft = Draft::after(head, Event::Waiting { reason })?.without_holder();
    let snapshot = &mut draft.snapshot;
    if compare_waits(head, waits) != Asked::Same {
        let hop = snapshot.hop;
        snapshot.waits = waits.iter().map(|wait| wait.open(hop)).collect();
        draft.waits = waits.to_vec();
    }
    draft.snapshot.error = None;
    Ok(draft)
}
