//! Consumers that are not as they should be. Anyone with the right to may edit a consumer that runs, and nothing tells whoever
//! pulls from it.
//!
//! The consumers of an agent's versions are left as they are: `doctor` names them. Those of the controllers themselves a
//! leader mends, because nobody else has a reason to set them otherwise.

use async_nats::jetstream::consumer::{AckPolicy, Config};
use serde::Deserialize;
use serde_json::{Value, json};

use super::TOPOLOGY;
use super::consumers::{Intake, WAITS_SINCE};
use super::migrations::topology_of;
use crate::error::{CONSUMER_NOT_FOUND, Error, STREAM_NOT_FOUND};
use crate::server::mesh::Mesh;
use crate::server::roles::ControllerMesh;

/// A consumer that is not as it should be.
#[derive(Debug, Clone)]
pub(crate) struct Drifted {
    /// Its stream.
    pub(crate) stream: String,
    /// Its name.
    pub(crate) consumer: String,
    /// The settings that differ, for people.
    pub(crate) differences: Vec<String>,
    /// Until when somebody has paused it; `None` for one that is not paused, and where Baton itself pauses.
    pub(crate) paused_until: Option<String>,
    /// Whether its filter differs.
    other_filter: bool,
    /// Its configuration as the server has it, and as it should be.
    found: Value,
    wanted: Value,
}

/// What the leader made of consumers that somebody had edited.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Mended {
    /// The consumers that are as they should be again, each with what differed.
    pub mended: Vec<String>,
    /// What the server refused, each with its reason.
    pub refused: Vec<String>,
}

#[derive(Deserialize)]
struct Info {
    name: String,
    config: Value,
    #[serde(default)]
    paused: bool,
}

impl Mesh {
    /// The consumers of a stream that are not as they should be; none when there is no stream. What a later build has made
    /// or raised is not judged.
    ///
    /// # Errors
    /// When the server does not answer.
    pub(crate) async fn drifted_consumers(&self, stream: &str) -> Result<Vec<Drifted>, Error> {
        let what = format!("CONSUMER.LIST.{stream}");
        let consumers = match self.ask_list::<Info>(&what, "consumers").await? {
            Ok(consumers) => consumers,
            Err(refusal) if refusal.code == STREAM_NOT_FOUND => return Ok(Vec::new()),
            Err(refusal) => return Err(refusal.into()),
        };
        let mut drifted = Vec::new();
        for Info { name, config, paused } in consumers {
            let read = |error| Error::api(&*what, error);
            let found: Config = serde_json::from_value(config.clone()).map_err(read)?;
            let Some(mut wanted) = self.wanted_consumer(stream, &name, &found) else {
                continue;
            };
            let is_shared = is_of_intake(&name);
            if is_shared && topology_of(&config) < WAITS_SINCE {
                // Whoever raises it gives it its filter.
                wanted.filter_subjects.clear();
            }
            let differences = differences(&wanted, &found);
            let paused_until = (paused && is_shared).then(|| text_of(config.get("pause_until")));
            if topology_of(&config) > TOPOLOGY || (differences.is_empty() && paused_until.is_none()) {
                continue;
            }
            drifted.push(Drifted {
                stream: stream.to_owned(),
                consumer: name,
                differences,
                paused_until,
                other_filter: filters(&wanted) != filters(&found),
                found: config,
                wanted: serde_json::to_value(&wanted).map_err(|error| Error::api("encoding a consumer", error))?,
            });
        }
        Ok(drifted)
    }

    /// The streams whose consumers are the controllers' own.
    pub(crate) fn controllers_streams(&self) -> [String; 3] {
        let s = self.subjects();
        [s.intake_stream(), s.ledger_stream(), s.archive_stream()]
    }
}

impl ControllerMesh {
    /// Makes the consumers that controllers share or follow with as they should be. Anyone may repeat it; `may` is asked
    /// before each write. A pause stays: it is no setting, and has an end.
    ///
    /// # Errors
    /// When the server does not answer. What it refuses is in the answer.
    pub async fn mend_consumers(&self, may: impl Fn() -> bool) -> Result<Mended, Error> {
        let mut mended = Mended::default();
        for stream in self.controllers_streams() {
            for drifted in self.drifted_consumers(&stream).await? {
                if drifted.differences.is_empty() || !may() {
                    continue;
                }
                let what = format!(
                    "consumer {} of {stream}: {}",
                    drifted.consumer,
                    drifted.differences.join("; ")
                );
                match self.mend(&drifted).await {
                    Ok(()) => mended.mended.push(what),
                    Err(Error::Refused(refusal)) => mended.refused.push(format!("{what}: {refusal}")),
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(mended)
    }

    /// Sets a consumer as it should be. One that follows a stream goes, and so does one that the server does not change so:
    /// whoever pulls from it creates it again. So does one with another filter: it has passed over what its filter did not
    /// match, and an update does not take it back. The ids of raw intents come from the intake, so that no intent is made
    /// twice.
    async fn mend(&self, drifted: &Drifted) -> Result<(), Error> {
        let Drifted { stream, consumer, .. } = drifted;
        if is_of_intake(consumer) && !drifted.other_filter {
            let request = json!({ "stream_name": stream, "config": drifted.mended(), "action": "update" });
            let what = format!("CONSUMER.CREATE.{stream}.{consumer}");
            if self.ask::<serde::de::IgnoredAny>(&what, &request).await?.is_ok() {
                return Ok(());
            }
        }
        let what = format!("CONSUMER.DELETE.{stream}.{consumer}");
        match self.ask::<serde::de::IgnoredAny>(&what, &json!({})).await? {
            Err(refusal) if refusal.code != CONSUMER_NOT_FOUND => Err(refusal.into()),
            Ok(_) | Err(_) => Ok(()),
        }
    }
}

impl Drifted {
    /// The configuration that mends it: what it should be, with the metadata and the pause that it has.
    fn mended(&self) -> Value {
        let mut config = self.wanted.clone();
        if let Some(config) = config.as_object_mut() {
            for key in ["name", "pause_until"] {
                if let Some(kept) = self.found.get(key) {
                    config.insert(key.to_owned(), kept.clone());
                }
            }
            let all = config.entry("metadata").or_insert_with(|| json!({})).as_object_mut();
            if let (Some(all), Some(found)) = (all, self.found.get("metadata").and_then(Value::as_object)) {
                for (key, value) in found {
                    all.entry(key.clone()).or_insert_with(|| value.clone());
                }
            }
        }
        config
    }
}

fn is_of_intake(consumer: &str) -> bool {
    Intake::ALL.iter().any(|kind| kind.consumer() == consumer)
}

fn text_of(value: Option<&Value>) -> String {
    value.and_then(Value::as_str).unwrap_or("an unknown time").to_owned()
}

/// Each setting that changes what is delivered, to whom, when, how often, or how it is kept.
fn differences(wanted: &Config, found: &Config) -> Vec<String> {
    let mut differences = Vec::new();
    let mut compare = |what: &str, wanted: String, found: String| {
        if wanted != found {
            differences.push(format!("{what} is {found}, expected {wanted}"));
        }
    };
    compare("filter_subjects", filters(wanted), filters(found));
    let of = |config: &Config| {
        [
            ("deliver_policy", format!("{:?}", config.deliver_policy)),
            ("ack_policy", format!("{:?}", config.ack_policy)),
            ("backoff", format!("{:?}", config.backoff)),
            // No limit is written as 0 or as -1.
            (
                "max_deliver",
                if config.max_deliver <= 0 {
                    -1
                } else {
                    config.max_deliver
                }
                .to_string(),
            ),
            ("replay_policy", format!("{:?}", config.replay_policy)),
            ("rate_limit", config.rate_limit.to_string()),
            ("headers_only", config.headers_only.to_string()),
            ("max_batch", config.max_batch.to_string()),
            ("max_bytes", config.max_bytes.to_string()),
            ("max_expires", format!("{:?}", config.max_expires)),
            ("inactive_threshold", format!("{:?}", config.inactive_threshold)),
            ("deliver_subject", format!("{:?}", config.deliver_subject)),
            ("priority_groups", format!("{:?}", config.priority_groups)),
            ("num_replicas", config.num_replicas.to_string()),
            ("mem_storage", config.memory_storage.to_string()),
            ("sample_freq", config.sample_frequency.to_string()),
        ]
    };
    for ((what, wanted), (_, found)) in of(wanted).into_iter().zip(of(found)) {
        compare(what, wanted, found);
    }
    // Without acks nothing waits for one, and the server writes out what it likes.
    if wanted.ack_policy == AckPolicy::None {
        return differences;
    }
    compare(
        "ack_wait",
        format!("{:?}", wanted.ack_wait),
        format!("{:?}", found.ack_wait),
    );
    // More of these does no harm.
    for (what, wanted, found) in [
        ("max_ack_pending", wanted.max_ack_pending, found.max_ack_pending),
        ("max_waiting", wanted.max_waiting, found.max_waiting),
    ] {
        if (0..wanted).contains(&found) {
            differences.push(format!("{what} is {found}, expected {wanted}"));
        }
    }
    differences
}

fn filters(config: &Config) -> String {
    let one = Some(&config.filter_subject).filter(|subject| !subject.is_empty());
    let mut all: Vec<&String> = config.filter_subjects.iter().chain(one).collect();
    all.sort_unstable();
    format!("{all:?}")
}
