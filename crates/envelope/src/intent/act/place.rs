//! Gives an intent its place in the order of its key.

use crate::intent::draft::Draft;
use crate::intent::event::Event;
use crate::intent::snapshot::Snapshot;
use crate::intent::status::IllegalTransition;

/// Gives the intent its place behind all that have one. What was published raw begins without: its order is that of the
/// intake, and the routers write it to the ledger in any.
///
/// # Errors
/// When this may not follow the status of the head.
pub fn place(head: &Snapshot) -> Result<Draft, IllegalTransition> {
    let mut draft = Draft::after(head, Event::Placed)?;
    if let Some(order) = &mut draft.snapshot.order {
        (order.intake, order.place) = (None, None);
    }
    Ok(draft)
}
