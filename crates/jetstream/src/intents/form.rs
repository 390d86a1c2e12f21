//! Choosing the form of an envelope: the newest that both its writer and the receiving version know.

use baton_envelope::budget::BUDGETS_SINCE;
use baton_envelope::rollout::POLICY_GATES_SINCE;
use baton_envelope::{
    AgentVersion, Conversion, Envelope, NoCommonProtocol, OBJECTS_SINCE, Protocol, ProtocolRange, Route,
};

use crate::error::Error;

/// The first minor whose workers ask people before they begin, where the envelope says so.
const GATES_SINCE: Protocol = Protocol::new(1, 4, 0);

/// Converts an envelope to the newest form that its writer and the receiving version know, and reports the conversion:
/// `None` when it crossed no major and lost nothing. `from` is the form that the envelope was made from.
///
/// # Errors
/// [`Error::NoCommonProtocol`] when there is no such form; then nothing may be written.
pub fn in_form_for(
    route: &Route,
    version: &AgentVersion,
    envelope: Envelope,
    from: Protocol,
    writer: ProtocolRange,
) -> Result<(Envelope, Option<Box<Conversion>>), Error> {
    // An undeclared version reads what the oldest builds read.
    let entry = route.versions.get(version);
    let receiver = entry.map(|entry| entry.protocol).unwrap_or_default();
    let none = |sender: ProtocolRange| NoCommonProtocol {
        agent: route.agent.clone(),
        version: version.clone(),
        sender,
        receiver,
    };
    // A version that does not know of gates would begin without asking anybody.
    let is_gated = route.policy.as_ref().is_some_and(|policy| policy.gate.is_some());
    let needed = [
        is_gated.then_some(POLICY_GATES_SINCE),
        envelope.gates.contains_key(&envelope.to).then_some(GATES_SINCE),
        // It would take the payload for none.
        envelope.payload_ref.is_some().then_some(OBJECTS_SINCE),
        // It would spend without a hold.
        envelope
            .budget
            .as_ref()
            .is_some_and(|budget| budget.counted)
            .then_some(BUDGETS_SINCE),
    ];
    if let Some(oldest) = needed.into_iter().flatten().find(|needed| receiver.newest < *needed) {
        return Err(none(ProtocolRange { oldest, ..writer }).into());
    }
    let form = writer.newest_common(receiver).ok_or_else(|| none(writer))?;
    let (envelope, lost) = envelope
        .in_form(form)
        .map_err(|error| Error::api("writing an envelope", error))?;
    let is_told = !lost.is_empty() || form.major() != from.major();
    Ok((envelope, is_told.then(|| Box::new(Conversion::new(from, form, lost)))))
}
