//! Who held an intent, as its history tells.

use baton_envelope::{AgentName, AgentVersion, Event, Role};
use baton_jetstream::Head;
use serde::Serialize;

/// One holder of one hop.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Holder {
    /// The instance.
    pub(crate) instance: String,
    /// Its agent.
    pub(crate) agent: Option<AgentName>,
    /// Its version.
    pub(crate) version: Option<AgentVersion>,
    /// The hop that it held.
    pub(crate) hop: u32,
    /// The epoch in which it held it.
    pub(crate) epoch: u64,
    /// The sequence of the first record that tells of it.
    pub(crate) first_seq: u64,
}

/// The holders that a history names, in order.
///
/// A record's snapshot is the state *after* it, and a handoff's is that of the next hop. What a worker held when it
/// wrote is what the record before says; only a claim opens an epoch of its own.
pub(crate) fn holders(history: &[Head]) -> Vec<Holder> {
    let mut found: Vec<Holder> = Vec::new();
    let mut before = None;
    for head in history {
        let record = &head.record;
        let held = if record.event == Event::Claimed {
            &record.snapshot
        } else {
            before.unwrap_or(&record.snapshot)
        };
        before = Some(&record.snapshot);
        if record.by.role != Role::Worker {
            continue;
        }
        let holder = Holder {
            instance: record.by.instance.clone(),
            agent: record.by.agent.clone(),
            version: record.by.version.clone(),
            hop: held.hop,
            epoch: held.epoch,
            first_seq: head.seq,
        };
        let known = |other: &Holder| {
            other.instance == holder.instance && other.hop == holder.hop && other.epoch == holder.epoch
        };
        if !found.iter().any(known) {
            found.push(holder);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use baton_envelope::{Author, Envelope, EnvelopeId, IntentId, Json, RecordId, Timestamp};

    use baton_testkit::records;

    use super::*;

    #[test]
    fn a_takeover_shows_both_holders_and_their_epochs() {
        let at = Timestamp::from_unix_millis(1);
        let id = || RecordId::generate(at, [0; 10]);
        let intent: IntentId = "order-1".parse().expect("id");
        let version: AgentVersion = "1.0.0".parse().expect("version");
        let agent: AgentName = "code".parse().expect("name");
        let worker = |name: &str| Author::worker(agent.clone(), version.clone(), name);
        let envelope = Envelope::first(
            EnvelopeId::generate(at, [0; 10]),
            intent.clone(),
            agent.clone(),
            Json::null(),
        );
        let first = records::submitted(id(), at, Author::of(Role::Client, "me"), version.clone(), envelope);
        let mut history = vec![Head::new(first, 4)];
        for (event, by, takeover) in [
            (Event::Started, "a", false),
            (Event::Claimed, "b", true),
            (Event::Completed, "b", false),
        ] {
            let last = history.last().expect("one");
            let (snapshot, seq) = (&last.record.snapshot, last.seq);
            let mut record = records::following(snapshot, seq, id(), intent.clone(), event, at, worker(by));
            record.snapshot.epoch += u64::from(takeover);
            history.push(Head::new(record, seq + 2));
        }
        let found: Vec<(String, u32, u64, u64)> = holders(&history)
            .into_iter()
            .map(|holder| (holder.instance, holder.hop, holder.epoch, holder.first_seq))
            .collect();
        assert_eq!(found, [("a".to_owned(), 1, 1, 6), ("b".to_owned(), 1, 2, 8)]);
    }
}
