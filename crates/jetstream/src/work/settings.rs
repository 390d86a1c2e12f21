//! The settings of consumers, compared with what they should be. Anyone with the right to may edit a consumer that
//! runs, and nothing tells its workers.

use async_nats::jetstream::consumer::{Config, IntoConsumerConfig};
use baton_envelope::{AgentName, Bands};
use serde::Deserialize;

use super::consumers::version_of;
use crate::error::{Error, STREAM_NOT_FOUND};
use crate::server::Mesh;

/// A consumer that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Drifted {
    /// Its name.
    pub(crate) consumer: String,
    /// What differs, for people.
    pub(crate) differences: Vec<String>,
}

impl Mesh {
    /// The consumers of an agent's versions that are not as they should be.
    ///
    /// # Errors
    /// When the server does not answer.
    pub(crate) async fn drifted_consumers(&self, agent: &AgentName) -> Result<Vec<Drifted>, Error> {
        let mut drifted = Vec::new();
        for (name, found) in self.consumer_configs(&self.subjects().work_stream(agent)).await? {
            let Some(version) = version_of(&name) else { continue };
            let bands = [Bands::One, Bands::Three, Bands::Ten]
                .into_iter()
                .flat_map(|bands| bands.list());
            let Some(band) = bands
                .into_iter()
                .find(|band| self.subjects().work_consumer(&version, *band) == name)
            else {
                continue;
            };
            let wanted = self.work_consumer_config(agent, &version, band).into_consumer_config();
            let differences = differences(&wanted, &found);
            if !differences.is_empty() {
                drifted.push(Drifted {
                    consumer: name,
                    differences,
                });
            }
        }
        Ok(drifted)
    }

    /// The consumer that the routers share, where it is not as it should be.
    ///
    /// # Errors
    /// When the server does not answer.
    pub(crate) async fn drifted_router(&self) -> Result<Option<Drifted>, Error> {
        let wanted = self.router_config().into_consumer_config();
        for (consumer, found) in self.consumer_configs(&self.subjects().intake_stream()).await? {
            if wanted.durable_name.as_ref() != Some(&consumer) {
                continue;
            }
            let mut differences = differences(&wanted, &found);
            // Nobody shuts the intake, as the consumers of a version are shut.
            if let Some(until) = found.pause_until {
                differences.push(format!("paused until {until}, expected never"));
            }
            return Ok((!differences.is_empty()).then_some(Drifted { consumer, differences }));
        }
        Ok(None)
    }

    /// The name and the settings of each consumer of a stream; none when there is no stream.
    async fn consumer_configs(&self, stream: &str) -> Result<Vec<(String, Config)>, Error> {
        #[derive(Deserialize)]
        struct Info {
            name: String,
            config: Config,
        }
        match self
            .ask_list::<Info>(&format!("CONSUMER.LIST.{stream}"), "consumers")
            .await?
        {
            Ok(consumers) => Ok(consumers.into_iter().map(|info| (info.name, info.config)).collect()),
            Err(refusal) if refusal.code == STREAM_NOT_FOUND => Ok(Vec::new()),
            Err(refusal) => Err(refusal.into()),
        }
    }
}

/// Each setting that changes what is delivered, when, or how often.
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
            ("ack_wait", format!("{:?}", config.ack_wait)),
            ("backoff", format!("{:?}", config.backoff)),
            ("max_deliver", config.max_deliver.max(-1).to_string()),
            ("replay_policy", format!("{:?}", config.replay_policy)),
            ("rate_limit", config.rate_limit.to_string()),
            ("headers_only", config.headers_only.to_string()),
            ("max_batch", config.max_batch.to_string()),
            ("max_bytes", config.max_bytes.to_string()),
            ("max_expires", format!("{:?}", config.max_expires)),
            ("inactive_threshold", format!("{:?}", config.inactive_threshold)),
        ]
    };
    for ((what, wanted), (_, found)) in of(wanted).into_iter().zip(of(found)) {
        compare(what, wanted, found);
    }
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
