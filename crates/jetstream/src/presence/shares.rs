//! The shares that workers have of the limits of their agent: told to each of them, and kept so that the next leader knows.

use std::collections::BTreeMap;
use std::time::Duration;

use async_nats::{Request, RequestErrorKind};
use baton_envelope::{AgentName, AgentVersion, Declaration, Share, ShareHeld};
use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::server::{BUCKET_PATIENCE, ControllerMesh};

/// How long a worker may take to answer.
const PATIENCE: Duration = Duration::from_secs(1);

/// The most that a worker may be using of each limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Bound {
    /// Hops at a time.
    pub in_flight: u64,
    /// Hops started in an hour.
    pub rate_per_hour: u64,
}

/// Which worker, within an agent.
pub type AgentInstance = (AgentVersion, String);

/// The bounds of all workers of an agent, as they stand in the bucket.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Shares {
    /// The bounds.
    pub bounds: BTreeMap<AgentInstance, Bound>,
    /// The revision; 0 where none were ever written.
    pub revision: u64,
}

/// The form in the bucket: bounds by `<token>/<instance>`.
#[derive(Serialize, Deserialize)]
struct Stored {
    bounds: BTreeMap<String, Bound>,
}

/// What a worker says to its share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ShareTold {
    /// It keeps to it.
    Held(ShareHeld),
    /// It is of a release that knows no limits.
    Unaware,
    /// No answer in time.
    Silent,
    /// The server has no connection that would answer.
    Gone,
}

impl ControllerMesh {
    /// The shares of an agent's workers.
    ///
    /// # Errors
    /// When the bucket cannot be read.
    pub async fn shares(&self, agent: &AgentName) -> Result<Shares, Error> {
        let bucket = self.subjects().control_bucket();
        let request = serde_json::json!({ "last_by_subj": format!("$KV.{bucket}.{}", key(agent)) });
        let stream = format!("KV_{bucket}");
        let Some(stored) = self.leader_get_within(&stream, &request, BUCKET_PATIENCE).await? else {
            return Ok(Shares::default());
        };
        let bounds = match stored.is_removal() {
            true => BTreeMap::new(),
            false => serde_json::from_slice::<Stored>(&stored.body).map_or_else(
                |error| {
                    tracing::warn!(%error, %agent, "the shares of its workers cannot be read; they begin anew");
                    BTreeMap::new()
                },
                |stored| stored.bounds,
            ),
        };
        let bounds = bounds.into_iter().filter_map(|(place, bound)| {
            let (token, instance) = place.split_once('/')?;
            Some(((AgentVersion::from_token(token).ok()?, instance.to_owned()), bound))
        });
        Ok(Shares {
            bounds: bounds.collect(),
            revision: stored.seq,
        })
    }

    /// Writes the shares over the revision that they were read at; gives the new revision.
    ///
    /// # Errors
    /// When somebody else wrote them meanwhile, or the bucket cannot be written.
    pub async fn keep_shares(&self, agent: &AgentName, shares: &Shares) -> Result<u64, Error> {
        let bounds = shares.bounds.iter();
        let stored = Stored {
            bounds: bounds
                .map(|((version, instance), bound)| (format!("{}/{instance}", version.token()), *bound))
                .collect(),
        };
        let body = serde_json::to_vec(&stored).map_err(|error| Error::api("encoding shares", error))?;
        let store = self.bucket(self.subjects().control_bucket()).await?;
        let written = store.update(key(agent), body.into(), shares.revision).await;
        written.map_err(|error| Error::api("keeping shares", error))
    }

    /// Tells a worker its share.
    pub async fn tell_share(&self, agent: &AgentName, place: &AgentInstance, share: Share) -> ShareTold {
        let (version, instance) = place;
        let body = serde_json::to_vec(&share).unwrap_or_default();
        let request = Request::new().payload(body.into()).timeout(Some(PATIENCE));
        let subject = self.subjects().instance(agent, version, instance);
        match self.client().send_request(subject, request).await {
            Ok(reply) => match serde_json::from_slice::<ShareHeld>(&reply.payload) {
                Ok(held) => ShareTold::Held(held),
                Err(_) if serde_json::from_slice::<Declaration>(&reply.payload).is_ok() => ShareTold::Unaware,
                Err(_) => ShareTold::Silent,
            },
            Err(error) if error.kind() == RequestErrorKind::NoResponders => ShareTold::Gone,
            Err(error) => {
                tracing::debug!(%error, %agent, %version, instance, "a worker does not say whether it keeps to its share");
                ShareTold::Silent
            }
        }
    }
}

/// Where the shares of an agent stand.
fn key(agent: &AgentName) -> String {
    format!("shares.{agent}")
}
