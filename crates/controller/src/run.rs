//! One controller process: prepares the mesh, runs the duties, stops in order.
//!
//! Policy on errors: a duty logs, waits with backoff and goes on. Only a duty that ends on its own (a panic) ends the
//! controller.

use std::time::Duration;

use baton_jetstream::{ControllerMesh, Error as MeshError, Mesh, RouteFollower};
use tokio::time::Instant;

use crate::api::Api;
use crate::backoff::Backoff;
use crate::config::ControllerConfig;
use crate::context::{Context, Stops};
use crate::duty::{Answers, ArchiveIndex, FollowLedger, FollowSpaces, KeepLease, Task, Upkeep, duty};
use crate::error::Error;
use crate::intake::asks::AnswerAsks;
use crate::intake::router::{Decisions, Router, Signals};
use crate::projection::Projection;
use crate::registry::Registry;
use crate::rounds::{self, Leader};
use crate::stats::Stats;
use crate::workers::Workers;

/// How long to try to prepare the mesh before the controller gives up: longer than an election, short enough to notice
/// a wrong setting.
const START_PATIENCE: Duration = Duration::from_secs(60);
/// How long a ledger must be missing before a starting controller believes it.
const LOST_FOR: Duration = Duration::from_secs(3);
/// How long workers may take to answer a starting controller.
const ROLL_CALL: Duration = Duration::from_millis(500);
/// How long the last acks may take to leave this process.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(2);

/// What a controller does, each duty in its own task. Every controller does all of it; the rounds wait until this
/// controller leads.
fn duties(cx: &Context) -> Vec<Task> {
    vec![
        duty(KeepLease, cx),
        duty(Upkeep::default(), cx),
        duty(FollowLedger, cx),
        duty(ArchiveIndex, cx),
        duty(FollowSpaces, cx),
        duty(Registry, cx),
        duty(Router, cx),
        duty(Signals, cx),
        duty(Decisions, cx),
        duty(Api, cx),
        duty(Answers, cx),
        duty(AnswerAsks, cx),
        duty(Leader::new(rounds::all), cx),
    ]
}

/// One controller of a mesh. Any number may run at once.
#[derive(Debug)]
pub struct Controller {
    mesh: ControllerMesh,
    config: ControllerConfig,
    stats: Stats,
}

impl Controller {
    /// Makes a controller that has not started yet.
    pub fn new(mesh: Mesh, config: ControllerConfig) -> Self {
        let stats = Stats::default();
        let mesh = mesh.into();
        Self { mesh, config, stats }
    }

    /// How its rounds go, during and after its run.
    pub fn stats(&self) -> Stats {
        self.stats.clone()
    }

    /// Runs until `shutdown` completes, then takes nothing new, finishes what is in flight, and flushes.
    ///
    /// # Errors
    /// When the mesh cannot be prepared for a minute, the projection cannot be opened, a duty ends on its own, or the mesh
    /// requires signatures that this process cannot make.
    pub async fn run_until(self, shutdown: impl Future<Output = ()>) -> Result<(), Error> {
        let Self { mesh, config, stats } = self;
        tokio::pin!(shutdown);
        let (_following, account) = tokio::select! {
            () = &mut shutdown => return Ok(()),
            prepared = prepare(&mesh, &config) => prepared?,
        };
        let projection = Projection::open(&mesh, config.projection.clone()).await?;
        let workers = Workers::default();
        // A question that comes before the first heartbeats should find the workers known.
        workers.call(&mesh, ROLL_CALL).await;
        let cx = Context::new(&mesh, config, account, projection, workers, stats);
        cx.mesh.writes_as(&cx.by);
        let (names, tasks): (Vec<_>, Vec<_>) = duties(&cx)
            .into_iter()
            .map(|task| (task.name, cx.stops.tracker.spawn(task.work)))
            .unzip();
        let cannot_sign = mesh.until_it_cannot_sign();
        tracing::info!(instance = %cx.config.instance, namespace = %mesh.subjects().namespace(), "controller started");
        let ended = tokio::select! {
            () = &mut shutdown => Ok(()),
            error = cannot_sign => Err(Error::Unfit(error)),
            (end, first, _) = futures::future::select_all(tasks) => Err(Error::DutyEnded {
                duty: names.get(first).copied().unwrap_or_default(),
                source: end.err(),
            }),
        };
        finish(&cx).await;
        tracing::info!(instance = %cx.config.instance, "controller stopped");
        ended
    }
}

/// Stops the duties in order: takes nothing new, and gives work in flight its time.
async fn finish(cx: &Context) {
    let Stops { stop, kill, tracker } = &cx.stops;
    stop.cancel();
    tracker.close();
    if tokio::time::timeout(cx.config.drain_timeout, tracker.wait())
        .await
        .is_err()
    {
        // Safe: whatever is cut off is redelivered, and its id in the ledger makes the repeat the same intent.
        tracing::warn!(
            left = tracker.len(),
            "not everything finished in time; the rest will be redelivered"
        );
        kill.cancel();
        tracker.wait().await;
    }
    match tokio::time::timeout(FLUSH_TIMEOUT, cx.mesh.flush()).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::warn!(%error, "the last acks may not have been sent"),
        Err(_) => tracing::warn!("no server takes the last acks; their messages will be redelivered"),
    }
}

/// Creates the streams and buckets of the mesh, and follows the routes. In a secured mesh it also finds out the mesh's account.
async fn prepare(mesh: &ControllerMesh, config: &ControllerConfig) -> Result<(RouteFollower, Option<String>), Error> {
    let limits = config.limits();
    let started = Instant::now();
    let mut backoff = Backoff::for_server();
    loop {
        let made = async {
            // Before anything is made: what this is has to fit what is there.
            let account = mesh.secure(config.secured).await?;
            mesh.ensure_topology(limits).await?;
            mesh.agree(limits, |_| "the configuration of this controller".to_owned())
                .await?;
            mesh.note_server().await?;
            let following = mesh.follow_routes().await?;
            // From now on it listens to the load, which any question may need.
            drop(mesh.load());
            Ok::<_, MeshError>((following, account))
        };
        match made.await {
            Ok(ready) => return Ok(ready),
            // Waiting mends none of them.
            Err(
                unfit @ (MeshError::SettingDiffers(_)
                | MeshError::TopologyTooNew { .. }
                | MeshError::Unsecured { .. }
                | MeshError::TooOldToSecure { .. }),
            ) => return Err(Error::Unfit(unfit)),
            // A server that has just started may still be reading its streams.
            Err(lost @ MeshError::LedgerLost { .. }) if started.elapsed() > LOST_FOR => return Err(Error::Unfit(lost)),
            Err(source) if started.elapsed() > START_PATIENCE => {
                return Err(Error::Prepare {
                    patience: START_PATIENCE,
                    source,
                });
            }
            Err(error) => tracing::warn!(%error, "the mesh is not ready, trying again"),
        }
        backoff.wait(mesh).await;
    }
}
