//! Keeping a [`Lease`] in a task of its own, and reading its state from others.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use super::lease::Lease;
use crate::server::ControllerMesh;

/// How often to renew or read the lease.
const TICK: Duration = Duration::from_secs(1);

/// Whether this process leads; cheap to clone and to read.
#[derive(Debug, Clone)]
pub struct Leadership {
    /// Until when this process leads if it hears nothing more. A time, not a flag: it runs out even if the task that
    /// keeps the lease is stuck.
    until: watch::Receiver<Option<Instant>>,
    /// When a leader was last known to be there.
    led: watch::Receiver<Instant>,
    told: bool,
}

impl Lease {
    /// Claims the lease in a task, repeatedly, until `stop` is cancelled; then releases it. The task goes on after an
    /// error: not leading for a while is no failure.
    pub fn keep(mesh: ControllerMesh, instance: impl Into<String>, stop: CancellationToken) -> Leadership {
        let mut lease = Self::new(mesh, instance);
        let (tell, until) = watch::channel(None);
        let (tell_led, led) = watch::channel(lease.led());
        tokio::spawn(async move {
            let mut ticks = tokio::time::interval(TICK);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                tokio::select! {
                    biased;
                    () = stop.cancelled() => break,
                    _ = ticks.tick() => {}
                }
                // `stop` does not interrupt this: an aborted write could leave a lease that nobody knows of.
                lease.tick().await;
                tell_led.send_replace(lease.led());
                tell.send_if_modified(|until| {
                    let is_new = *until != lease.leads_until();
                    *until = lease.leads_until();
                    is_new
                });
            }
            // This process must stop believing in the lease before others may take it.
            tell.send_replace(None);
            lease.release().await;
        });
        Leadership {
            until,
            led,
            told: false,
        }
    }
}

impl Leadership {
    /// Whether this process leads at this moment.
    pub fn is_leading(&self) -> bool {
        self.until.borrow().is_some_and(|until| Instant::now() < until)
    }

    /// How long no controller was known to lead, as far as this one can see.
    pub fn leaderless_for(&self) -> Duration {
        self.led.borrow().elapsed()
    }

    /// Waits until [`Leadership::is_leading`] differs from what this last returned (at first: `false`), and returns it.
    /// Waits forever if the lease is no longer kept and that was already returned.
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

    /// Waits until the lease was released after `stop`; an orderly process exits after that.
    pub async fn over(&mut self) {
        while self.until.changed().await.is_ok() {}
    }
}
