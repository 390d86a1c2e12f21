//! The consumers of an agent's versions: what waits for each version, and shutting and opening a version.
//!
//! A version is shut by pausing its consumers at the server: its workers go on pulling and get nothing, whatever they
//! are made of. What they hold already they may finish; what they let go of is not delivered again before the version
//! is opened. The server keeps the pause across restarts.

use std::collections::BTreeMap;
use std::time::Duration;

use baton_envelope::{AgentName, AgentVersion, Bands};
use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::mesh::Mesh;

/// Until when a shut version is shut: for good. The server counts in nanoseconds and reaches to about 2316.
const FOR_GOOD: &str = "2200-01-01T00:00:00Z";
/// The same, in seconds since the Unix epoch.
const FOR_GOOD_UNIX: i64 = 7_258_118_400;
/// The server's code for a stream that does not exist.
pub(crate) const STREAM_NOT_FOUND: u64 = 10059;
/// The server's code for a consumer that does not exist.
const CONSUMER_NOT_FOUND: u64 = 10014;
/// How often a list is read again that changed while it was read.
const TRIES: u32 = 5;
/// How long a consumer may take to follow the server's answer; in a cluster that answer comes first.
const FOLLOWING: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(10);

/// What is queued for a version, over all of its bands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Counts {
    /// Tickets that no worker has been given yet.
    pub backlog: u64,
    /// Tickets that a worker holds, and those that wait to be delivered again.
    pub in_flight: u64,
    /// Pulls of idle workers that wait at the server.
    pub waiting_pulls: u64,
    /// Whether the version is shut, in one band at least.
    #[serde(default)]
    pub shut: bool,
    /// Whether it is open, in one band at least.
    #[serde(default)]
    pub open: bool,
}

/// A consumer of a work stream, as the server tells of it.
#[derive(Debug, Deserialize)]
struct Found {
    name: String,
    #[serde(default)]
    num_pending: u64,
    #[serde(default)]
    num_ack_pending: u64,
    #[serde(default)]
    num_waiting: u64,
    #[serde(default)]
    paused: bool,
    #[serde(default)]
    ack_floor: Floor,
    #[serde(default)]
    config: Filters,
}

/// Up to where everything was acknowledged.
#[derive(Debug, Default, Deserialize)]
struct Floor {
    #[serde(default)]
    stream_seq: u64,
}

/// What a consumer delivers.
#[derive(Debug, Default, Deserialize)]
struct Filters {
    #[serde(default)]
    filter_subject: Option<String>,
    #[serde(default)]
    filter_subjects: Vec<String>,
}

impl Mesh {
    /// What is queued for each version of an agent that has consumers; empty when the agent has no work stream.
    ///
    /// # Errors
    /// When the server does not answer, or cannot tell of every consumer.
    pub async fn agent_counts(&self, agent: &AgentName) -> Result<BTreeMap<AgentVersion, Counts>, Error> {
        let mut counts: BTreeMap<AgentVersion, Counts> = BTreeMap::new();
        for (version, found) in self.consumers(agent).await? {
            let counts = counts.entry(version).or_default();
            counts.backlog += found.num_pending;
            counts.in_flight += found.num_ack_pending;
            counts.waiting_pulls += found.num_waiting;
            counts.shut |= found.paused;
            counts.open |= !found.paused;
        }
        Ok(counts)
    }

    /// Shuts a version: from now on its workers get no ticket until it is opened. Gives the number of consumers that were still
    /// open. A version that has no consumers yet cannot be shut.
    ///
    /// # Errors
    /// When the server refuses or does not answer; some consumers may be shut then, and it may be repeated.
    pub async fn shut_version(&self, agent: &AgentName, version: &AgentVersion) -> Result<usize, Error> {
        let mut changed = 0;
        for (of, found) in self.consumers(agent).await? {
            if of == *version && !found.paused {
                let until = serde_json::json!({ "pause_until": FOR_GOOD });
                if self.pause(agent, &found.name, &until).await? {
                    self.until_paused(agent, &found.name, true).await?;
                    changed += 1;
                }
            }
        }
        Ok(changed)
    }

    /// Opens a version that was shut: workers that wait get their tickets at once. Gives the number of consumers that
    /// were shut.
    ///
    /// Tickets of work that went elsewhere meanwhile are taken away first: to a worker they would come as new ones, which
    /// it runs without reading the ledger.
    ///
    /// # Errors
    /// As [`Mesh::shut_version`].
    pub async fn open_version(&self, agent: &AgentName, version: &AgentVersion) -> Result<usize, Error> {
        let mut changed = 0;
        let mut consumers = self.consumers(agent).await?;
        consumers.retain(|(of, _)| of == version);
        if consumers.iter().any(|(_, found)| found.paused) {
            self.drop_superseded(agent, version).await?;
        }
        for (_, found) in consumers {
            if found.paused {
                if !self.pause(agent, &found.name, &serde_json::json!({})).await? {
                    continue;
                }
                self.until_paused(agent, &found.name, false).await?;
                self.wake(agent, &found.name).await?;
                changed += 1;
            } else if found.num_pending > 0 && found.num_waiting > 0 {
                // Work and pulls side by side: whoever opened it last may have died before waking it.
                self.wake(agent, &found.name).await?;
            }
        }
        Ok(changed)
    }

    /// The time until which a version's consumers are paused, when one of them is: a consumer that is made beside it must
    /// be shut as well.
    pub(crate) async fn shut_until(
        &self,
        agent: &AgentName,
        version: &AgentVersion,
        bands: Bands,
    ) -> Option<time::OffsetDateTime> {
        // One by one, by name: a worker may look at its own consumers, but need not be allowed to list.
        for band in bands.list() {
            let consumer = self.subjects().work_consumer(version, band);
            match self.consumer(agent, &consumer).await {
                Ok(Some(found)) if found.paused => {
                    return time::OffsetDateTime::from_unix_timestamp(FOR_GOOD_UNIX).ok();
                }
                Ok(_) => {}
                Err(error) => tracing::warn!(%error, consumer, "whether it is shut cannot be read"),
            }
        }
        None
    }

    /// From which sequence on each subject of a version's consumers holds what will still be delivered. Empty when the
    /// version has no consumers.
    ///
    /// # Errors
    /// When the server does not answer, or cannot tell of every consumer.
    pub(crate) async fn undelivered_from(
        &self,
        agent: &AgentName,
        version: &AgentVersion,
    ) -> Result<Vec<(String, u64)>, Error> {
        let mut found = Vec::new();
        for (of, consumer) in self.consumers(agent).await? {
            if of == *version {
                let from = consumer.ack_floor.stream_seq + 1;
                let Filters {
                    filter_subject,
                    filter_subjects,
                } = consumer.config;
                let subjects = filter_subjects.into_iter().chain(filter_subject);
                found.extend(subjects.map(|subject| (subject, from)));
            }
        }
        Ok(found)
    }

    /// Every consumer of an agent's work stream that belongs to a version.
    async fn consumers(&self, agent: &AgentName) -> Result<Vec<(AgentVersion, Found)>, Error> {
        #[derive(Deserialize)]
        struct Page {
            total: usize,
            #[serde(default)]
            consumers: Vec<Found>,
            /// Consumers that did not answer, in a cluster, and those that the server cannot load.
            #[serde(default)]
            missing: Option<Vec<String>>,
            #[serde(default)]
            offline: Option<BTreeMap<String, String>>,
        }
        let what = format!("CONSUMER.LIST.{}", self.subjects().work_stream(agent));
        for _ in 0..TRIES {
            let mut found: BTreeMap<String, Found> = BTreeMap::new();
            let mut offset = 0;
            let total = loop {
                let page: Page = match self.ask(&what, &serde_json::json!({ "offset": offset })).await? {
                    Ok(page) => page,
                    Err(refusal) if refusal.code == STREAM_NOT_FOUND => return Ok(Vec::new()),
                    Err(refusal) => return Err(refusal.into()),
                };
                // A consumer that nobody tells of is not one without work: a drain must not end on that.
                let is_silent = page.missing.is_some_and(|missing| !missing.is_empty())
                    || page.offline.is_some_and(|offline| !offline.is_empty());
                if is_silent {
                    return Err(Error::NoAnswer { what });
                }
                offset += page.consumers.len();
                let is_last = page.consumers.is_empty() || offset >= page.total;
                found.extend(page.consumers.into_iter().map(|one| (one.name.clone(), one)));
                if is_last {
                    break page.total;
                }
            };
            // One that was made or deleted between two pages shifts the rest.
            if found.len() == total {
                return Ok(found
                    .into_values()
                    .filter_map(|found| Some((version_of(&found.name)?, found)))
                    .collect());
            }
        }
        Err(Error::api(what, "the list changed each time while it was read"))
    }

    async fn consumer(&self, agent: &AgentName, consumer: &str) -> Result<Option<Found>, Error> {
        let what = format!("CONSUMER.INFO.{}.{consumer}", self.subjects().work_stream(agent));
        match self.ask::<Found>(&what, &serde_json::json!({})).await? {
            Ok(found) => Ok(Some(found)),
            Err(refusal) if [CONSUMER_NOT_FOUND, STREAM_NOT_FOUND].contains(&refusal.code) => Ok(None),
            Err(refusal) => Err(refusal.into()),
        }
    }

    /// Pauses a consumer, or ends its pause. `false` when the consumer is gone.
    async fn pause(&self, agent: &AgentName, consumer: &str, until: &serde_json::Value) -> Result<bool, Error> {
        let what = format!("CONSUMER.PAUSE.{}.{consumer}", self.subjects().work_stream(agent));
        match self.ask::<serde_json::Value>(&what, until).await? {
            Ok(_) => Ok(true),
            Err(refusal) if refusal.code == CONSUMER_NOT_FOUND => Ok(false),
            Err(refusal) => Err(refusal.into()),
        }
    }

    /// Waits until a consumer does what its pause says; one that is gone does nothing.
    async fn until_paused(&self, agent: &AgentName, consumer: &str, paused: bool) -> Result<(), Error> {
        let until = tokio::time::Instant::now() + FOLLOWING;
        loop {
            match self.consumer(agent, consumer).await? {
                Some(found) if found.paused != paused && tokio::time::Instant::now() > until => {
                    return Err(Error::NoAnswer {
                        what: format!("shutting or opening consumer {consumer}"),
                    });
                }
                Some(found) if found.paused != paused => tokio::time::sleep(PAUSE).await,
                Some(_) | None => return Ok(()),
            }
        }
    }

    /// Makes a consumer look at its queue. The server (2.15.1, and 2.14) does not do that when a pause is ended early:
    /// pulls that wait would get nothing until another message or pull comes, up to half a minute later. So one more
    /// pull is sent: it expires before it can be served, and its answer goes nowhere.
    async fn wake(&self, agent: &AgentName, consumer: &str) -> Result<(), Error> {
        let subject = format!(
            "{}.CONSUMER.MSG.NEXT.{}.{consumer}",
            self.api_prefix(),
            self.subjects().work_stream(agent)
        );
        self.client()
            .publish_with_reply(subject, self.client().new_inbox(), r#"{"batch":1,"expires":1}"#.into())
            .await
            .map_err(|error| Error::api("waking a consumer", error))?;
        // It must not sit in this process while somebody waits for it.
        self.flush().await
    }
}

/// The version whose tickets a consumer delivers; `None` for one that is not Baton's.
fn version_of(consumer: &str) -> Option<AgentVersion> {
    let (token, band) = consumer.rsplit_once("_p")?;
    let number = |text: &str| text.parse::<u8>().is_ok_and(|priority| (1..=10).contains(&priority));
    let is_band = match band.split_once('-') {
        Some((low, high)) => number(low) && number(high),
        None => number(band),
    };
    is_band.then(|| AgentVersion::from_token(token).ok())?
}

#[cfg(test)]
mod tests {
    use baton_envelope::{Namespace, Subjects};

    use super::*;

    #[test]
    fn the_version_is_read_back_from_every_consumer_name() {
        let subjects = Subjects::new(Namespace::default());
        for text in ["1.0.0", "2.0.0-rc.1", "1.0.0-x.p3", "1.0.0-p+b.p1-3"] {
            let version: AgentVersion = text.parse().expect("version");
            for band in [Bands::One, Bands::Three, Bands::Ten]
                .iter()
                .flat_map(|bands| bands.list())
            {
                let name = subjects.work_consumer(&version, band);
                assert_eq!(version_of(&name), Some(version.clone()), "{name}");
            }
        }
        for foreign in ["router", "1_0_0", "1_0_0_px", "1_0_0_p11", "tail_p4-7"] {
            assert_eq!(version_of(foreign), None, "{foreign}");
        }
    }

    #[test]
    fn both_forms_of_for_good_are_one_moment() {
        let at: baton_envelope::Timestamp = FOR_GOOD.parse().expect("a time");
        assert_eq!(at.unix_millis(), FOR_GOOD_UNIX * 1000);
    }
}
