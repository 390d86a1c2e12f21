//! What a worker needs before it can pull: the streams of the mesh, its own stream and consumers, the routes.
//!
//! Where it may, a worker makes what is missing. Where only controllers may, they do so when they hear its heartbeat: then it
//! declares itself and waits.

use std::time::Duration;

use baton_envelope::{Bands, Declaration};
use baton_jetstream::{Error, Limits, Puller, RouteFollower, WorkerMesh};
use tokio::time::Instant;

/// How often a worker sends a heartbeat.
pub(crate) const HEARTBEAT: Duration = Duration::from_secs(5);
/// How often it sends the first heartbeats, and how many: a controller that starts at the same moment may miss the
/// first.
pub(crate) const FIRST_HEARTBEATS: (Duration, u32) = (Duration::from_millis(500), 10);
/// The shortest and the longest pause between two looks whether all is there. A running controller needs some milliseconds.
const FIRST_LOOK: Duration = Duration::from_millis(50);
const LAST_LOOK: Duration = Duration::from_secs(1);
/// How long a starting worker waits for answers, as a starting controller does.
const START_PATIENCE: Duration = Duration::from_secs(60);
/// How often to say what is still missing.
const SAY_AGAIN: Duration = Duration::from_secs(30);

/// Follows the routes and opens the consumers of a version, as soon as they are there.
pub(crate) async fn prepare(
    mesh: &WorkerMesh,
    declaration: &Declaration,
    bands: Bands,
) -> Result<(RouteFollower, Puller), Error> {
    let mut waiting: Option<Waiting> = None;
    let started = Instant::now();
    loop {
        match try_to(mesh, declaration, bands).await {
            Ok(ready) => {
                if let Some(waiting) = waiting {
                    let waited = waiting.since.elapsed();
                    tracing::info!(?waited, "what was missing is there");
                }
                return Ok(ready);
            }
            Err(missing @ Error::Unmade { .. }) => {
                let waiting = waiting.get_or_insert_with(Waiting::new);
                waiting.say(&missing);
                waiting.step(mesh, declaration).await?;
            }
            // A cluster that elects a leader answers in a few seconds.
            Err(error @ Error::NoAnswer { .. }) if started.elapsed() < START_PATIENCE => {
                tracing::warn!(%error, "the mesh is not ready, trying again");
                tokio::time::sleep(LAST_LOOK).await;
            }
            Err(error) => return Err(error),
        }
    }
}

async fn try_to(mesh: &WorkerMesh, declaration: &Declaration, bands: Bands) -> Result<(RouteFollower, Puller), Error> {
    let own = Limits { bands, ..mesh.limits() };
    mesh.ensure_topology_of_workers(own).await?;
    mesh.agree(own, |_| "the configuration of this worker".to_owned())
        .await?;
    let routes = mesh.follow_routes().await?;
    let Declaration {
        agent,
        version,
        concurrency,
        ..
    } = declaration;
    let puller = Puller::open(mesh, agent, version, bands, *concurrency).await?;
    Ok((routes, puller))
}

/// A worker that waits for a controller.
struct Waiting {
    since: Instant,
    beats: u32,
    next_beat: Instant,
    look: Duration,
    next_word: Instant,
}

impl Waiting {
    fn new() -> Self {
        let now = Instant::now();
        Self {
            since: now,
            beats: 0,
            next_beat: now,
            look: FIRST_LOOK,
            next_word: now,
        }
    }

    fn say(&mut self, missing: &Error) {
        if Instant::now() >= self.next_word {
            self.next_word = Instant::now() + SAY_AGAIN;
            tracing::warn!("waiting for a controller: {missing}");
        }
    }

    /// Sends a heartbeat if one is due, and waits until it is time to look again.
    async fn step(&mut self, mesh: &WorkerMesh, declaration: &Declaration) -> Result<(), Error> {
        if Instant::now() >= self.next_beat {
            let at = mesh.now();
            mesh.beat(&Declaration {
                at,
                ..declaration.clone()
            })
            .await?;
            let (often, first) = FIRST_HEARTBEATS;
            self.beats += 1;
            self.next_beat = Instant::now() + if self.beats < first { often } else { HEARTBEAT };
        }
        tokio::time::sleep(self.look).await;
        self.look = (self.look * 2).min(LAST_LOOK);
        Ok(())
    }
}
