//! What a hop waited for has come.

use crate::base::names::AgentVersion;
use crate::intent::children::forget_over;
use crate::intent::draft::Draft;
use crate::intent::event::Event;
use crate::intent::snapshot::Snapshot;
use crate::intent::status::IllegalTransition;
use crate::intent::waits::WaitResult;
use crate::message::envelope::Envelope;

/// Ends the waits of the hop with these results, and gives it to its version again. `taken` are the message ids of the
/// signals that its waits have taken. `envelope` is the hop's envelope under a new id: the server still knows the old one,
/// and would drop its ticket. It names this version, as the intent may have been moved while it waited.
///
/// # Errors
/// When this may not follow the status of the head.
pub fn resume(
    head: &Snapshot,
    mut envelope: Envelope,
    version: AgentVersion,
    results: Vec<WaitResult>,
    taken: &[String],
) -> Result<Draft, IllegalTransition> {
    let mut draft = Draft::after(head, Event::Resumed)?;
    draft.snapshot.waits.clear();
    forget_over(&mut draft.snapshot);
    draft.snapshot.signals.retain(|signal| !taken.contains(&signal.id));
    draft.results = results;
    envelope.to_version = Some(version.clone());
    Ok(draft.put(envelope, version))
}
