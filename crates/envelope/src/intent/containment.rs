//! Where an intent stands when not all of its records are good: some cannot be read, or say what no writer may, or follow
//! the record that closed the intent. Such records are contained: they stay in the ledger, are shown, and decide nothing.

use crate::base::error::DecodeError;
use crate::base::header::HEADER_SIGNATURE;
use crate::base::ids::IntentId;
use crate::base::protocol::{PROTOCOL, Protocol};
use crate::base::text::quoted;
use crate::intent::draft::Draft;
use crate::intent::event::Event;
use crate::intent::record::Record;
use crate::intent::snapshot::Snapshot;
use crate::intent::status::Status;

/// A record that decides nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contained {
    /// Its sequence in the ledger stream.
    pub seq: u64,
    /// What is wrong with it.
    pub problem: String,
}

/// Why a record cannot be taken for one of this protocol; `None` when it can.
///
/// A record of a newer version of the protocol may say what is unknown here: it is not contained, and nobody here acts on it.
pub fn containable(read: &Result<Record, DecodeError>) -> Option<String> {
    match read {
        Err(error) if is_newer(error) => None,
        Err(error) if error.field == HEADER_SIGNATURE => Some(format!("void: {}", error.problem)),
        Err(error) => Some(format!("it cannot be read: {error}")),
        Ok(record) if record.protocol > PROTOCOL => None,
        Ok(record) => match (&record.event, &record.snapshot.status) {
            (Event::Unknown { .. }, _) => Some(format!(
                "its event \"{}\" is none of protocol {}",
                quoted(record.event.name(), 40),
                record.protocol
            )),
            (_, Status::Unknown { .. }) => Some(format!(
                "its status \"{}\" is none of protocol {}",
                quoted(record.snapshot.status.name(), 40),
                record.protocol
            )),
            (_, _) => None,
        },
    }
}

/// Whether a document cannot be read because it states a version that is newer than what is read here.
fn is_newer(error: &DecodeError) -> bool {
    let stated = error.value.as_deref().filter(|_| error.field == "protocol");
    let stated = stated.map(|text| text.trim_matches('"'));
    stated.is_some_and(|text| match (text.parse::<Protocol>(), text.parse::<u32>()) {
        (Ok(version), _) => version > PROTOCOL,
        (_, Ok(major)) => major > PROTOCOL.major(),
        (Err(_), Err(_)) => false,
    })
}

/// That a record says it belongs to another intent than the one on whose subject it stands.
pub fn stands_elsewhere(record: &Record, on: &IntentId) -> DecodeError {
    DecodeError {
        what: "ledger record",
        field: "intent".to_owned(),
        value: Some(format!("\"{}\"", record.intent)),
        problem: format!("it stands on the subject of {on}"),
    }
}

/// Where an intent stands: the last record that decides, and all that do not.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Containment {
    /// The last record that decides, with its sequence.
    pub decides: Option<(u64, Box<Record>)>,
    /// Whether that record closed the intent and others follow it that would open it again.
    pub is_reopened: bool,
    /// The records that decide nothing, oldest first.
    pub contained: Vec<Contained>,
}

/// Reads where an intent stands from its records, oldest first.
///
/// What is closed stays closed: whatever follows a terminal record is contained, but for one that closes the intent again
/// as it was.
pub fn contain(records: impl IntoIterator<Item = (u64, Result<Record, DecodeError>)>) -> Containment {
    let mut found = Containment::default();
    for (seq, read) in records {
        let problem = containable(&read).or_else(|| read.as_ref().err().map(ToString::to_string));
        let Some(record) = read.ok().filter(|_| problem.is_none()) else {
            let problem = problem.unwrap_or_default();
            found.contained.push(Contained { seq, problem });
            continue;
        };
        let closed = found
            .decides
            .as_ref()
            .map(|(_, last)| &last.snapshot.status)
            .filter(|status| status.is_terminal());
        match closed {
            Some(status) if *status != record.snapshot.status => {
                let by = &record.by.instance;
                let event = record.event.name();
                let problem = format!("\"{event}\" by {by} follows a record that closed the intent ({status})");
                found.contained.push(Contained { seq, problem });
                found.is_reopened = true;
            }
            Some(_) => {
                found.is_reopened = false;
                found.decides = Some((seq, Box::new(record)));
            }
            None => found.decides = Some((seq, Box::new(record))),
        }
    }
    found
}

/// Closes an intent again that somebody opened after its end: the same event, and the state that stood then.
///
/// Nobody is told the result once more. The epoch is above that of whoever was let in since, whose writes are refused.
pub fn close_again(head: &Snapshot, closed: &Record) -> Draft {
    let mut snapshot = closed.snapshot.clone();
    snapshot.epoch = snapshot.epoch.max(head.epoch).saturating_add(1);
    snapshot.holder = None;
    snapshot.reply_to = None;
    let mut draft = Draft::first(closed.event.clone(), snapshot);
    draft.error.clone_from(&closed.error);
    draft.with_note(Some(
        "closed again: records that may not follow its end were written after it".to_owned(),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::ids::{EnvelopeId, RecordId};
    use crate::base::timestamp::Timestamp;
    use crate::intent::act;
    use crate::intent::draft::Stamp;
    use crate::intent::record::{Author, Role};
    use crate::message::envelope::Envelope;

    fn stamp() -> Stamp {
        Stamp {
            id: RecordId::generate(Timestamp::from_unix_millis(1), [7; 10]),
            at: Timestamp::from_unix_millis(1),
            by: Author::of(Role::Client, "test"),
        }
    }

    fn opened() -> Record {
        let agent = "code".parse().expect("name");
        let intent: IntentId = "one".parse().expect("id");
        let envelope = Envelope::first(
            EnvelopeId::generate(Timestamp::from_unix_millis(1), [7; 10]),
            intent.clone(),
            agent,
            crate::Json::null(),
        );
        act::submit(stamp().at, "1.0.0".parse().expect("version"), envelope).seal(intent, 0, stamp())
    }

    fn after(head: &Record, seq: u64, draft: Draft) -> Record {
        draft.seal(head.intent.clone(), seq, stamp())
    }

    #[test]
    fn what_is_closed_stays_closed_and_can_be_closed_again() {
        let first = opened();
        let done = after(
            &first,
            1,
            act::complete(&first.snapshot, crate::Json::null()).expect("legal"),
        );
        let foreign = opened();
        let records = vec![(1, Ok(first)), (2, Ok(done.clone())), (3, Ok(foreign.clone()))];
        let found = contain(records.clone());
        assert!(found.is_reopened);
        assert_eq!(found.decides.as_ref().map(|(seq, _)| *seq), Some(2));
        assert_eq!(found.contained.iter().map(|one| one.seq).collect::<Vec<_>>(), [3]);
        let closed = after(&foreign, 3, close_again(&foreign.snapshot, &done));
        let again = contain(records.into_iter().chain([(4, Ok(closed))]));
        assert!(!again.is_reopened);
        assert_eq!(again.decides.map(|(seq, _)| seq), Some(4));
    }

    #[test]
    fn what_cannot_be_read_decides_nothing_and_what_is_newer_is_left_alone() {
        let first = opened();
        let garbage = Record::decode(b"{\"hello\":1}");
        let found = contain(vec![(1, Ok(first.clone())), (2, garbage)]);
        assert_eq!(found.decides.map(|(seq, _)| seq), Some(1));
        assert_eq!(found.contained.len(), 1);
        let mut strange = first;
        strange.snapshot.status = Status::Unknown {
            name: "bogus".to_owned(),
        };
        assert!(containable(&Ok(strange.clone())).is_some());
        strange.protocol = "1.99.0".parse().expect("version");
        assert_eq!(containable(&Ok(strange)), None);
        for (body, is_contained) in [
            (&b"{\"protocol\":\"9.0.0\"}"[..], false),
            (b"{\"protocol\":9}", false),
            (b"{\"protocol\":\"one\"}", true),
            (b"{}", true),
            (b"\xff", true),
            (b"", true),
        ] {
            let read = Record::decode(body);
            assert_eq!(containable(&read).is_some(), is_contained, "{read:?}");
        }
    }
}
