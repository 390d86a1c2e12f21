//! Checkpoints: what was stored since the last one, signed, so that an audit misses a tail that is cut off.

use std::time::Duration;

use crate::rounds::error::RoundError;
use crate::rounds::round::{Period, Round};
use crate::rounds::term::Term;

/// Writes checkpoints, in a mesh that signs.
#[derive(Debug)]
pub(crate) struct Checkpoints;

impl Round for Checkpoints {
    const NAME: &'static str = "checkpoint";
    /// It reads all that was stored since the last one.
    const TIMEOUT: Duration = Duration::from_secs(10 * 60);
    /// The default; [`ControllerConfig::checkpoint_interval`](crate::ControllerConfig) replaces it.
    const PERIOD: Period = Period::Time(Duration::from_secs(60));

    fn begin(_: &Term) -> Self {
        Self
    }

    fn due(&mut self, term: &Term, _: u64) -> Period {
        // Never a busy loop, whatever the configuration says.
        Period::Time(term.cx.config.checkpoint_interval.max(Duration::from_millis(10)))
    }

    async fn round(&mut self, term: &Term) -> Result<(), RoundError> {
        let cx = term.in_charge()?;
        if let Some(made) = cx.mesh.make_checkpoint(&cx.by.instance).await? {
            // Whoever keeps the log has a witness outside of the server.
            let (ledger, archive) = (&made.ledger, &made.archive);
            tracing::info!(
                through = ledger.through, records = ledger.count, root = %ledger.root,
                archived = archive.through, archive_root = %archive.root,
                "a checkpoint was written"
            );
        }
        Ok(())
    }
}
