//! The part of a ledger record that a projection needs. Most of a record's bytes are the envelope with its payload,
//! history and constraints; counting needs none of it, so this reads past it.

use serde::{Deserialize, Deserializer};

use crate::base::error::{DecodeError, decode};
use crate::base::ids::IntentId;
use crate::base::json::Json;
use crate::base::timestamp::Timestamp;
use crate::context::Completeness;
use crate::intent::event::Event;
use crate::intent::record::Author;
use crate::intent::snapshot::Snapshot;

/// A ledger record without its envelope, step and texts. It is for reading only: writing it would lose what it omits.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[non_exhaustive]
pub struct RecordSummary {
    /// The intent.
    pub intent: IntentId,
    /// What happened.
    pub event: Event,
    /// When, by the writer's clock.
    pub at: Timestamp,
    /// Who wrote it.
    pub by: Author,
    /// The state after it.
    pub snapshot: Snapshot,
    /// How long the attempt that ends with this record ran, in milliseconds. Anything but a whole number counts as
    /// absent: a figure for statistics must not make a record unreadable.
    #[serde(default, deserialize_with = "readable")]
    pub took_ms: Option<u64>,
    /// The reported cost of that attempt. Anything but a number counts as absent: the value comes from handler code.
    #[serde(default, deserialize_with = "readable")]
    pub cost: Option<f64>,
    /// Whether Baton made the intent id. Anything but a boolean counts as `false`: Baton then takes the id for a chosen
    /// one and remembers it for longer.
    #[serde(default, deserialize_with = "yes")]
    pub generated_id: bool,
    /// Whether the attempts of the hop that ends with this record are used up.
    #[serde(default, deserialize_with = "yes")]
    pub exhausted: bool,
    /// How much of the view that the attempt was given could be had. Anything else counts as absent.
    #[serde(default, deserialize_with = "readable")]
    pub context: Option<Completeness>,
}

impl RecordSummary {
    /// Reads the parts it needs of a record.
    ///
    /// # Errors
    /// Names the field, the value and the problem.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        decode("ledger record", bytes)
    }
}

fn yes<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    Ok(readable::<D, bool>(deserializer)?.unwrap_or(false))
}

/// The value if it has the type, else `None`.
fn readable<'de, D: Deserializer<'de>, T: serde::de::DeserializeOwned>(deserializer: D) -> Result<Option<T>, D::Error> {
    Ok(Option::<Json>::deserialize(deserializer)?.and_then(|value| value.read().ok()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::intent::status::Status;

    fn record(more: &str) -> String {
        format!(
            r#"{{"protocol":"1.0","id":"not read","intent":"i-1","event":{{"type":"completed"}},
            "at":"2026-11-21T05:00:00.123Z","by":{{"role":"worker","instance":"w","agent":"a","version":"1.0.0"}},
            "snapshot":{{"status":{{"state":"completed"}},"submitted_at":"2026-11-21T05:00:00Z",
            "updated_at":"2026-11-21T05:00:00Z"}},"envelope":{{"nothing":["of",1e999]}}{more}}}"#
        )
    }

    fn summary(more: &str) -> RecordSummary {
        RecordSummary::decode(record(more).as_bytes()).expect("a record that can be read")
    }

    #[test]
    fn only_what_is_wanted_is_read() {
        let seen = summary(r#","took_ms":42,"cost":0.5,"newer":true"#);
        assert_eq!(seen.snapshot.status, Status::Completed);
        assert_eq!(seen.by.agent.as_ref().map(|agent| agent.as_str()), Some("a"));
        assert_eq!((seen.took_ms, seen.cost), (Some(42), Some(0.5)));
    }

    #[test]
    fn figures_that_are_no_numbers_are_absent() {
        for more in [
            "",
            r#","took_ms":null,"cost":null"#,
            r#","took_ms":-1,"cost":"free""#,
            r#","took_ms":"1","cost":1e999"#,
            r#","took_ms":1.5,"cost":{"eur":1}"#,
        ] {
            let seen = summary(more);
            assert_eq!((seen.took_ms, seen.cost), (None, None), "{more}");
        }
        assert_eq!(summary(r#","cost":3"#).cost, Some(3.0));
    }

    #[test]
    fn a_record_without_its_intent_is_refused_by_name() {
        let text = record("").replace(r#""intent":"i-1","#, "");
        let error = RecordSummary::decode(text.as_bytes()).expect_err("no intent");
        assert_eq!((error.what, error.field.as_str()), ("ledger record", "intent"));
    }
}
