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
use crate::duty::leaderless::LeaderWatch;
use crate::duty::told::Told;

/// How often to look: one request when nothing is missing.
const EVERY: Duration = Duration::from_secs(3);

/// Keeps the streams, the buckets and the routes of the mesh there.
#[derive(Debug, Default)]
pub(crate) struct Upkeep {
    ledger: Told,
    leader: LeaderWatch,
    failure: Told,
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
                self.leader.look(&cx).await;
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
        // Streams that are made from now on keep as many copies as an operator has set meanwhile.
        cx.mesh.learn_copies().await?;
        let by = format!("controller {}", cx.by.instance);
        for route in cx.mesh.restore_routes(&by).await? {
            tracing::warn!(agent = %route.agent, active = %route.active, "its route was removed: the last known one is written again");
        }
        Ok(())
    }
}
