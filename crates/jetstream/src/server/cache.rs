//! What a connection remembers of the mesh: the routes while they are followed, and the last load report.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, RwLock};

use baton_envelope::control::LoadReport;
use baton_envelope::{AgentName, Route};
use tokio::time::Instant;

/// The routes as this process last saw them. A stale entry is harmless: the ledger records the version that was used.
#[derive(Debug, Clone, Default)]
pub(crate) struct RouteTable {
    pub(crate) routes: Arc<RwLock<HashMap<AgentName, Arc<Route>>>>,
    /// How many follow the bucket. With none the table would age unseen, and the bucket is read instead.
    pub(crate) followers: Arc<AtomicUsize>,
}

impl RouteTable {
    pub(crate) fn get(&self, agent: &AgentName) -> Option<Arc<Route>> {
        if !self.is_followed() {
            return None;
        }
        self.routes.read().ok()?.get(agent).cloned()
    }

    pub(crate) fn is_followed(&self) -> bool {
        self.followers.load(Ordering::Acquire) > 0
    }

    pub(crate) fn put(&self, route: Route) {
        if let Ok(mut routes) = self.routes.write() {
            routes.insert(route.agent.clone(), Arc::new(route));
        }
    }

    pub(crate) fn remove(&self, agent: &AgentName) {
        if let Ok(mut routes) = self.routes.write() {
            routes.remove(agent);
        }
    }
}

/// The last report that this process heard, and when.
#[derive(Debug, Default)]
pub(crate) struct LoadBoard {
    pub(crate) last: RwLock<Option<(Arc<LoadReport>, Instant)>>,
}
