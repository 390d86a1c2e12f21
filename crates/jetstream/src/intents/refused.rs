//! Why an operator's act does not fit the status of an intent: the error names the status and the one it would have led to.

use baton_envelope::{IntentId, Status};

use crate::error::Error;

/// The refusal of an act that would have led to the status `wanted`.
pub(super) fn cannot_become(intent: &IntentId, status: &Status, wanted: &str, why: &str) -> Error {
    let status = status.to_string();
    let problem = match status == wanted {
        true => why.to_owned(),
        false => format!("it cannot become {wanted}: {why}"),
    };
    Error::WrongStatus {
        intent: intent.clone(),
        problem,
        status,
    }
}

/// Why nothing of this kind can be done to what has this status; `None` for a status that an operator may act on.
pub(super) fn why_closed(status: &Status, act: &str) -> Option<String> {
    match status {
        Status::Compensating => Some("what it did is being undone, and it ends by that".to_owned()),
        Status::Unknown { .. } => Some(format!(
            "only the newer version of Baton that put it there can {act} it"
        )),
        Status::Completed | Status::Rejected { .. } | Status::Failed { .. } | Status::Cancelled | Status::TimedOut => {
            Some(format!("it has ended, and nothing is left to {act}"))
        }
        Status::Pending | Status::Accepted | Status::InProgress | Status::Waiting { .. } | Status::Parked { .. } => {
            None
        }
    }
}
