//! The consumers that controllers share, or follow the ledger and the archive with, are kept as they should be: somebody may
//! edit one, and nothing tells whoever pulls from it.

use std::time::Duration;

use crate::rounds::error::RoundError;
use crate::rounds::round::{Period, Round};
use crate::rounds::term::Term;

/// How often to compare them.
const EVERY: Duration = Duration::from_secs(10);

/// Mends the controllers' own consumers.
#[derive(Debug, Default)]
pub(crate) struct Mend {
    /// What the server refused and was said already.
    said: Vec<String>,
}

impl Round for Mend {
    const NAME: &'static str = "mend";
    const PERIOD: Period = Period::Time(EVERY);

    fn begin(_: &Term) -> Self {
        Self::default()
    }

    async fn round(&mut self, term: &Term) -> Result<(), RoundError> {
        let cx = term.in_charge()?;
        let mended = cx.mesh.mend_consumers(|| term.in_charge().is_ok()).await?;
        for what in mended.mended {
            tracing::warn!(what, "somebody edited a consumer of the controllers: it is repaired");
        }
        for what in mended.refused {
            if !self.said.contains(&what) {
                tracing::error!(what, "the server refuses to mend a consumer of the controllers");
                self.said.push(what);
            }
        }
        Ok(())
    }
}
