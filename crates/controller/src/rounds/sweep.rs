//! The sweeping duty: finds lost tickets and passed deadlines, again and again.
//!
//! Only the leading controller sweeps; a sweep may be repeated, so nothing happens should two believe that they lead.

use std::time::Duration;

use baton_jetstream::{SweepReport, Sweeper};

use crate::backoff::{fraction, spread};
use crate::context::Context;
use crate::duty::Duty;
use crate::rounds::archive::Closings;

#[derive(Debug)]
pub(crate) struct Sweeping;

impl Duty for Sweeping {
    const NAME: &'static str = "sweep";

    async fn run(self, cx: Context) {
        let sweeper = Sweeper::new(&cx.mesh, cx.by.clone(), cx.config.sweep_slack);
        let (archive, interval) = (Closings(cx.clone()), cx.config.sweep_interval);
        let mut wait = interval.mul_f64(fraction(&cx.mesh));
        loop {
            // A sweep that is cut off here is made good by the next one.
            let round = async {
                tokio::time::sleep(wait).await;
                match cx.leadership.is_leading() {
                    true => sweeper.sweep(&archive).await,
                    false => Ok(SweepReport::default()),
                }
            };
            match Box::pin(cx.stops.stop.run_until_cancelled(round)).await {
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
            wait = spread(&cx.mesh, interval).max(Duration::from_millis(10));
        }
    }
}
