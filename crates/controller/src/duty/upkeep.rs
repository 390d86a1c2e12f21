//! Looks after what a mesh needs on the server, and makes it again when somebody removes it.
//!
//! Every controller does this, because without its bucket there is no leader. What the streams held is gone with them, but
//! a mesh goes on from empty ones: the sweep writes lost tickets again, the heartbeats declare, and the routes are
//! remembered. Only the ledger holds what nothing else knows; a person decides about that.

use std::time::Duration;

use baton_envelope::codes;
use baton_jetstream::{Error, Upkept};

use crate::backoff::spread;
use crate::context::Context;
use crate::duty::Duty;

/// How often to look: one request when nothing is missing.
const EVERY: Duration = Duration::from_secs(3);
/// How long there may be no leader before that is said: longer than one takes to run out and another to follow.
const LEADERLESS: Duration = Duration::from_secs(15);
/// How often to say what lasts.
const TELL_EVERY: Duration = Duration::from_secs(60);

/// Keeps the streams, the buckets and the routes of the mesh there.
#[derive(Debug, Default)]
pub(crate) struct Upkeep {
    ledger: Told,
    leader: Told,
    failure: Told,
}

/// When something was said last; `None` while there is nothing to say.
#[derive(Debug, Default)]
struct Told(Option<tokio::time::Instant>);

impl Told {
    /// Whether to say it now.
    fn is_due(&mut self) -> bool {
        let due = self.0.is_none_or(|at| at.elapsed() >= TELL_EVERY);
        if due {
            self.0 = Some(tokio::time::Instant::now());
        }
        due
    }

    /// It is over; tells whether it was said.
    fn end(&mut self) -> bool {
        self.0.take().is_some()
    }
}

impl Duty for Upkeep {
    const NAME: &'static str = "upkeep";

    async fn run(mut self, cx: Context) {
        let looking = async {
            loop {
                tokio::time::sleep(spread(&cx.mesh, EVERY)).await;
                match self.look(&cx).await {
                    Ok(()) => {
                        self.failure.end();
                    }
                    Err(error) if self.failure.is_due() => {
                        tracing::warn!(%error, "cannot look after the streams of the mesh, trying again");
                    }
                    Err(error) => tracing::debug!(%error, "cannot look after the streams of the mesh"),
                }
                self.say_who_leads(&cx);
            }
        };
        // Whatever is cut off here, another look makes good.
        cx.until_stopped(Box::pin(looking)).await;
    }
}

impl Upkeep {
    async fn look(&mut self, cx: &Context) -> Result<(), Error> {
        let routes = cx.mesh.followed_routes();
        let Upkept { made, ledger_lost } = cx.mesh.keep_up(cx.config.limits(), &routes).await?;
        for stream in made {
            tracing::warn!(stream, "was missing: somebody removed it, and it is made again, empty");
        }
        match ledger_lost {
            Some(error) if self.ledger.is_due() => {
                let remedy =
                    "restore it from a backup, or start one controller with --make-ledger: what was open is lost then";
                tracing::error!(code = codes::LEDGER_LOST, remedy, "{error}");
            }
            Some(_) => {}
            None if self.ledger.end() => tracing::warn!("there is a ledger again"),
            None => {}
        }
        let by = format!("controller {}", cx.by.instance);
        for route in cx.mesh.restore_routes(&by).await? {
            tracing::warn!(agent = %route.agent, active = %route.active, "its route was removed: the last known one is written again");
        }
        Ok(())
    }

    fn say_who_leads(&mut self, cx: &Context) {
        let silent = cx.leadership.leaderless_for();
        if silent < LEADERLESS {
            if self.leader.end() {
                tracing::warn!("a controller leads again");
            }
        } else if self.leader.is_due() {
            let remedy = "the bucket that says who leads cannot be read or written: `baton doctor` says more";
            tracing::error!(
                seconds = silent.as_secs(),
                bucket = cx.mesh.subjects().control_bucket(),
                remedy,
                "no controller leads: sweeps, rollouts, drains and the archive stand still"
            );
        }
    }
}
