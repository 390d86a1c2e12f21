//! Ledger records written by hand: what a process of another build, or one that died between two writes, left behind. The
//! runtime itself writes only what its acts make, and only by `advance`.
#![expect(clippy::expect_used, reason = "test support: a failure here is a test failure")]

use std::time::Duration;

use async_nats::jetstream::Context;
use async_nats::jetstream::context::PublishErrorKind;
use baton_envelope::{
    AgentVersion, Author, Envelope, Event, Extra, IntentId, PROTOCOL, PathEntry, Record, RecordId, Snapshot, Stamp,
    Timestamp, act, next,
};

/// The first record of an intent.
pub fn submitted(id: RecordId, at: Timestamp, by: Author, version: AgentVersion, envelope: Envelope) -> Record {
    let intent = envelope.intent.clone();
    act::submit(at, version, envelope).seal(intent, 0, Stamp { id, at, by })
}

/// What follows a head, for an event that may follow: nothing changes but what every record changes.
pub fn following(
    head: &Snapshot,
    seq: u64,
    id: RecordId,
    intent: IntentId,
    event: Event,
    at: Timestamp,
    by: Author,
) -> Record {
    let mut snapshot = head.clone();
    snapshot.status = next(Some(&head.status), &event).expect("a legal event");
    snapshot.updated_at = at;
    if !event.only_adds() {
        snapshot.wake_at = None;
    }
    if snapshot.envelope_seq.is_none() && snapshot.envelope.is_some() {
        snapshot.envelope_seq = Some(seq);
    }
    Record {
        protocol: PROTOCOL,
        id,
        intent,
        event,
        at,
        by,
        snapshot,
        envelope: None,
        step: None,
        note: None,
        error: None,
        raw: None,
        took_ms: None,
        cost: None,
        conversion: None,
        generated_id: false,
        waits: Vec::new(),
        signal: None,
        results: Vec::new(),
        state: None,
        people: None,
        exhausted: false,
        children: Vec::new(),
        broadcast: None,
        undo: None,
        undos: Vec::new(),
        context: None,
        hold: None,
        spend: None,
        assumed: None,
        top_up: None,
        extra: Extra::new(),
    }
}

/// Puts work before a version of its agent, in a record of any event.
#[must_use]
pub fn with_work(mut record: Record, envelope: Envelope, version: AgentVersion) -> Record {
    let snapshot = &mut record.snapshot;
    if envelope.hop > snapshot.hop {
        snapshot.path.push(PathEntry {
            agent: envelope.to.clone(),
            version: version.clone(),
            extra: Extra::new(),
        });
    }
    if let Some(last) = snapshot.path.last_mut().filter(|last| last.agent == envelope.to) {
        last.version = version.clone();
    }
    snapshot.agent = Some(envelope.to.clone());
    snapshot.version = Some(version);
    snapshot.hop = envelope.hop;
    snapshot.attempt = 1;
    snapshot.epoch += 1;
    (snapshot.holder, snapshot.given_back, snapshot.error) = (None, None, None);
    (snapshot.envelope, snapshot.envelope_seq) = (Some(envelope.id), None);
    record.envelope = Some(Box::new(envelope));
    record
}

/// How long a write is tried: longer than an election takes.
const PATIENCE: Duration = Duration::from_secs(60);

/// Writes a record after the one at ledger sequence `expected` (0: there is none), in the mesh `mesh`; gives its sequence.
/// While the server does not answer, it is written again.
///
/// # Panics
/// When another record stands there, or the server does not take it for a minute.
pub async fn put(url: &str, record: &Record, expected: u64) -> u64 {
    let what = format!("{} of {} is stored", record.event.name(), record.intent);
    let context = async_nats::jetstream::new(crate::server::connect(url).await);
    let until = tokio::time::Instant::now() + PATIENCE;
    loop {
        match put_once(&context, record, expected).await {
            Ok(seq) => return seq,
            Err(error) => assert!(tokio::time::Instant::now() < until, "{what}: {error}"),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn put_once(context: &Context, record: &Record, expected: u64) -> Result<u64, String> {
    let mut headers = async_nats::HeaderMap::new();
    headers.insert("Nats-Expected-Last-Subject-Sequence", expected.to_string());
    headers.insert("Baton-Event", record.event.name());
    headers.insert("Baton-Status", record.snapshot.status.name());
    let body = serde_json::to_vec(record).expect("a record is JSON");
    let subject = format!("mesh.ledger.0.{}", record.intent);
    let sent = context
        .publish_with_headers(subject.clone(), headers, body.clone().into())
        .await;
    let error = match sent.map_err(|error| error.to_string())?.await {
        Ok(stored) => return Ok(stored.sequence),
        Err(error) => error,
    };
    if error.kind() == PublishErrorKind::WrongLastSequence {
        // An earlier try may have been stored without an answer.
        let ledger = context
            .get_stream("MESH_LEDGER")
            .await
            .map_err(|error| error.to_string())?;
        let last = ledger.get_last_raw_message_by_subject(&subject).await;
        let last = last.map_err(|error| error.to_string())?;
        assert!(last.payload == body, "another record of {} came first", record.intent);
        return Ok(last.sequence);
    }
    Err(error.to_string())
}
