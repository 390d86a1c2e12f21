//! Pausing and resuming a version.
//!
//! Baton pauses a version by pausing its consumers at the server: its workers keep pulling and get nothing, in whatever
//! language they are written. They may finish what they hold. What they release is not delivered again until the
//! version is resumed. The server keeps the pause across restarts.

use std::time::Duration;

use baton_envelope::{AgentName, AgentVersion, Bands};

use crate::error::{CONSUMER_NOT_FOUND, Error};
use crate::server::{ControllerMesh, Mesh};

/// The end of the pause of a version: never, in practice. The server counts in nanoseconds, which reach to about
/// 2316.
pub(super) const FOR_GOOD: &str = "2200-01-01T00:00:00Z";
/// The same, in seconds since the Unix epoch.
const FOR_GOOD_UNIX: i64 = 7_258_118_400;
/// How long a consumer may take to apply a pause; in a cluster the server answers first.
const FOLLOWING: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(10);

impl Mesh {
    /// The time until which a new consumer of a version must be paused, if it must: the route says so, or, where that
    /// cannot be read, another consumer of the version.
    pub(crate) async fn pause_of_new(
        &self,
        agent: &AgentName,
        version: &AgentVersion,
        bands: Bands,
    ) -> Option<time::OffsetDateTime> {
        match self.route(agent).await {
            Ok(Some((route, _))) if route.holds_back(version, self.now()) => for_good(),
            Ok(_) => self.pause_until(agent, version, bands).await,
            Err(error) => {
                tracing::debug!(%error, %agent, "whether the agent is paused is not known");
                self.pause_until(agent, version, bands).await
            }
        }
    }

    /// The time until which a version's consumers are paused, if one of them is.
    async fn pause_until(
        &self,
        agent: &AgentName,
        version: &AgentVersion,
        bands: Bands,
    ) -> Option<time::OffsetDateTime> {
        // One by one, by name: a worker may read its own consumers, but may lack the permission to list.
        for band in bands.list() {
            let consumer = self.subjects().work_consumer(version, band);
            match self.consumer(agent, &consumer).await {
                Ok(Some(found)) if found.paused => {
                    return for_good();
                }
                Ok(_) => {}
                Err(error) => tracing::warn!(%error, consumer, "cannot read whether the consumer is paused"),
            }
        }
        None
    }
}

fn for_good() -> Option<time::OffsetDateTime> {
    time::OffsetDateTime::from_unix_timestamp(FOR_GOOD_UNIX).ok()
}

impl ControllerMesh {
    /// Pauses a version: its workers get no ticket until it is resumed. Returns the number of consumers that this paused.
    /// A version without consumers cannot be paused.
    ///
    /// # Errors
    /// When the server refuses or does not answer. Some consumers may be paused by then; the call may be repeated.
    pub async fn pause_version(&self, agent: &AgentName, version: &AgentVersion) -> Result<usize, Error> {
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

    /// Resumes a version: waiting workers get their tickets at once. Returns the number of consumers that were paused.
    ///
    /// First it removes tickets of work that has since gone elsewhere: a worker would take them for new ones and run
    /// them without reading the ledger. That takes a while, in which somebody may pause or kill the version: then nothing more of
    /// it is resumed.
    ///
    /// # Errors
    /// As [`ControllerMesh::pause_version`].
    pub async fn resume_version(&self, agent: &AgentName, version: &AgentVersion) -> Result<usize, Error> {
        let mut changed = 0;
        let mut consumers = self.consumers(agent).await?;
        consumers.retain(|(of, _)| of == version);
        if consumers.iter().any(|(_, found)| found.paused) {
            self.drop_superseded(agent, version).await?;
        }
        for (_, found) in consumers {
            if found.paused {
                if self.is_held_back(agent, version).await? {
                    break;
                }
                if !self.pause(agent, &found.name, &serde_json::json!({})).await? {
                    continue;
                }
                self.until_paused(agent, &found.name, false).await?;
                self.wake(agent, &found.name).await?;
                changed += 1;
            } else if found.num_pending > 0 && found.num_waiting > 0 {
                // There are both work and waiting pulls: the process that resumed it last may have died before waking
                // it.
                self.wake(agent, &found.name).await?;
            }
        }
        Ok(changed)
    }

    /// Whether the route holds a version back at this moment.
    async fn is_held_back(&self, agent: &AgentName, version: &AgentVersion) -> Result<bool, Error> {
        let route = self.route(agent).await?;
        Ok(route.is_some_and(|(route, _)| route.holds_back(version, self.now())))
    }

    /// Takes the consumers of a retired version away, and the tickets that nobody needs: a stream may have only so many
    /// consumers. Returns how many there were.
    ///
    /// # Errors
    /// When the server refuses or does not answer. Some consumers may be gone by then; the call may be repeated.
    pub async fn remove_consumers(&self, agent: &AgentName, version: &AgentVersion) -> Result<usize, Error> {
        // Without a consumer nothing counts what is left in the stream.
        self.drop_superseded(agent, version).await?;
        let mut removed = 0;
        for (of, found) in self.consumers(agent).await? {
            if of != *version {
                continue;
            }
            let what = format!("CONSUMER.DELETE.{}.{}", self.subjects().work_stream(agent), found.name);
            match self.ask::<serde::de::IgnoredAny>(&what, &serde_json::json!({})).await? {
                Ok(_) => removed += 1,
                Err(refusal) if refusal.code == CONSUMER_NOT_FOUND => {}
                Err(refusal) => return Err(refusal.into()),
            }
        }
        Ok(removed)
    }

    /// Pauses a consumer, or ends its pause. `false` when the consumer is gone.
    pub(super) async fn pause(
        &self,
        agent: &AgentName,
        consumer: &str,
        until: &serde_json::Value,
    ) -> Result<bool, Error> {
        let what = format!("CONSUMER.PAUSE.{}.{consumer}", self.subjects().work_stream(agent));
        match self.ask::<serde_json::Value>(&what, until).await? {
            Ok(_) => Ok(true),
            Err(refusal) if refusal.code == CONSUMER_NOT_FOUND => Ok(false),
            Err(refusal) => Err(refusal.into()),
        }
    }

    /// Waits until a consumer has applied its pause, or the end of it; returns at once if the consumer is gone.
    async fn until_paused(&self, agent: &AgentName, consumer: &str, paused: bool) -> Result<(), Error> {
        let until = tokio::time::Instant::now() + FOLLOWING;
        loop {
            match self.consumer(agent, consumer).await? {
                Some(found) if found.paused != paused && tokio::time::Instant::now() > until => {
                    let change = if paused { "pausing" } else { "resuming" };
                    return Err(Error::no_answer(
                        format!("{change} consumer {consumer}"),
                        "it was not applied in time",
                    ));
                }
                Some(found) if found.paused != paused => tokio::time::sleep(PAUSE).await,
                Some(_) | None => return Ok(()),
            }
        }
    }

    /// Makes a consumer look at its queue. The server (2.15.1, and 2.14) does not when a pause ends early: waiting
    /// pulls would get nothing until another message or pull comes, up to half a minute later. So this sends one more
    /// pull, which expires before it can be served and whose answer goes nowhere.
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
        // The request must not sit in this process while workers wait for it.
        self.flush().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_of_for_good_are_one_moment() {
        let at: baton_envelope::Timestamp = FOR_GOOD.parse().expect("a time");
        assert_eq!(at.unix_millis(), FOR_GOOD_UNIX * 1000);
    }
}
