//! Keeping a [`Lease`] in a task of its own, and asking it from others.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use super::lease::Lease;
use crate::server::ControllerMesh;

/// How often the lease is renewed or looked at.
const TICK: Duration = Duration::from_secs(1);

/// Whether this process leads; cheap to clone and to ask.
#[derive(Debug, Clone)]
pub struct Leadership {
    /// Until when this process leads should nothing more be heard. A time, and no flag: should the task that keeps the
    /// lease be stuck, this runs out all the same.
    until: watch::Receiver<Option<Instant>>,
    told: bool,
}

impl Lease {
    /// Claims the lease in a task, again and again, until `stop` is cancelled; then it is given up. On error the task
    /// goes on: not to lead for a while is no failure.
    pub fn keep(mesh: ControllerMesh, instance: impl Into<String>, stop: CancellationToken) -> Leadership {
        let mut lease = Self::new(mesh, instance);
        let (tell, until) = watch::channel(None);
        tokio::spawn(async move {
            let mut ticks = tokio::time::interval(TICK);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                tokio::select! {
                    biased;
                    () = stop.cancelled() => break,
                    _ = ticks.tick() => {}
                }
                // Not cut short by `stop`: a write that is under way would leave a lease that nobody knows of.
                lease.tick().await;
                tell.send_if_modified(|until| {
                    let is_new = *until != lease.leads_until();
                    *until = lease.leads_until();
                    is_new
                });
            }
            // First this process stops to believe in it, then others may.
            tell.send_replace(None);
            lease.release().await;
        });
        Leadership { until, told: false }
    }
}

impl Leadership {
    /// Whether this process leads at this moment.
    pub fn is_leading(&self) -> bool {
        self.until.borrow().is_some_and(|until| Instant::now() < until)
    }

    /// Waits until [`Leadership::is_leading`] is another than this told last (at first: no), and tells it. It waits for
    /// ever when the lease is not kept any more and that was told.
    pub async fn changed(&mut self) -> bool {
        loop {
            let is_leading = self.is_leading();
            if is_leading != self.told {
                self.told = is_leading;
                return is_leading;
            }
            let until = self.until.borrow_and_update().filter(|_| is_leading);
            let runs_out = async {
                match until {
                    Some(until) => tokio::time::sleep_until(until).await,
                    None => std::future::pending().await,
                }
            };
            let is_told = async {
                if self.until.changed().await.is_err() {
                    std::future::pending::<()>().await;
                }
            };
            tokio::select! {
                () = is_told => {}
                () = runs_out => {}
            }
        }
    }

    /// Waits until the lease was given up after `stop`: an orderly process ends after that.
    pub async fn over(&mut self) {
        while self.until.changed().await.is_ok() {}
    }
}
