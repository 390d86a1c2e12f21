//! Checkpoints, which the leading controller writes, and the audit that compares them with the ledger and the archive.

mod checkpoint;
mod one;
mod whole;

use async_nats::HeaderMap;
use baton_envelope::Message;

use crate::server::Stored;

/// Headers that the server adds to what it reads from a stream.
const ADDED: [&str; 8] = [
    "Nats-Stream",
    "Nats-Subject",
    "Nats-Sequence",
    "Nats-Time-Stamp",
    "Nats-Num-Pending",
    "Nats-Last-Sequence",
    "Nats-Last-Stream",
    "Nats-UpTo-Sequence",
];

/// A message as it is stored, with the headers that it was published with.
fn message(stored: &Stored) -> Message {
    let mut headers: Vec<(String, String)> = Vec::new();
    for (name, values) in stored.headers.iter().flat_map(HeaderMap::iter) {
        let name: &str = name.as_ref();
        if !ADDED.contains(&name) {
            headers.extend(values.iter().map(|value| (name.to_owned(), value.to_string())));
        }
    }
    Message {
        seq: stored.seq,
        subject: stored.subject.clone(),
        stored: stored.stored_text().to_owned(),
        headers,
        body: stored.body.to_vec(),
    }
}
