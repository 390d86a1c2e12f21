//! Checkpoints, which the leading controller writes, and the audit that compares them with the ledger and the archive.

mod checkpoint;
mod one;
mod pages;
mod span;
mod whole;

use baton_envelope::Message;

use crate::server::Stored;

/// A message as it is stored, with the headers that it was published with.
fn message(stored: &Stored) -> Message {
    Message {
        seq: stored.seq,
        subject: stored.subject.clone(),
        stored: stored.stored_text().to_owned(),
        headers: stored.published_headers(),
        body: stored.body.to_vec(),
    }
}
