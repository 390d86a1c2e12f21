//! The registry: creates the stream, the consumers and the first route of every version that declares itself.
//!
//! All of it is idempotent, so every controller does it for all versions and repeats it from time to time: what was
//! deleted by mistake comes back.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use baton_envelope::rollout::{Act, declare};
use baton_envelope::{AgentName, AgentVersion, Declaration, Route, VersionEntry, VersionState};
use baton_jetstream::{Error, Heartbeats};
use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::alarm;
use crate::backoff::{Backoff, spread};
use crate::context::Context;
use crate::duty::Duty;

/// The shortest time between two refreshes of a stored declaration: each worker sends a heartbeat every 5 s, and the
/// bucket keeps a short history.
const REFRESH: Duration = Duration::from_secs(30);
/// How long a route that is lost is left to controllers that remember it.
const OTHERS_FIRST: Duration = Duration::from_secs(10);
/// How long to try one registration; after that the version's next heartbeat starts over.
const PATIENCE: Duration = Duration::from_secs(30);

/// How many versions of an agent may have consumers. Each has one for each band, a server allows a stream 1,000, and whoever
/// may send heartbeats of an agent may name any version. What is retired or forgotten does not count.
const MOST_VERSIONS: usize = 50;
/// How many versions are remembered: beyond that, those that were not heard of for a while are forgotten.
const REMEMBERED: usize = 10_000;

/// How often an alarm repeats that an agent has too many versions.
const TELL_EVERY: Duration = Duration::from_secs(3600);

type Key = (AgentName, AgentVersion);
/// One at a time of each agent's versions becomes known, or many at once would pass the bound together.
type Turns = HashMap<AgentName, Arc<Mutex<()>>>;

/// Registers every version that declares itself.
#[derive(Debug)]
pub(crate) struct Registry;

/// What this process knows of a version.
#[derive(Debug, Clone, Copy)]
struct Seen {
    /// Heartbeats before this time are ignored.
    due: Instant,
    registered: bool,
}

impl Duty for Registry {
    const NAME: &'static str = "registry";

    async fn run(self, cx: Context) {
        // If this cuts a registration off, the next heartbeat repeats it, here or at another controller.
        cx.until_stopped(Box::pin(listen(&cx))).await;
    }
}

async fn listen(cx: &Context) {
    let mut backoff = Backoff::for_server();
    let mut seen = HashMap::new();
    loop {
        match cx.mesh.heartbeats().await {
            // The subscription survives reconnects; it ends only when the connection is closed permanently.
            Ok(beats) => follow(cx, beats, &mut seen).await,
            Err(error) => tracing::warn!(%error, "cannot listen for heartbeats, trying again"),
        }
        backoff.wait(&cx.mesh).await;
    }
}

async fn follow(cx: &Context, mut beats: Heartbeats, seen: &mut HashMap<Key, Seen>) {
    // Registrations run beside the listening, so that a slow one delays no other version.
    let mut running = FuturesUnordered::new();
    let mut turns = Turns::new();
    let mut told: HashMap<AgentName, Instant> = HashMap::new();
    loop {
        tokio::select! {
            beat = beats.next() => {
                let Some(mut declaration) = beat else { return };
                // Whoever sends heartbeats is a worker.
                declaration.manual = false;
                cx.workers.heard(&declaration, cx.mesh.now());
                if declaration.stopping {
                    continue;
                }
                let key = (declaration.agent.clone(), declaration.version.clone());
                let known = seen.get(&key).copied();
                if known.is_some_and(|known| Instant::now() < known.due) {
                    continue;
                }
                // This also prevents a second registration of the same version while the first one runs.
                let due = Instant::now() + PATIENCE + spread(&cx.mesh, REFRESH);
                let registered = known.is_some_and(|known| known.registered);
                if seen.len() >= REMEMBERED {
                    seen.retain(|_, known| known.due + REFRESH > Instant::now());
                }
                seen.insert(key.clone(), Seen { due, registered });
                let turn = Arc::clone(turns.entry(key.0.clone()).or_default());
                running.push(async move { (key, registered, register(cx, &declaration, registered, &turn).await) });
            }
            Some((key, registered, outcome)) = running.next(), if !running.is_empty() => match outcome {
                Ok(()) => {
                    let due = Instant::now() + REFRESH;
                    seen.insert(key, Seen { due, registered: true });
                }
                Err(error) => {
                    let (agent, version) = &key;
                    tracing::warn!(%agent, %version, %error, "registration failed; a later heartbeat tries again");
                    let pause = if is_final(&error) {
                        if told.get(agent).is_none_or(|at| at.elapsed() >= TELL_EVERY) {
                            told.insert(agent.clone(), Instant::now());
                            let ways_out = vec![
                                format!("baton agents describe {agent}"),
                                format!("baton agents retire {agent} VERSION"),
                            ];
                            alarm::publish(&cx.mesh, error.code(), error.to_string(), ways_out).await;
                        }
                        REFRESH
                    } else {
                        Duration::ZERO
                    };
                    seen.insert(key, Seen { due: Instant::now() + pause, registered });
                }
            },
        }
    }
}

/// Whether another try would only cost requests.
fn is_final(error: &Error) -> bool {
    matches!(error, Error::TooManyVersions { .. })
}

/// Registers a version that a person declares, by the same steps as for a heartbeat.
pub(crate) async fn add(cx: &Context, declaration: &Declaration, by: &str) -> Result<(), Error> {
    register_once(cx, declaration, (true, by), OTHERS_FIRST, &Mutex::default()).await
}

async fn register(cx: &Context, declaration: &Declaration, registered: bool, turn: &Mutex<()>) -> Result<(), Error> {
    let started = Instant::now();
    let mut backoff = Backoff::for_server();
    let by = format!("controller {}", cx.by.instance);
    loop {
        match register_once(cx, declaration, (registered, &by), started.elapsed(), turn).await {
            Ok(()) => return Ok(()),
            Err(error) if started.elapsed() > PATIENCE || is_final(&error) => return Err(error),
            Err(error) => tracing::debug!(%error, agent = %declaration.agent, "trying to register again"),
        }
        backoff.wait(&cx.mesh).await;
        // A bucket may be missing: the server was wiped, or started after this controller.
        if let Err(error) = cx.mesh.ensure_topology(cx.config.limits()).await {
            tracing::debug!(%error, "the topology is not ready yet");
        }
    }
}

/// The consumers come before the route, so that no work is routed to where no consumer finds it.
async fn register_once(
    cx: &Context,
    declaration: &Declaration,
    (registered, by): (bool, &str),
    tried_for: Duration,
    turn: &Mutex<()>,
) -> Result<(), Error> {
    let Declaration { agent, version, .. } = declaration;
    let mut known = cx.mesh.last_route(agent).await?;
    let is_new = |route: Option<&Route>| route.is_none_or(|route| route.state(version).is_none());
    // Held to the end, by one new version of the agent at a time.
    let _turn = if is_new(known.as_ref()) {
        let turn = turn.lock().await;
        known = cx.mesh.last_route(agent).await?;
        Some(turn)
    } else {
        None
    };
    if let Some(route) = known.as_ref().filter(|route| is_new(Some(route))) {
        let is_kept = |entry: &&VersionEntry| entry.state != VersionState::Retired;
        if route.versions.values().filter(is_kept).count() >= MOST_VERSIONS {
            return Err(Error::TooManyVersions {
                agent: agent.to_string(),
                limit: MOST_VERSIONS,
            });
        }
    }
    if known.as_ref().and_then(|route| route.state(version)) == Some(VersionState::Retired) {
        // It has no consumers any more, and gets none.
        return cx.mesh.keep_declaration(declaration).await;
    }
    let lost = match known {
        Some(_) => None,
        None => lost_route(cx, agent, version).await?,
    };
    if let Some(lost) = &lost
        && (lost.route.is_none() || tried_for < OTHERS_FIRST)
    {
        return Err(lost.error(agent));
    }
    cx.mesh.ensure_agent(agent, version, cx.config.bands).await?;
    cx.mesh.keep_declaration(declaration).await?;
    let act = Act::new(by, cx.mesh.now());
    let rebuilt = lost.and_then(|lost| lost.route);
    let route = cx
        .mesh
        .change_route(agent, |route| {
            let before = route.or(rebuilt.as_ref());
            Ok(declare(before, declaration, &act).or_else(|| before.filter(|_| route.is_none()).cloned()))
        })
        .await?;
    if let (Some(_), Some((route, _))) = (&rebuilt, &route) {
        tracing::warn!(%agent, active = %route.active, "its route was lost and nobody remembers it: it is rebuilt from its consumers");
    }
    if let (false, Some((route, _))) = (registered, route) {
        tracing::info!(%agent, %version, active = %route.active, worker = %declaration.instance, "version declared");
    }
    Ok(())
}

/// A route that was there, and is not any more.
#[derive(Debug)]
struct LostRoute {
    /// The versions that are not paused.
    running: Vec<AgentVersion>,
    /// What the consumers tell of it, where they tell enough.
    route: Option<Route>,
}

impl LostRoute {
    fn error(&self, agent: &AgentName) -> Error {
        Error::RouteLost {
            agent: agent.to_string(),
            versions: self.running.iter().map(ToString::to_string).collect(),
        }
    }
}

/// Whether the agent had a route that the bucket and this process do not have: then a heartbeat must not make its version
/// the active one. The server keeps the consumers of a paused version paused. So where one version alone is running, that one
/// took the work.
async fn lost_route(cx: &Context, agent: &AgentName, version: &AgentVersion) -> Result<Option<LostRoute>, Error> {
    if cx.mesh.tickets_ever(agent).await? == 0 {
        return Ok(None);
    }
    let counts = cx.mesh.agent_counts(agent).await?;
    let (paused, running): (Vec<_>, Vec<_>) = counts.into_iter().partition(|(_, counts)| counts.paused);
    let paused: Vec<AgentVersion> = paused.into_iter().map(|(version, _)| version).collect();
    let running: Vec<AgentVersion> = running.into_iter().map(|(version, _)| version).collect();
    if paused.is_empty() && running.iter().all(|running| running == version) {
        return Ok(None);
    }
    let route = match &running[..] {
        [active] => {
            let by = format!("controller {}", cx.by.instance);
            let mut route = Route::first(agent.clone(), active.clone(), cx.mesh.now(), by);
            for version in paused {
                let entry = VersionEntry {
                    state: VersionState::Quarantined,
                    since: Some(cx.mesh.now()),
                    reason: Some("its route was lost, and its consumers were paused".to_owned()),
                    ..VersionEntry::default()
                };
                route.versions.insert(version, entry);
            }
            Some(route)
        }
        _ => None,
    };
    Ok(Some(LostRoute { running, route }))
}
