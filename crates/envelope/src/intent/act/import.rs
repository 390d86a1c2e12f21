//! Sets an open intent aside that came from another mesh.

use crate::base::codes;
use crate::intent::draft::Draft;
use crate::intent::error_info::ErrorInfo;
use crate::intent::event::Event;
use crate::intent::snapshot::Snapshot;
use crate::intent::status::IllegalTransition;

/// Parks the intent for a person behind its history, which was written anew: `place` tells at which sequence a record stands now
/// that stood elsewhere before. Nobody holds it, whoever had it there.
///
/// # Errors
/// When this may not follow the status of the head.
pub fn import(head: &Snapshot, from: &str, place: impl Fn(u64) -> Option<u64>) -> Result<Draft, IllegalTransition> {
    let code = codes::IMPORTED.to_owned();
    let status = &head.status;
    let error = ErrorInfo::new(codes::IMPORTED, format!("it came from {from}, where it was {status}"));
    let mut draft = Draft::after(head, Event::Parked { code })?
        .without_holder()
        .with_error(error);
    draft.snapshot.move_places(place);
    if let Some(order) = &mut draft.snapshot.order {
        // What it had in the order of its key, it had there. Here it comes behind all that are in it.
        (order.intake, order.place) = (None, None);
        (order.given, order.given_at) = (None, None);
    }
    Ok(draft)
}
