//! Reading routes: from the table that follows them, as long as that is known to be current, else from the bucket.

use std::sync::Arc;

use baton_envelope::{AgentName, Asked, Choice, Route, choose};

use crate::error::Error;
use crate::server::{Freshness, Mesh};

impl Mesh {
    /// The route of an agent: from the local table, else from the bucket. The table is used while it was current within the
    /// last five seconds.
    ///
    /// # Errors
    /// `UnknownAgent` with the agents that are known, when there is no route.
    pub async fn route_of(&self, agent: &AgentName) -> Result<Arc<Route>, Error> {
        if self.routes().is_followed() {
            let (route, freshness) = self.routes().get(agent, self.moment());
            if let (Some(route), Freshness::Fresh | Freshness::Aging) = (route, freshness) {
                if freshness == Freshness::Aging {
                    self.routes().wanted().notify_one();
                }
                return Ok(route);
            }
        }
        // Apart: it would be part of the state of every hop and every submit, and most of it.
        Box::pin(self.route_in_doubt(agent)).await
    }

    async fn route_in_doubt(&self, agent: &AgentName) -> Result<Arc<Route>, Error> {
        if self.is_table_current().await
            && let (Some(route), _) = self.routes().get(agent, self.moment())
        {
            return Ok(route);
        }
        if let Some((route, _)) = self.route(agent).await? {
            return Ok(Arc::new(route));
        }
        // The bucket was made again, and nobody has written the route there yet.
        if let Some(route) = self.routes().last_known(agent) {
            return Ok(route);
        }
        let known = self.known_routes().await?;
        Err(Error::UnknownAgent {
            agent: agent.to_string(),
            known: known.iter().map(|route| route.agent.to_string()).collect(),
        })
    }

    /// The version of an agent that takes this work, and why.
    ///
    /// # Errors
    /// `UnknownAgent` when there is no route; `Unroutable` when no version of it may take this work.
    pub async fn choose(&self, agent: &AgentName, asked: &Asked<'_>) -> Result<(Choice, Arc<Route>), Error> {
        let route = self.route_of(agent).await?;
        Ok((choose(&route, asked)?, route))
    }

    /// The route of an agent and the revision to write over, from the bucket. Where somebody removed it, that is the last
    /// one below the removal, if the bucket still has it.
    ///
    /// # Errors
    /// When the bucket is missing or cannot be read.
    pub async fn route(&self, agent: &AgentName) -> Result<Option<(Route, u64)>, Error> {
        let standing = self.standing_route(agent).await?;
        Ok(standing.map(|(route, revision, _)| (route, revision)))
    }

    /// As [`Mesh::route`], and whether it stands in the bucket: `false` where it was removed or cannot be read.
    pub(super) async fn standing_route(&self, agent: &AgentName) -> Result<Option<(Route, u64, bool)>, Error> {
        let found = self
            .bucket_entry(&self.subjects().routes_bucket(), agent.as_str())
            .await?;
        let Some(stored) = found else { return Ok(None) };
        let unreadable = match stored.is_removal() {
            true => None,
            false => match serde_json::from_slice::<Route>(&stored.body) {
                Ok(route) if route.agent == *agent => return Ok(Some((route, stored.seq, true))),
                Ok(route) => Some(format!("it speaks for agent \"{}\"", route.agent)),
                Err(error) => Some(error.to_string()),
            },
        };
        let before = Box::pin(self.route_history(agent)).await?.pop();
        match (before, unreadable) {
            (Some((_, route)), _) => Ok(Some((route, stored.seq, false))),
            (None, Some(error)) => {
                let what = format!("reading the route of {agent} (`baton repair route/{agent}` removes it)");
                Err(Error::api(what, error))
            }
            (None, None) => Ok(None),
        }
    }

    /// All routes, by agent: from the local table where that is current, else from the bucket.
    ///
    /// # Errors
    /// When the bucket is missing or cannot be read.
    pub async fn known_routes(&self) -> Result<Vec<Arc<Route>>, Error> {
        if Box::pin(self.is_table_current()).await {
            return Ok(self.routes().all());
        }
        let routes = Box::pin(self.all_routes()).await?;
        Ok(routes.into_iter().map(Arc::new).collect())
    }

    /// The routes that this process has followed so far, by agent, whether they are current or not; asks nobody.
    pub fn followed_routes(&self) -> Vec<Arc<Route>> {
        self.routes().all()
    }

    /// All routes that can be read, by agent, from the bucket.
    ///
    /// # Errors
    /// When the bucket is missing or cannot be read.
    pub async fn all_routes(&self) -> Result<Vec<Route>, Error> {
        let mut routes = Vec::new();
        for value in self.bucket_values(&self.subjects().routes_bucket()).await? {
            // What somebody else wrote there must not hide the routes beside it.
            match serde_json::from_slice::<Route>(&value) {
                Ok(route) => routes.push(route),
                Err(error) => tracing::warn!(%error, "a route cannot be read"),
            }
        }
        routes.sort_by(|a, b| a.agent.cmp(&b.agent));
        Ok(routes)
    }
}
