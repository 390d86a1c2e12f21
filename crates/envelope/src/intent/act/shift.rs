//! Moves open work to another version of its agent: because a person asked (`moved`), or because its version no longer
//! takes work (`rerouted`).

use crate::base::names::AgentVersion;
use crate::intent::act::repin::change_pin;
use crate::intent::draft::Draft;
use crate::intent::event::Event;
use crate::intent::snapshot::Snapshot;
use crate::intent::status::IllegalTransition;
use crate::message::envelope::Envelope;

/// Who moves work to another version.
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

/// Gives the current hop to another version and fences out its holder. A pin to the agent changes with it. `envelope`
/// is the hop's envelope under a new id, because the server's duplicate window still holds the old ticket's id.
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
