//! Ends an intent whose deadline passed.

use crate::intent::draft::Draft;
use crate::intent::event::Event;
use crate::intent::snapshot::Snapshot;
use crate::intent::status::IllegalTransition;

/// Ends the intent because its deadline passed, and takes the hop from its holder.
///
/// # Errors
/// When this may not follow the status of the head.
pub fn time_out(head: &Snapshot) -> Result<Draft, IllegalTransition> {
    Ok(Draft::after(head, Event::TimedOut)?.without_holder())
}
