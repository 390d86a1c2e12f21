//! One controller process: prepares the mesh, runs the duties, stops in order.
//!
//! Policy on errors: a duty logs, waits with backoff and goes on; only a duty that ends by itself (a panic) ends the
//! controller.

use std::time::Duration;

use baton_envelope::{Author, Role};
use baton_jetstream::{Lease, Mesh, RouteFollower};
use tokio::task::JoinError;
use tokio::time::Instant;

use crate::api::Api;
use crate::backoff::Backoff;
use crate::config::ControllerConfig;
use crate::context::{Context, Stops};
use crate::error::Error;
use crate::intake::router::Router;
use crate::projection::Projection;
use crate::registry::Registry;
use crate::rounds::archive::Archiving;
use crate::rounds::leader::Leader;
use crate::rounds::sweep::Sweeping;
use crate::workers::Workers;

/// How long a mesh that cannot be prepared is tried before the controller gives up: longer than an election, short
/// enough that a wrong setting is seen.
const START_PATIENCE: Duration = Duration::from_secs(60);
/// How long workers may take to answer a controller that starts.
const ROLL_CALL: Duration = Duration::from_millis(500);
/// How long the last acks may take to leave this process.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(2);

/// One controller of a mesh. Any number may run at once.
#[derive(Debug)]
pub struct Controller {
    mesh: Mesh,
    config: ControllerConfig,
}

impl Controller {
    /// A controller that has not started yet.
    pub fn new(mesh: Mesh, config: ControllerConfig) -> Self {
        Self { mesh, config }
    }

    /// Runs until `shutdown` is done; then takes nothing new, finishes what is in flight, and flushes.
    ///
    /// # Errors
    /// When the mesh cannot be prepared for a minute, or when a duty ends by itself.
    pub async fn run_until(self, shutdown: impl Future<Output = ()>) -> Result<(), Error> {
        let Self { mesh, config } = self;
        tokio::pin!(shutdown);
        let _following = tokio::select! {
            () = &mut shutdown => return Ok(()),
            prepared = prepare(&mesh, &config) => prepared?,
        };
        let by = Author::of(Role::Controller, config.instance.clone());
        let stops = Stops::default();
        let tracker = &stops.tracker;
        let projection = Projection::open(&mesh, config.projection.clone()).await?;
        let workers = Workers::default();
        // A question that comes before the first heartbeats is to find the workers known.
        match mesh.find_workers(ROLL_CALL).await {
            Ok(found) => found.iter().for_each(|worker| workers.found(worker)),
            Err(error) => tracing::debug!(%error, "workers cannot be called"),
        }
        let cx = Context::new(&mesh, projection.clone(), workers.clone(), by.clone(), &config);
        let leadership = Lease::keep(mesh.clone(), config.instance.clone(), stops.stop.clone());
        let archiving = Archiving::new(&mesh, projection.clone(), &config.archive, leadership.clone(), &stops);
        let mut archiving = tracker.spawn(archiving.run());
        let (index, for_routing) = (projection.clone(), projection.clone());
        let mut following = tracker.spawn(projection.run(stops.stop.clone()));
        let mut leader = tracker.spawn(Leader::new(cx.clone(), leadership.clone(), &stops).run());
        let mut api = tracker.spawn(Api::new(cx, &stops).run());
        let mut router = tracker.spawn(Router::new(&mesh, &config, by.clone(), for_routing, &stops).run());
        let mut registry = tracker.spawn(Registry::new(&mesh, &config, workers, &stops).run());
        let mut sweeping = tracker.spawn(Sweeping::new(&mesh, &config, by, leadership, index, &stops).run());
        tracing::info!(instance = %config.instance, namespace = %mesh.subjects().namespace(), "controller started");

        let ended = tokio::select! {
            () = &mut shutdown => Ok(()),
            end = &mut router => unexpected("router", end),
            end = &mut registry => unexpected("registry", end),
            end = &mut archiving => unexpected("archive", end),
            end = &mut sweeping => unexpected("sweeper", end),
            end = &mut following => unexpected("projection", end),
            end = &mut leader => unexpected("leader", end),
            end = &mut api => unexpected("api", end),
        };

        stops.stop.cancel();
        tracker.close();
        if tokio::time::timeout(config.drain_timeout, tracker.wait())
            .await
            .is_err()
        {
            // Safe: whatever is cut off here is redelivered, and an id in the ledger makes the repeat the same intent.
            tracing::warn!(
                left = tracker.len(),
                "not everything was finished in time; it will be redelivered"
            );
            stops.kill.cancel();
            tracker.wait().await;
        }
        match tokio::time::timeout(FLUSH_TIMEOUT, mesh.flush()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "the last acks may not have left"),
            Err(_) => tracing::warn!("no server takes the last acks; their messages will be redelivered"),
        }
        tracing::info!(instance = %config.instance, "controller stopped");
        ended
    }
}

/// Makes what every mesh has, and follows the routes.
async fn prepare(mesh: &Mesh, config: &ControllerConfig) -> Result<RouteFollower, Error> {
    let started = Instant::now();
    let mut backoff = Backoff::for_server();
    loop {
        let made = async {
            mesh.ensure_topology(config.limits).await?;
            mesh.follow_routes().await
        };
        match made.await {
            Ok(following) => return Ok(following),
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

fn unexpected(duty: &'static str, end: Result<(), JoinError>) -> Result<(), Error> {
    Err(Error::DutyEnded {
        duty,
        source: end.err(),
    })
}
