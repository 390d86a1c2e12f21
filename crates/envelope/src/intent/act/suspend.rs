//! A hop stops without holding a process, until what it waits for has come.

use crate::intent::act::exhausted;
use crate::intent::budget::lend;
use crate::intent::children::opened_calls;
use crate::intent::draft::Draft;
use crate::intent::event::Event;
use crate::intent::snapshot::Snapshot;
use crate::intent::status::IllegalTransition;
use crate::intent::waits::{Asked, WaitSpec, compare_waits, reason_of};

/// Suspends the hop until its waits have ended, and takes it from its holder. Waits that are open already, from before the
/// intent was parked or put back, keep the time at which they end.
///
/// # Errors
/// When this may not follow the status of the head. Where the budget does not suffice for what the children are lent, the intent
/// is parked instead, or fails.
pub fn suspend(head: &Snapshot, waits: &[WaitSpec]) -> Result<Draft, IllegalTransition> {
    let is_new = compare_waits(head, waits) != Asked::Same;
    let event = match is_new && opened_calls(waits).next().is_some() {
        true => Event::FannedOut,
        false => Event::Waiting {
            reason: reason_of(waits),
        },
    };
    let mut draft = Draft::after(head, event)?.without_holder();
    let snapshot = &mut draft.snapshot;
    if is_new {
        let hop = snapshot.hop;
        snapshot.waits = waits.iter().map(|wait| wait.open(hop)).collect();
        snapshot
            .children
            .extend(opened_calls(waits).map(|(name, children)| children.open(hop, name)));
        draft.waits = waits.to_vec();
    }
    draft.snapshot.error = None;
    if is_new && let Err(refused) = lend(&mut draft.snapshot, waits) {
        return exhausted(head, &refused);
    }
    Ok(draft)
}
