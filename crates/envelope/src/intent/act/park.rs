//! Sets an intent aside for a person.

use crate::base::codes;
use crate::intent::draft::Draft;
use crate::intent::error_info::ErrorInfo;
use crate::intent::event::Event;
use crate::intent::snapshot::Snapshot;
use crate::intent::status::IllegalTransition;

/// Sets the intent aside, and takes the hop from its holder.
///
/// # Errors
/// When this may not follow the status of the head.
pub fn park(head: &Snapshot, error: ErrorInfo) -> Result<Draft, IllegalTransition> {
    let code = error.code.clone();
    Ok(Draft::after(head, Event::Parked { code })?
        .without_holder()
        .with_error(error))
}

/// Sets aside a hop of which the ledger has lost records: what it has done may be lost with them, and it cannot go on.
///
/// # Errors
/// When this may not follow the status of the head.
pub fn park_lost(head: &Snapshot) -> Result<Draft, IllegalTransition> {
    let from = match head.envelope_seq {
        Some(seq) => format!(", which began with record {seq}"),
        None => String::new(),
    };
    let message = format!("the ledger has lost records of hop {}{from}", head.hop);
    park(head, ErrorInfo::new(codes::NO_ENVELOPE, message))
}
