//! The sweeping duty: finds lost tickets and passed deadlines, again and again.
//!
//! Only the leading controller sweeps; a sweep may be repeated, so nothing happens should two believe that they lead.

use std::time::Duration;

use baton_envelope::Author;
use baton_jetstream::{Leadership, Mesh, SweepReport, Sweeper};

use crate::backoff::{fraction, spread};
use crate::config::ControllerConfig;
use crate::context::Stops;
use crate::projection::Projection;
use crate::rounds::archive::ArchiveIndex;

#[derive(Debug)]
pub(crate) struct Sweeping {
    mesh: Mesh,
    sweeper: Sweeper,
    archive: ArchiveIndex,
    interval: Duration,
    leadership: Leadership,
    stops: Stops,
}

impl Sweeping {
    pub(crate) fn new(
        mesh: &Mesh,
        config: &ControllerConfig,
        by: Author,
        leadership: Leadership,
        projection: Projection,
        stops: &Stops,
    ) -> Self {
        Self {
            mesh: mesh.clone(),
            sweeper: Sweeper::new(mesh, by, config.sweep_slack),
            archive: ArchiveIndex {
                mesh: mesh.clone(),
                projection,
                config: config.archive.clone(),
            },
            interval: config.sweep_interval,
            leadership,
            stops: stops.clone(),
        }
    }

    pub(crate) async fn run(self) {
        let mut wait = self.interval.mul_f64(fraction(&self.mesh));
        loop {
            // A sweep that is cut off here is made good by the next one.
            let round = async {
                tokio::time::sleep(wait).await;
                match self.leadership.is_leading() {
                    true => self.sweeper.sweep(&self.archive).await,
                    false => Ok(SweepReport::default()),
                }
            };
            match Box::pin(self.stops.stop.run_until_cancelled(round)).await {
                None => return,
                Some(Ok(SweepReport {
                    open,
                    reissued,
                    timed_out,
                    failed,
                    returned,
                })) if reissued + timed_out + failed + returned > 0 => {
                    tracing::info!(open, reissued, timed_out, failed, returned, "swept");
                }
                Some(Ok(SweepReport { open, .. })) => tracing::debug!(open, "swept, nothing to do"),
                Some(Err(error)) => tracing::warn!(%error, "the sweep failed, the next one makes it good"),
            }
            // Never a busy loop, whatever is configured.
            wait = spread(&self.mesh, self.interval).max(Duration::from_millis(10));
        }
    }
}
