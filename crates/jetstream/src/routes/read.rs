//! Reading routes: from the table that follows them, as long as that is known to be current, else from the bucket.

use std::sync::Arc;

use baton_envelope::{AgentName, Asked, Choice, HistoryEntry, OnOpen, Policy, Route, StandsIn, Withheld, choose};

use crate::error::Error;
use crate::server::{Freshness, Mesh};

/// Where a piece of work goes.
#[derive(Debug, Clone)]
pub struct Placed {
    /// The version.
    pub choice: Choice,
    /// The route of the agent that gets it.
    pub route: Arc<Route>,
    /// Why that is not the agent that was asked for.
    pub stands_in: Option<StandsIn>,
    /// Where the breaker of the agent that was asked for was the reason: what the history of the envelope says of it.
    pub passed_by: Option<Box<HistoryEntry>>,
}

impl Placed {
    /// What the record says in which the work goes to an agent that stands in, after what its writer says there.
    pub fn note(&self, own: Option<String>) -> Option<String> {
        let Some(passed_by) = &self.passed_by else { return own };
        let (did, decided, why) = (&passed_by.did, &passed_by.decided, &passed_by.why);
        let said = [own.as_ref(), did.as_ref(), decided.as_ref(), why.as_ref()];
        let said: Vec<&str> = said.into_iter().flatten().map(String::as_str).collect();
        Some(said.join("; "))
    }
}

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
            self.routes().read_once(&route);
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

    /// The agent and the version that get this work now. Where the breaker of the version is open, the policy of the agent
    /// decides: the work waits, goes to an agent that stands in, or is refused.
    ///
    /// # Errors
    /// As [`Mesh::choose`]; `BreakerOpen` when the policy refuses.
    pub async fn place(&self, agent: &AgentName, asked: &Asked<'_>) -> Result<Placed, Error> {
        let (choice, route) = self.choose(agent, asked).await?;
        let placed = Placed {
            choice,
            route,
            stands_in: None,
            passed_by: None,
        };
        if !placed.route.is_withheld(&placed.choice.version) {
            return Ok(placed);
        }
        // Rare, and apart: it would be part of the state of every hop and every submit.
        Box::pin(self.place_behind_open_breaker(placed, asked)).await
    }

    async fn place_behind_open_breaker(&self, placed: Placed, asked: &Asked<'_>) -> Result<Placed, Error> {
        let (route, version) = (&placed.route, &placed.choice.version);
        let withheld = route.versions.get(version).and_then(|entry| entry.withheld.as_ref());
        let on_open = route.policy.as_ref().and_then(|policy| policy.on_open.clone());
        // From that time on one of the intents that wait is let through: somebody has to come.
        let Some(withheld) = withheld.filter(|withheld| withheld.turns_away(self.now())) else {
            return Ok(placed);
        };
        match on_open.unwrap_or_default() {
            OnOpen::Wait | OnOpen::Unknown(_) => Ok(placed),
            OnOpen::Refuse => Err(Error::BreakerOpen {
                agent: route.agent.clone(),
                version: version.clone(),
                until: withheld.until,
            }),
            OnOpen::Alternative => {
                let stands_in = StandsIn {
                    for_agent: route.agent.clone(),
                    tried: vec![route.agent.clone()],
                    extra: baton_envelope::Extra::new(),
                };
                let Some(mut other) = self.stand_in(&stands_in, route.policy.as_ref(), asked).await? else {
                    return Ok(placed);
                };
                other.passed_by = Some(Box::new(self.passed_by(&placed, withheld, &other)));
                Ok(other)
            }
        }
    }

    /// That an agent is passed by because its breaker is open.
    fn passed_by(&self, placed: &Placed, withheld: &Withheld, other: &Placed) -> HistoryEntry {
        let (agent, version) = (&placed.route.agent, &placed.choice.version);
        let open = Error::BreakerOpen {
            agent: agent.clone(),
            version: version.clone(),
            until: withheld.until,
        };
        HistoryEntry {
            agent: agent.clone(),
            version: Some(version.clone()),
            hop: None,
            at: Some(self.now()),
            did: Some(format!("{agent}@{version} was passed by")),
            decided: Some(format!("{} stands in", other.route.agent)),
            why: Some(format!("{}: {open}", open.code())),
            refs: Vec::new(),
            extra: baton_envelope::Extra::new(),
        }
    }

    /// The first alternative of a policy that has not had the work, takes it, and whose own breaker is closed.
    ///
    /// # Errors
    /// When the routes cannot be read.
    pub async fn stand_in(
        &self,
        stands_in: &StandsIn,
        policy: Option<&Policy>,
        asked: &Asked<'_>,
    ) -> Result<Option<Placed>, Error> {
        for agent in stands_in.left(policy) {
            match self.choose(agent, asked).await {
                Ok((choice, route)) if !route.is_withheld(&choice.version) => {
                    return Ok(Some(Placed {
                        choice,
                        route,
                        stands_in: Some(stands_in.clone()),
                        passed_by: None,
                    }));
                }
                Ok(_) => tracing::debug!(%agent, "its breaker is open: it does not stand in"),
                Err(error @ (Error::UnknownAgent { .. } | Error::Unroutable(_))) => {
                    tracing::debug!(%error, %agent, "it does not stand in");
                }
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }

    /// The last route of an agent that this process has followed, current or not; asks nobody.
    pub fn followed_route(&self, agent: &AgentName) -> Option<Arc<Route>> {
        self.routes().last_known(agent)
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
