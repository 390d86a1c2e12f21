//! Gives the present hop a new ticket: because its delay is skipped, or because whoever runs it is to be fenced out.

use crate::intent::draft::Draft;
use crate::intent::event::Event;
use crate::intent::snapshot::Snapshot;
use crate::intent::status::IllegalTransition;
use crate::message::envelope::Envelope;

/// When the new ticket may run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wake {
    /// When the old one might have: a delay stays.
    AsPlanned,
    /// At once.
    Now,
}

/// Takes the hop from whoever has it and puts it before the same version again, at the same attempt. `envelope` is the
/// hop's envelope under a new id: so every ticket that was written or delivered before is superseded, whatever its holder
/// knows, and the server does not take the new one for a repeat.
///
/// # Errors
/// When this may not follow the status of the head.
pub fn renew(head: &Snapshot, envelope: Envelope, wake: Wake, reason: &str) -> Result<Draft, IllegalTransition> {
    let mut draft = Draft::after(head, Event::Released)?.given_back().renewed(envelope);
    if wake == Wake::AsPlanned {
        draft.snapshot.wake_at = head.wake_at;
    }
    Ok(draft.with_note(Some(reason.to_owned())))
}
