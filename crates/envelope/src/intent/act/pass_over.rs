//! Gives work that nobody has taken to another agent.

use crate::base::names::AgentVersion;
use crate::intent::draft::Draft;
use crate::intent::error_info::ErrorInfo;
use crate::intent::event::Event;
use crate::intent::snapshot::Snapshot;
use crate::intent::status::IllegalTransition;
use crate::message::envelope::Envelope;

/// Gives the work to a version of another agent, which stands in for the one that did not take it. `envelope` is one hop
/// further, so that the path shows both; `error` says why.
///
/// # Errors
/// When this may not follow the status of the head.
pub fn pass_over(
    head: &Snapshot,
    envelope: Envelope,
    version: AgentVersion,
    error: ErrorInfo,
) -> Result<Draft, IllegalTransition> {
    let mut draft = Draft::after(head, Event::Rerouted)?.put(envelope, version);
    draft.error = Some(error);
    Ok(draft)
}
