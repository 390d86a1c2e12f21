//! Records as bytes. Each is encoded once, in memory shared with the records before and after it.

use std::cell::RefCell;

use baton_envelope::{Link, Place, Record};
use bytes::{BufMut as _, Bytes, BytesMut};

use crate::error::Error;
use crate::server::{Mesh, Signed};

/// The size of a record without its payloads, so that its buffer seldom grows.
const FRAME: usize = 1536;
/// How much to allocate at once: enough for about ten common records. The system's allocator is slowest at their size.
/// A block lives as long as the last of its records.
const BLOCK: usize = 16 << 10;

thread_local! {
    static ROOM: RefCell<BytesMut> = RefCell::default();
}

/// A record with its bytes on the wire. Its ticket has the same body, which is not encoded again.
#[derive(Debug)]
pub struct EncodedRecord {
    record: Box<Record>,
    body: Bytes,
    /// Only where this process signs; made for the place that it is written at.
    signature: Option<Signed>,
}

impl EncodedRecord {
    /// Encodes a record.
    ///
    /// # Errors
    /// When it cannot be written as JSON.
    pub(crate) fn new(record: Box<Record>) -> Result<Self, Error> {
        let body = Mesh::encode(&record)?;
        Ok(Self {
            record,
            body,
            signature: None,
        })
    }

    /// Signs it for a place on its subject, if this process has a key.
    pub(super) fn sign(&mut self, mesh: &Mesh, after: Place) {
        let Some(proofs) = mesh.proofs() else { return };
        let body = Link::of_bytes(&self.body);
        let subject = mesh.subjects().ledger(&self.record.intent);
        self.signature = proofs.sign(&subject, after.seq, after.link, body);
    }

    /// The value of its signature.
    pub(crate) fn signature(&self) -> Option<&str> {
        self.signature.as_ref().map(|signed| signed.text.as_str())
    }

    pub(super) fn link(&self) -> Option<Link> {
        self.signature.as_ref().map(|signed| signed.link)
    }

    pub(crate) fn body(&self) -> Bytes {
        self.body.clone()
    }
}

impl std::ops::Deref for EncodedRecord {
    type Target = Record;

    fn deref(&self) -> &Record {
        &self.record
    }
}

impl Mesh {
    pub(crate) fn encode(record: &Record) -> Result<Bytes, Error> {
        let size = room_for(record);
        if size > BLOCK {
            let mut own = BytesMut::with_capacity(size);
            write(record, &mut own)?;
            return Ok(own.freeze());
        }
        ROOM.with_borrow_mut(|room| {
            // Left over from a record that failed to encode.
            room.clear();
            if room.capacity() < size {
                *room = BytesMut::with_capacity(BLOCK);
            }
            write(record, room)?;
            let body = room.split().freeze();
            // The record was larger than estimated. Do not share the rest of its buffer.
            if body.len() > BLOCK {
                *room = BytesMut::new();
            }
            Ok(body)
        })
    }
}

fn write(record: &Record, room: &mut BytesMut) -> Result<(), Error> {
    serde_json::to_writer(room.writer(), record).map_err(|error| Error::api("encoding a record", error))
}

/// The approximate encoded size of a record.
fn room_for(record: &Record) -> usize {
    let payload = record.envelope.as_ref().map(|envelope| &envelope.payload);
    let step = record.step.as_ref().map(|step| &step.result);
    let parts = [payload, step, record.snapshot.result.as_ref()];
    FRAME + parts.into_iter().flatten().map(|part| part.get().len()).sum::<usize>()
}

#[cfg(test)]
mod tests {
    use baton_envelope::{Author, Envelope, Json, Role, Stamp, Timestamp, act};

    use super::*;
    use crate::server::{Clock as _, SystemClock};

    fn record(payload: usize, note: usize) -> Record {
        let id = SystemClock.intent_id();
        let payload = Json::string(&"x".repeat(payload));
        let envelope = Envelope::first(
            SystemClock.envelope_id(),
            id.clone(),
            "research".parse().unwrap(),
            payload,
        );
        let stamp = Stamp {
            id: SystemClock.record_id(),
            at: Timestamp::default(),
            by: Author::of(Role::Client, "me"),
        };
        let draft = act::submit(stamp.at, "1.0.0".parse().unwrap(), envelope);
        draft.with_note(Some("n".repeat(note))).seal(id, 0, stamp)
    }

    #[test]
    fn records_of_all_sizes_share_room_and_keep_their_own_bytes() {
        // Common sizes, one beyond the frame, one beyond a block, one that is larger than estimated; then common ones
        // again.
        let sizes = [(10, 0), (512, 0), (512, 3_000), (100_000, 0), (10, 100_000), (512, 0)];
        let records: Vec<Record> = sizes
            .into_iter()
            .cycle()
            .take(60)
            .map(|(payload, note)| record(payload, note))
            .collect();
        let bodies: Vec<Bytes> = records.iter().map(|record| Mesh::encode(record).unwrap()).collect();
        for (record, body) in records.iter().zip(bodies) {
            assert_eq!(body, serde_json::to_vec(record).unwrap());
        }
    }
}
