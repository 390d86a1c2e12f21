//! A child is closed before it began.

use crate::base::ids::IntentId;
use crate::base::timestamp::Timestamp;
use crate::intent::draft::Draft;
use crate::intent::error_info::ErrorInfo;
use crate::intent::event::Event;
use crate::intent::snapshot::Snapshot;
use crate::intent::status::Status;

/// Closes a child that has no record yet: whoever submits it later finds that it is over. This is its only record.
pub fn never_begin(at: Timestamp, root: IntentId, parent: IntentId, error: ErrorInfo) -> Draft {
    let code = error.code.clone();
    let snapshot = Snapshot {
        root: Some(root),
        parent: Some(parent),
        ..Snapshot::blank(Status::Rejected { code: code.clone() }, at)
    };
    Draft::first(Event::Rejected { code }, snapshot).with_error(error)
}
