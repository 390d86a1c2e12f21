//! In which form an envelope is written: the newest that both its writer and the version that gets it know.

use baton_envelope::{AgentVersion, Conversion, Envelope, NoCommonProtocol, Protocol, ProtocolRange, Route};

use crate::error::Error;

/// Puts an envelope into the newest form that its writer and the receiving version know, and says what became of it:
/// `None` when no major was crossed and nothing was lost. `from` is the form that it was made from.
///
/// # Errors
/// [`Error::NoCommonProtocol`] when there is no such form; nothing may be written then.
pub fn in_form_for(
    route: &Route,
    version: &AgentVersion,
    envelope: Envelope,
    from: Protocol,
    writer: ProtocolRange,
) -> Result<(Envelope, Option<Conversion>), Error> {
    // A version that nobody has declared reads what the oldest builds read.
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
