//! Purges what the archive has and the ledger should not have any more: terminal records of chosen ids whose time is
//! over, and leftovers of a leader that died between archiving and purging.

use std::time::Duration;

use crate::duty::over;
use crate::projection::Handled;
use crate::rounds::error::RoundError;
use crate::rounds::round::{Period, Round};
use crate::rounds::term::Term;

/// How often to check for missed purges.
const EVERY: Duration = Duration::from_secs(10);

/// Purges archived intents whose time in the ledger is over.
#[derive(Debug)]
pub(crate) struct Tidy;

impl Round for Tidy {
    const NAME: &'static str = "tidy";
    /// After a long break there is much to purge.
    const TIMEOUT: Duration = Duration::from_secs(10 * 60);
    const PERIOD: Period = Period::Time(EVERY);

    fn begin(_: &Term) -> Self {
        Self
    }

    async fn round(&mut self, term: &Term) -> Result<(), RoundError> {
        loop {
            let page = over(&term.cx, Duration::ZERO).await?;
            let mut done = page.gone;
            for closed in page.there {
                let mesh = &term.in_charge()?.mesh;
                mesh.purge_records(&closed.intent, closed.seq + 1).await?;
                done.push(Handled::Gone(closed.intent));
            }
            term.cx.projection.handled(done).await?;
            if page.is_last {
                return Ok(());
            }
        }
    }
}
