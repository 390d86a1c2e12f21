//! Refuses a raw message that cannot become an intent.

use crate::base::timestamp::Timestamp;
use crate::intent::draft::Draft;
use crate::intent::error_info::ErrorInfo;
use crate::intent::event::Event;
use crate::intent::snapshot::Snapshot;
use crate::intent::status::Status;
use crate::message::raw::RawKept;

/// Refuses a raw message before it becomes an intent. This is the only record, and it keeps the message.
pub fn refuse(at: Timestamp, error: ErrorInfo, raw: RawKept) -> Draft {
    let code = error.code.clone();
    let snapshot = Snapshot::blank(Status::Rejected { code: code.clone() }, at);
    Draft {
        raw: Some(Box::new(raw)),
        ..Draft::first(Event::Rejected { code }, snapshot).with_error(error)
    }
}
