//! Decisions on routes, written with compare-and-set, and their history.

use std::time::Duration;

use baton_envelope::rollout::{Act, Refused, activate, restored};
use baton_envelope::{AgentName, AgentVersion, Route};

use crate::error::{Error, Source};
use crate::server::{ControllerMesh, Mesh};

/// How often a decision is taken again when another writer came first.
const TRIES: u32 = 20;
const PAUSE: Duration = Duration::from_millis(10);

impl Mesh {
    /// The revisions of an agent's route that are kept, oldest first.
    ///
    /// # Errors
    /// When the bucket cannot be read.
    pub async fn route_history(&self, agent: &AgentName) -> Result<Vec<(u64, Route)>, Error> {
        let bucket = self.subjects().routes_bucket();
        let mut found = Vec::new();
        for stored in self.bucket_history(&bucket, agent.as_str()).await? {
            if stored.is_removal() {
                continue;
            }
            match serde_json::from_slice::<Route>(&stored.body) {
                Ok(route) if route.agent == *agent => found.push((stored.seq, route)),
                Ok(route) => {
                    tracing::warn!(%agent, revision = stored.seq, of = %route.agent, "a route speaks for another agent");
                }
                Err(error) => tracing::warn!(%error, %agent, revision = stored.seq, "a route cannot be read"),
            }
        }
        Ok(found)
    }
}

impl ControllerMesh {
    /// Writes what `decide` makes of the present route of an agent, and gives the route that stands and its revision.
    /// `decide` is called again on the newer route when somebody else wrote at the same moment, so no decision rests on
    /// a route that it did not see. `None` of it leaves the route as it is.
    ///
    /// # Errors
    /// When `decide` refuses, or the bucket cannot be read or written.
    pub async fn change_route(
        &self,
        agent: &AgentName,
        decide: impl Fn(Option<&Route>) -> Result<Option<Route>, Refused> + Send,
    ) -> Result<Option<(Route, u64)>, Error> {
        let store = self.bucket(self.subjects().routes_bucket()).await?;
        let mut tries = 0;
        let mut tried: Option<Route> = None;
        loop {
            let present = self.present_route(agent).await?;
            // A write that was not answered may stand all the same; decided once more, a step would be taken twice.
            if let Some((route, _)) = &present
                && tried.as_ref() == Some(route)
            {
                return Ok(present);
            }
            let Some(next) = decide(present.as_ref().map(|(route, _)| route))? else {
                return Ok(present);
            };
            let value = serde_json::to_vec(&next).map_err(|error| Error::api("encoding a route", error))?;
            let written = match &present {
                // Revision 0: the bucket was made again, and has nothing of it.
                Some((_, revision)) => store
                    .update(agent.as_str(), value.into(), *revision)
                    .await
                    .map_err(Source::from),
                None => store.create(agent.as_str(), value.into()).await.map_err(Source::from),
            };
            match written {
                Ok(revision) => {
                    self.routes().put(next.clone(), revision);
                    return Ok(Some((next, revision)));
                }
                // Someone else wrote between the read and the write; read again. A bucket that is full, or that this
                // user may not write, can be read all the same: do not try for ever.
                Err(_) if tries < TRIES => tries += 1,
                Err(error) => return Err(Error::api("setting a route", error)),
            }
            tried = Some(next);
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// The route of an agent to decide on, and the revision to write over: from the bucket, else the last one that this
    /// process has followed.
    async fn present_route(&self, agent: &AgentName) -> Result<Option<(Route, u64)>, Error> {
        if let Some(present) = self.route(agent).await? {
            return Ok(Some(present));
        }
        // Nobody knows better than whoever followed it. The revision to write over is that of the removal, if there is one.
        let Some(known) = self.routes().last_known(agent) else {
            return Ok(None);
        };
        let removal = self
            .bucket_entry(&self.subjects().routes_bucket(), agent.as_str())
            .await?;
        Ok(Some((Route::clone(&known), removal.map_or(0, |stored| stored.seq))))
    }

    /// The last route of an agent that is known: in the bucket, or below a removal there, or in the memory of this process.
    ///
    /// # Errors
    /// When the bucket is missing or cannot be read.
    pub async fn last_route(&self, agent: &AgentName) -> Result<Option<Route>, Error> {
        Ok(self.present_route(agent).await?.map(|(route, _)| route))
    }

    /// Writes the last known route of each agent whose route was removed, or became unreadable, and gives the agents that
    /// have their route again.
    ///
    /// # Errors
    /// When the bucket cannot be read or written.
    pub async fn restore_routes(&self, by: &str) -> Result<Vec<Route>, Error> {
        let mut done = Vec::new();
        // A bucket that was made again is noticed by whoever compares.
        self.is_table_current().await;
        for agent in self.routes().lost() {
            let standing = match self.standing_route(&agent).await {
                // It waits for a repair; the others do not wait for it.
                Err(error) if !error.is_of_server() => {
                    tracing::debug!(%error, %agent, "a lost route cannot be restored");
                    continue;
                }
                standing => standing?,
            };
            let (route, revision) = match standing {
                Some((.., true)) => continue,
                Some((route, revision, false)) => (route, revision),
                None => match self.present_route(&agent).await? {
                    Some(present) => present,
                    None => continue,
                },
            };
            let act = Act::new(by, self.now()).because("it was removed from the bucket, or could not be read");
            let route = restored(&route, &act);
            let value = serde_json::to_vec(&route).map_err(|error| Error::api("encoding a route", error))?;
            let store = self.bucket(self.subjects().routes_bucket()).await?;
            match store.update(agent.as_str(), value.into(), revision).await {
                Ok(revision) => {
                    self.routes().put(route.clone(), revision);
                    done.push(route);
                }
                // Another controller came first, or the next look tries again.
                Err(error) => tracing::debug!(%error, %agent, "a lost route was not written"),
            }
        }
        Ok(done)
    }

    /// Gives all new work of an agent to a version. With `only_if_absent` an existing route is left as it is.
    ///
    /// # Errors
    /// When a rollout is under way, the version may take no work, or the bucket cannot be written.
    pub async fn set_route(
        &self,
        agent: &AgentName,
        version: &AgentVersion,
        by: &str,
        only_if_absent: bool,
    ) -> Result<Route, Error> {
        let act = Act::new(by, self.now());
        let set = self
            .change_route(agent, |present| match present {
                None => Ok(Some(Route::first(agent.clone(), version.clone(), act.at, by))),
                Some(_) if only_if_absent => Ok(None),
                Some(route) => activate(route, version, &act).map(Some),
            })
            .await?;
        set.map(|(route, _)| route)
            .ok_or_else(|| Error::api("setting a route", "there is none"))
    }
}
