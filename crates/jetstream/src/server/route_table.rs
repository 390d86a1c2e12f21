//! The routes as this process knows them: a revision for each agent, up to where the bucket was read, and since when that is
//! known to be all. It does no input or output: `routes/` feeds it.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use baton_envelope::{AgentName, AgentVersion, Route, Timestamp};
use tokio::sync::{Mutex, Notify, watch};
use tokio::time::Instant;

/// A route that is older than this is not used before the server has said that it is still the present one.
pub(crate) const BOUND: Duration = Duration::from_secs(5);

/// A moment on two clocks. The monotonic clock stands still while a machine is suspended, and somebody may set the other.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Moment {
    pub(crate) at: Instant,
    pub(crate) wall: Timestamp,
}

impl Moment {
    /// How long ago an earlier moment was, by the clock that says more.
    fn since(self, earlier: Self) -> Duration {
        let steady = self.at.saturating_duration_since(earlier.at);
        steady.max(self.wall.since(earlier.wall))
    }
}

/// The last message of the bucket that the table contains. The time tells a bucket from one that was deleted and made again.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct RouteMark {
    /// Its sequence in the stream; 0 for a bucket without messages.
    pub(crate) seq: u64,
    /// When it was stored, as the server writes it.
    pub(crate) stored: String,
}

impl RouteMark {
    /// Whether the other may be of the same bucket: whatever has a higher sequence was not stored earlier.
    fn fits(&self, other: &Self) -> bool {
        let time = |mark: &Self| mark.stored.parse::<Timestamp>().ok();
        match self.seq.cmp(&other.seq) {
            std::cmp::Ordering::Equal => self.stored == other.stored,
            _ if self.seq == 0 => true,
            std::cmp::Ordering::Less => time(self) <= time(other),
            std::cmp::Ordering::Greater => time(self) >= time(other),
        }
    }
}

/// A message of the routes bucket.
#[derive(Debug)]
pub(crate) struct RouteChange {
    pub(crate) at: RouteMark,
    /// `None` when the key is no name of an agent.
    pub(crate) agent: Option<AgentName>,
    /// `None` when the route was removed, or cannot be read.
    pub(crate) route: Option<Route>,
}

/// How far the table may be trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Freshness {
    /// Use it.
    Fresh,
    /// Use it, and prove it meanwhile.
    Aging,
    /// Prove it first.
    Stale,
    /// The last proof failed: read the bucket instead.
    Unprovable,
}

/// What became of a message that the server sent on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Taken {
    /// The table contained it already.
    Known,
    /// It followed on the last one.
    Applied,
    /// Others between it and the mark are missing.
    Gap,
}

/// The local table of routes; cheap to clone.
#[derive(Debug, Clone, Default)]
pub(crate) struct RouteTable {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    state: RwLock<State>,
    /// How many follow the bucket. With none the table would age unseen, and the bucket is read instead.
    followers: AtomicUsize,
    copies: AtomicUsize,
    /// Held by whoever proves or reads the table anew: one proof serves all who wait for it.
    proving: Mutex<()>,
    /// Wakes the follower for a proof.
    wanted: Notify,
    /// The server does not send changes on: they have to be asked for.
    untold: AtomicBool,
    /// The sequence of the mark, for whoever waits for changes.
    moved: watch::Sender<u64>,
    /// The versions whose tickets are withheld, by the routes that a process has read which does not follow them.
    withheld: RwLock<HashSet<(AgentName, AgentVersion)>>,
}

#[derive(Debug, Default)]
struct State {
    routes: HashMap<AgentName, (u64, Arc<Route>)>,
    /// The agents whose route the bucket has no more. A removal is no decision: until somebody decides anew, work goes by
    /// the last route that was known.
    lost: HashSet<AgentName>,
    mark: RouteMark,
    is_loaded: bool,
    proven: Option<Moment>,
    failures: u32,
}

impl State {
    fn apply(&mut self, change: RouteChange) {
        if let Some(agent) = change.agent {
            let known = self.routes.get(&agent).map_or(0, |(revision, _)| *revision);
            match change.route {
                // Its own decisions a process puts into the table before the server sends them on.
                _ if known >= change.at.seq => {}
                Some(route) => {
                    self.lost.remove(&agent);
                    self.routes.insert(agent, (change.at.seq, Arc::new(route)));
                }
                None => drop(self.lost.insert(agent)),
            }
        }
        if change.at.seq > self.mark.seq {
            self.mark = change.at;
        }
    }
}

impl RouteTable {
    fn read(&self) -> RwLockReadGuard<'_, State> {
        self.shared.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, State> {
        self.shared.state.write().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn is_followed(&self) -> bool {
        self.shared.followers.load(Ordering::Acquire) > 0
    }

    /// One more follows the bucket, of which there are this many copies.
    pub(crate) fn follow(&self, copies: usize) {
        self.shared.copies.store(copies, Ordering::Release);
        self.shared.followers.fetch_add(1, Ordering::AcqRel);
    }

    /// Somebody has changed how many copies of the bucket there are.
    pub(crate) fn set_copies(&self, copies: usize) {
        self.shared.copies.store(copies, Ordering::Release);
    }

    /// How many copies of the bucket there are.
    pub(crate) fn copies(&self) -> usize {
        self.shared.copies.load(Ordering::Acquire)
    }

    /// The last follower takes the table with it.
    pub(crate) fn unfollow(&self) {
        if self.shared.followers.fetch_sub(1, Ordering::AcqRel) == 1 {
            *self.write() = State::default();
        }
    }

    /// The route of an agent and how far it may be trusted, in one look.
    pub(crate) fn get(&self, agent: &AgentName, now: Moment) -> (Option<Arc<Route>>, Freshness) {
        let state = self.read();
        let route = state.routes.get(agent).map(|(_, route)| Arc::clone(route));
        (route, freshness(&state, now))
    }

    pub(crate) fn freshness(&self, now: Moment) -> Freshness {
        freshness(&self.read(), now)
    }

    /// All routes, by agent.
    pub(crate) fn all(&self) -> Vec<Arc<Route>> {
        let mut all: Vec<Arc<Route>> = self
            .read()
            .routes
            .values()
            .map(|(_, route)| Arc::clone(route))
            .collect();
        all.sort_by(|a, b| a.agent.cmp(&b.agent));
        all
    }

    /// The agents whose route the bucket has no more.
    pub(crate) fn lost(&self) -> Vec<AgentName> {
        self.read().lost.iter().cloned().collect()
    }

    /// The last route of an agent that was known, for whoever has seen that the bucket has none.
    pub(crate) fn last_known(&self, agent: &AgentName) -> Option<Arc<Route>> {
        self.read().routes.get(agent).map(|(_, route)| Arc::clone(route))
    }

    /// Takes note of a route that was read and is not followed: whoever writes a ticket by it knows whether to.
    pub(crate) fn read_once(&self, route: &Route) {
        let mut known = self.shared.withheld.write().unwrap_or_else(PoisonError::into_inner);
        for version in route.versions.keys() {
            let key = (route.agent.clone(), version.clone());
            match route.is_withheld(version) {
                true => drop(known.insert(key)),
                false => drop(known.remove(&key)),
            }
        }
    }

    /// Whether no ticket of a version may be written, because its breaker is open.
    pub(crate) fn withholds(&self, agent: &AgentName, version: &AgentVersion) -> bool {
        if self.is_followed() {
            let state = self.read();
            return state
                .routes
                .get(agent)
                .is_some_and(|(_, route)| route.is_withheld(version));
        }
        let known = self.shared.withheld.read().unwrap_or_else(PoisonError::into_inner);
        !known.is_empty() && known.contains(&(agent.clone(), version.clone()))
    }

    /// A decision of this process, which the server has stored at `revision`.
    pub(crate) fn put(&self, route: Route, revision: u64) {
        if !self.is_followed() {
            return;
        }
        let mut state = self.write();
        let known = state.routes.get(&route.agent).map_or(0, |(revision, _)| *revision);
        if revision > known {
            state.lost.remove(&route.agent);
            state.routes.insert(route.agent.clone(), (revision, Arc::new(route)));
        }
    }

    pub(crate) fn mark(&self) -> RouteMark {
        self.read().mark.clone()
    }

    pub(crate) fn is_loaded(&self) -> bool {
        self.read().is_loaded
    }

    /// Takes a message that the server sent on. Only one that follows on the mark is applied: the stream has no gaps, so a
    /// higher sequence shows the loss of another agent's change. A time that does not fit the sequence shows another bucket.
    pub(crate) fn take(&self, change: RouteChange) -> Taken {
        let mut state = self.write();
        if !state.is_loaded {
            return Taken::Gap;
        }
        let fits = state.mark.fits(&change.at);
        if fits && change.at.seq <= state.mark.seq {
            return Taken::Known;
        }
        if fits && change.at.seq == state.mark.seq + 1 {
            state.apply(change);
            self.tell(&state);
            return Taken::Applied;
        }
        // Missing changes are unknown ones: nothing is routed before they have been read.
        state.proven = None;
        Taken::Gap
    }

    /// Takes what was read from behind the mark, in order, and tells how many of it were new.
    pub(crate) fn advance(&self, changes: impl IntoIterator<Item = RouteChange>) -> usize {
        let mut state = self.write();
        let mut new = 0;
        for change in changes {
            if change.at.seq > state.mark.seq {
                state.apply(change);
                new += 1;
            }
        }
        self.tell(&state);
        new
    }

    /// The bucket is another one, or lost what the table contains. What was known is kept as lost, until the bucket has
    /// another route.
    pub(crate) fn reset(&self) {
        let mut state = self.write();
        let known = std::mem::take(&mut *state);
        state.failures = known.failures;
        state.lost = known.lost;
        state.lost.extend(known.routes.keys().cloned());
        // The revisions of another bucket count from 1 again.
        state.routes = known
            .routes
            .into_iter()
            .map(|(agent, (_, route))| (agent, (0, route)))
            .collect();
    }

    /// Takes the whole bucket, as it was when `mark` was its last message; changes behind it may be contained.
    pub(crate) fn load(&self, changes: Vec<RouteChange>, mark: RouteMark) {
        let mut state = self.write();
        for change in changes {
            state.apply(change);
        }
        state.mark = mark;
        state.is_loaded = true;
        self.tell(&state);
    }

    fn tell(&self, state: &State) {
        let seq = state.mark.seq;
        self.shared
            .moved
            .send_if_modified(|known| std::mem::replace(known, seq) != seq);
    }

    /// The sequence of the mark, as it changes.
    pub(crate) fn moves(&self) -> watch::Receiver<u64> {
        self.shared.moved.subscribe()
    }

    /// All that the bucket had at this moment is in the table, `new` changes of it since the last time. Changes that a table
    /// lacked which was held for current are ones that the server did not send on.
    pub(crate) fn proved(&self, moment: Moment, new: usize) {
        let mut state = self.write();
        state.failures = 0;
        let was_current = state.proven.replace(moment).is_some();
        drop(state);
        if was_current && new > 0 && self.set_untold(true) {
            tracing::debug!(new, "routes were not sent on: is the bucket's republish rule there?");
        }
    }

    /// Changes may have passed unseen.
    pub(crate) fn doubt(&self) {
        let mut state = self.write();
        (state.proven, state.failures) = (None, 0);
    }

    /// A proof failed; tells how many have in a row.
    pub(crate) fn fail(&self) -> u32 {
        let mut state = self.write();
        state.failures = state.failures.saturating_add(1);
        state.failures
    }

    pub(crate) fn failures(&self) -> u32 {
        self.read().failures
    }

    pub(crate) fn proving(&self) -> &Mutex<()> {
        &self.shared.proving
    }

    pub(crate) fn wanted(&self) -> &Notify {
        &self.shared.wanted
    }

    pub(crate) fn is_untold(&self) -> bool {
        self.shared.untold.load(Ordering::Acquire)
    }

    /// Says whether changes have to be asked for; gives what was held before.
    pub(crate) fn set_untold(&self, is_untold: bool) -> bool {
        self.shared.untold.swap(is_untold, Ordering::AcqRel)
    }
}

fn freshness(state: &State, now: Moment) -> Freshness {
    match state.proven.map(|proven| now.since(proven)) {
        Some(age) if age < BOUND / 2 => Freshness::Fresh,
        Some(age) if age < BOUND => Freshness::Aging,
        _ if state.failures > 0 => Freshness::Unprovable,
        Some(_) | None => Freshness::Stale,
    }
}

#[cfg(test)]
mod tests;
