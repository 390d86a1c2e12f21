//! The consumers of an agent's versions: what is queued for each version, and from which sequence on.

use std::collections::BTreeMap;

use baton_envelope::control::Counts;
use baton_envelope::{AgentName, AgentVersion};
use serde::Deserialize;

use crate::error::{CONSUMER_NOT_FOUND, Error, STREAM_NOT_FOUND};
use crate::server::{Mesh, version_of};

/// How many times to read a list that changes while being read.
const TRIES: u32 = 5;

/// A consumer of a work stream, as the server reports it.
#[derive(Debug, Deserialize)]
pub(super) struct Found {
    pub(super) name: String,
    #[serde(default)]
    pub(super) num_pending: u64,
    #[serde(default)]
    num_ack_pending: u64,
    #[serde(default)]
    pub(super) num_waiting: u64,
    #[serde(default)]
    pub(super) paused: bool,
    #[serde(default)]
    pub(super) ack_floor: Floor,
    #[serde(default)]
    pub(super) delivered: Floor,
    #[serde(default)]
    config: Filters,
}

impl Found {
    /// The subjects that it delivers.
    pub(super) fn subjects(&self) -> impl Iterator<Item = &String> {
        self.config.filter_subjects.iter().chain(&self.config.filter_subject)
    }
}

/// A sequence up to which everything was acknowledged, or delivered.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Floor {
    #[serde(default)]
    pub(super) stream_seq: u64,
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
    /// When the server does not answer, or cannot report every consumer.
    pub async fn agent_counts(&self, agent: &AgentName) -> Result<BTreeMap<AgentVersion, Counts>, Error> {
        let mut counts: BTreeMap<AgentVersion, Counts> = BTreeMap::new();
        for (version, found) in self.consumers(agent).await? {
            let counts = counts.entry(version).or_default();
            counts.backlog += found.num_pending;
            counts.in_flight += found.num_ack_pending;
            counts.waiting_pulls += found.num_waiting;
            counts.paused |= found.paused;
            counts.running |= !found.paused;
        }
        Ok(counts)
    }

    /// How many tickets were ever written for an agent; 0 when it has no work stream.
    ///
    /// # Errors
    /// When the server does not answer.
    pub async fn tickets_ever(&self, agent: &AgentName) -> Result<u64, Error> {
        match self.stream_end(&self.subjects().work_stream(agent)).await {
            Ok(end) => Ok(end.last_seq),
            Err(Error::Refused(refusal)) if refusal.code == STREAM_NOT_FOUND => Ok(0),
            Err(error) => Err(error),
        }
    }

    /// For each subject of a version's consumers, the sequence from which tickets may still be delivered. Empty when
    /// the version has no consumers.
    ///
    /// # Errors
    /// When the server does not answer, or cannot report every consumer.
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
    pub(super) async fn consumers(&self, agent: &AgentName) -> Result<Vec<(AgentVersion, Found)>, Error> {
        #[derive(Deserialize)]
        struct Page {
            total: usize,
            #[serde(default)]
            consumers: Vec<Found>,
            /// Consumers that did not answer (in a cluster), and those that the server cannot load.
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
                // An unreported consumer is not one without work: a drain must not end because of it.
                let is_silent = page.missing.is_some_and(|missing| !missing.is_empty())
                    || page.offline.is_some_and(|offline| !offline.is_empty());
                if is_silent {
                    return Err(Error::no_answer(what, "some consumers did not report"));
                }
                offset += page.consumers.len();
                let is_last = page.consumers.is_empty() || offset >= page.total;
                found.extend(page.consumers.into_iter().map(|one| (one.name.clone(), one)));
                if is_last {
                    break page.total;
                }
            };
            // A consumer created or deleted between two pages shifts the rest.
            if found.len() == total {
                return Ok(found
                    .into_values()
                    .filter_map(|found| Some((version_of(&found.name)?, found)))
                    .collect());
            }
        }
        Err(Error::api(what, "the list changed each time while it was read"))
    }

    pub(super) async fn consumer(&self, agent: &AgentName, consumer: &str) -> Result<Option<Found>, Error> {
        let what = format!("CONSUMER.INFO.{}.{consumer}", self.subjects().work_stream(agent));
        match self.ask::<Found>(&what, &serde_json::json!({})).await? {
            Ok(found) => Ok(Some(found)),
            Err(refusal) if [CONSUMER_NOT_FOUND, STREAM_NOT_FOUND].contains(&refusal.code) => Ok(None),
            Err(refusal) => Err(refusal.into()),
        }
    }
}
