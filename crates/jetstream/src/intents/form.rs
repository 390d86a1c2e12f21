//! Choosing the form of an envelope: the newest that both its writer and the receiving version know.

use baton_envelope::{AgentVersion, Conversion, Envelope, NoCommonProtocol, Protocol, ProtocolRange, Route};

use crate::error::Error;

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
) -> Result<(Envelope, Option<Conversion>), Error> {
    // An undeclared version reads what the oldest builds read.
    let entry = route.versions.get(version);
    let receiver = entry.map(|entry| entry.protocol).unwrap_or_default();
    let Some(form) = writer.newest_common(receiver) else {
        return Err(NoCommonProtocol {
            agent: route.agent.clone(),
            version: version.clone(),
            sender: writer,
            receiver,
        }
        .into());
    };
    let (envelope, lost) = envelope
        .in_form(form)
        .map_err(|error| Error::api("writing an envelope", error))?;
    let is_told = !lost.is_empty() || form.major() != from.major();
    Ok((envelope, is_told.then(|| Conversion::new(from, form, lost))))
}
