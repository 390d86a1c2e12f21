//! Which version of an agent takes new work: a local table that follows the routes bucket.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use async_nats::jetstream::kv::Operation;
use baton_envelope::{AgentName, Asked, Choice, Route, choose};
use futures::StreamExt as _;

use crate::error::Error;
use crate::server::{Mesh, RouteTable};

/// Keeps the local table of routes in step with the bucket, for as long as it lives.
#[derive(Debug)]
pub struct RouteFollower {
    task: tokio::task::JoinHandle<((), ())>,
    table: RouteTable,
}

impl Drop for RouteFollower {
    fn drop(&mut self) {
        self.task.abort();
        if self.table.followers.fetch_sub(1, Ordering::AcqRel) == 1
            && let Ok(mut routes) = self.table.routes.write()
        {
            routes.clear();
        }
    }
}

impl Mesh {
    /// The route of an agent: from the local table, else from the bucket.
    ///
    /// # Errors
    /// `UnknownAgent` with the agents that are known, when there is no route.
    pub async fn route_of(&self, agent: &AgentName) -> Result<Arc<Route>, Error> {
        match self.routes().get(agent) {
            Some(route) => Ok(route),
            // Apart: it would be part of the state of every hop and every submit, and most of it.
            None => Box::pin(self.route_in_bucket(agent)).await,
        }
    }

    async fn route_in_bucket(&self, agent: &AgentName) -> Result<Arc<Route>, Error> {
        if let Some((route, _)) = self.route(agent).await? {
            return Ok(Arc::new(route));
        }
        let known = self
            .all_routes()
            .await?
            .into_iter()
            .map(|route| route.agent.to_string())
            .collect();
        Err(Error::UnknownAgent {
            agent: agent.to_string(),
            known,
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

    /// The route of an agent and its revision, from the bucket.
    ///
    /// # Errors
    /// When the bucket is missing or cannot be read.
    pub async fn route(&self, agent: &AgentName) -> Result<Option<(Route, u64)>, Error> {
        let store = self.bucket(self.subjects().routes_bucket()).await?;
        let entry = store
            .entry(agent.as_str())
            .await
            .map_err(|error| Error::api("reading a route", error))?;
        let Some(entry) = entry.filter(|entry| entry.operation == Operation::Put) else {
            return Ok(None);
        };
        let route = serde_json::from_slice(&entry.value).map_err(|error| Error::api("reading a route", error))?;
        Ok(Some((route, entry.revision)))
    }

    /// All routes, by agent: from the local table where it is followed, else from the bucket.
    ///
    /// # Errors
    /// When the bucket is missing or cannot be read.
    pub async fn known_routes(&self) -> Result<Vec<Arc<Route>>, Error> {
        if self.routes().is_followed()
            && let Ok(routes) = self.routes().routes.read()
            && !routes.is_empty()
        {
            let mut known: Vec<Arc<Route>> = routes.values().cloned().collect();
            known.sort_by(|a, b| a.agent.cmp(&b.agent));
            return Ok(known);
        }
        let routes = Box::pin(self.all_routes()).await?;
        Ok(routes.into_iter().map(Arc::new).collect())
    }

    /// All routes, by agent, from the bucket.
    ///
    /// # Errors
    /// When the bucket is missing or cannot be read.
    pub async fn all_routes(&self) -> Result<Vec<Route>, Error> {
        let store = self.bucket(self.subjects().routes_bucket()).await?;
        let mut routes = Vec::new();
        for value in self.bucket_values(&store).await? {
            routes.push(serde_json::from_slice::<Route>(&value).map_err(|error| Error::api("reading a route", error))?);
        }
        routes.sort_by(|a, b| a.agent.cmp(&b.agent));
        Ok(routes)
    }

    /// Follows the routes bucket for as long as the returned value lives.
    ///
    /// # Errors
    /// When the bucket is missing.
    pub async fn follow_routes(&self) -> Result<RouteFollower, Error> {
        let store = self.bucket(self.subjects().routes_bucket()).await?;
        let mesh = self.clone();
        let follow = async move {
            loop {
                match store.watch_with_history(">").await {
                    Ok(mut watch) => {
                        while let Some(entry) = watch.next().await {
                            let Ok(entry) = entry else { break };
                            mesh.learn_route(&entry.key, entry.operation, &entry.value);
                        }
                    }
                    Err(error) => tracing::debug!(%error, "routes cannot be watched yet"),
                }
                tokio::time::sleep(std::time::Duration::from_millis(500)).await;
            }
        };
        let listener = self.clone();
        let task = tokio::spawn(async move { tokio::join!(follow, listener.follow_load()) });
        let table = self.routes().clone();
        table.followers.fetch_add(1, Ordering::AcqRel);
        Ok(RouteFollower { task, table })
    }

    fn learn_route(&self, key: &str, operation: Operation, value: &[u8]) {
        match (operation, serde_json::from_slice::<Route>(value), key.parse()) {
            (Operation::Put, Ok(route), _) => self.routes().put(route),
            (Operation::Delete | Operation::Purge, _, Ok(agent)) => self.routes().remove(&agent),
            (_, _, _) => tracing::warn!(key, "a route cannot be read"),
        }
    }
}
