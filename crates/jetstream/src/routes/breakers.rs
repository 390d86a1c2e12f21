//! The breakers of versions, written with compare-and-set, and what the routes tell of them.

use std::time::Duration;

use baton_envelope::rollout::{Act, Refused, tell_withheld};
use baton_envelope::{AgentName, AgentVersion, Breaker, Withheld};

use crate::error::{Error, Source};
use crate::server::{ControllerMesh, Mesh};

/// How often a decision is taken again when another writer came first.
const TRIES: u32 = 20;
const PAUSE: Duration = Duration::from_millis(10);

impl Mesh {
    /// The breakers that were ever open, with their revisions. What cannot be read is passed over.
    ///
    /// # Errors
    /// When the bucket cannot be read.
    pub async fn breakers(&self) -> Result<Vec<Breaker>, Error> {
        let values = self.bucket_values(&self.subjects().breakers_bucket()).await?;
        let mut found = Vec::with_capacity(values.len());
        for value in values {
            match serde_json::from_slice::<Breaker>(&value) {
                Ok(breaker) => found.push(breaker),
                Err(error) => tracing::warn!(%error, "a breaker cannot be read"),
            }
        }
        Ok(found)
    }

    /// The breaker of a version and its revision; `None` if it was never open, or cannot be read.
    ///
    /// # Errors
    /// When the bucket cannot be read.
    pub async fn breaker(&self, agent: &AgentName, version: &AgentVersion) -> Result<Option<(Breaker, u64)>, Error> {
        let key = self.subjects().agent_key(agent, version);
        let Some(stored) = self.bucket_entry(&self.subjects().breakers_bucket(), &key).await? else {
            return Ok(None);
        };
        if stored.is_removal() {
            return Ok(None);
        }
        match serde_json::from_slice::<Breaker>(&stored.body) {
            Ok(breaker) if breaker.agent == *agent && breaker.version == *version => Ok(Some((breaker, stored.seq))),
            Ok(_) => {
                tracing::warn!(key, "a breaker that speaks for another version is passed over");
                Ok(None)
            }
            Err(error) => {
                tracing::warn!(%error, key, "a breaker cannot be read");
                Ok(None)
            }
        }
    }
}

impl ControllerMesh {
    /// Writes what `decide` makes of the breaker of a version, and gives what stands and its revision. `decide` is called
    /// again on the newer one when somebody else wrote at the same moment. `None` of it leaves the breaker as it is.
    ///
    /// # Errors
    /// When `decide` refuses, or the bucket cannot be read or written.
    pub async fn change_breaker(
        &self,
        agent: &AgentName,
        version: &AgentVersion,
        decide: impl Fn(Option<&Breaker>) -> Result<Option<Breaker>, Refused> + Send,
    ) -> Result<Option<(Breaker, u64)>, Error> {
        let (bucket, key) = (
            self.subjects().breakers_bucket(),
            self.subjects().agent_key(agent, version),
        );
        let store = self.bucket(bucket.clone()).await?;
        let mut tried: Option<Breaker> = None;
        for turn in 0.. {
            let present = self.breaker(agent, version).await?;
            // A write that was not answered may stand all the same.
            if let Some((breaker, _)) = &present
                && tried.as_ref() == Some(breaker)
            {
                return Ok(present);
            }
            let Some(next) = decide(present.as_ref().map(|(breaker, _)| breaker))? else {
                return Ok(present);
            };
            let value = serde_json::to_vec(&next).map_err(|error| Error::api("encoding a breaker", error))?;
            let revision = match &present {
                Some((_, revision)) => *revision,
                // What is there and cannot be read, or was removed, is written over.
                None => self.bucket_entry(&bucket, &key).await?.map_or(0, |stored| stored.seq),
            };
            match store.update(&key, value.into(), revision).await.map_err(Source::from) {
                Ok(revision) => return Ok(Some((next, revision))),
                Err(_) if turn < TRIES => {}
                Err(error) => return Err(Error::api("setting a breaker", error)),
            }
            tried = Some(next);
            tokio::time::sleep(PAUSE).await;
        }
        Ok(None)
    }

    /// Has the route of an agent tell senders that tickets of a version are withheld, or no longer.
    ///
    /// # Errors
    /// When the route cannot be read or written.
    pub async fn tell_withheld(
        &self,
        agent: &AgentName,
        version: &AgentVersion,
        withheld: Option<&Withheld>,
        act: &Act,
    ) -> Result<(), Error> {
        let told = self.change_route(agent, |route| {
            Ok(route.and_then(|route| tell_withheld(route, version, withheld, act)))
        });
        told.await.map(drop)
    }

    /// Takes the tickets of a version out of its agent's stream, whoever holds them: what runs goes on, and nothing new
    /// begins. The ledger still owes them.
    ///
    /// # Errors
    /// When the server refuses or does not answer.
    pub async fn withdraw_tickets(&self, agent: &AgentName, version: &AgentVersion) -> Result<u64, Error> {
        #[derive(serde::Deserialize)]
        struct Purged {
            #[serde(default)]
            purged: u64,
        }
        let what = format!("STREAM.PURGE.{}", self.subjects().work_stream(agent));
        let request = serde_json::json!({ "filter": self.subjects().work_version(agent, version) });
        let purged: Purged = self.ask(&what, &request).await??;
        Ok(purged.purged)
    }
}
