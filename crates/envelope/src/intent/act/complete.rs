//! Completes an intent.

use crate::base::json::Json;
use crate::intent::draft::Draft;
use crate::intent::event::Event;
use crate::intent::snapshot::Snapshot;
use crate::intent::status::IllegalTransition;
use crate::message::body::Body;
use crate::message::object::ObjectRef;

/// Ends the intent with its result, which is JSON as it stands.
///
/// # Errors
/// When this may not follow the status of the head.
pub fn complete(head: &Snapshot, result: Json) -> Result<Draft, IllegalTransition> {
    let mut draft = Draft::after(head, Event::Completed)?;
    draft.snapshot.result = Some(result);
    draft.snapshot.result_encoding = None;
    draft.snapshot.result_ref = None;
    draft.snapshot.error = None;
    Ok(draft)
}

/// Ends the intent with a result that may be encoded.
///
/// # Errors
/// When this may not follow the status of the head.
pub fn complete_with(head: &Snapshot, result: Body) -> Result<Draft, IllegalTransition> {
    let mut draft = complete(head, result.json)?;
    draft.snapshot.result_encoding = result.encoding;
    Ok(draft)
}

/// Ends the intent with a result that is an object.
///
/// # Errors
/// When this may not follow the status of the head.
pub fn complete_by_ref(head: &Snapshot, result: ObjectRef) -> Result<Draft, IllegalTransition> {
    let mut draft = complete(head, Json::null())?;
    draft.snapshot.result = None;
    draft.snapshot.result_ref = Some(Box::new(result));
    Ok(draft)
}
