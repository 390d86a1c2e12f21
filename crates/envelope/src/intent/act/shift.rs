//! Open work is put before another version of its agent: by a person (`moved`), or because its version takes none any
//! more (`rerouted`).

use crate::base::names::AgentVersion;
use crate::intent::act::repin::change_pin;
use crate::intent::draft::Draft;
use crate::intent::event::Event;
use crate::intent::snapshot::Snapshot;
use crate::intent::status::IllegalTransition;
use crate::message::envelope::Envelope;

/// What puts work before another version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shift {
    /// A person.
    Moved,
    /// The route.
    Rerouted,
}

impl Shift {
    fn event(self) -> Event {
        match self {
            Self::Moved => Event::Moved,
            Self::Rerouted => Event::Rerouted,
        }
    }
}

/// Puts the present hop before another version; whoever holds it is fenced out. `envelope` is that of the hop under a new
/// id: the old ticket's id is still in the server's duplicate window. A pin to the agent goes along.
///
/// # Errors
/// When this may not follow the status of the head.
pub fn shift(
    head: &Snapshot,
    shift: Shift,
    envelope: Envelope,
    version: AgentVersion,
) -> Result<Draft, IllegalTransition> {
    let mut draft = Draft::after(head, shift.event())?;
    change_pin(&mut draft.snapshot, &envelope.to, &version);
    Ok(draft.put(envelope, version))
}
