//! Removes unique keys that nobody holds any more.

use std::time::Duration;

use crate::rounds::error::RoundError;
use crate::rounds::round::{Period, Round};
use crate::rounds::term::Term;

/// How often. Nothing depends on it but the size of the bucket: a key whose time is over is free before it is removed.
const EVERY: Duration = Duration::from_secs(5 * 60);

/// Removes free unique keys.
#[derive(Debug)]
pub(crate) struct UniqueKeys;

impl Round for UniqueKeys {
    const NAME: &'static str = "unique_keys";
    /// Each key is looked at by itself.
    const TIMEOUT: Duration = Duration::from_secs(10 * 60);
    const PERIOD: Period = Period::Time(EVERY);

    fn begin(_: &Term) -> Self {
        Self
    }

    async fn round(&mut self, term: &Term) -> Result<(), RoundError> {
        let removed = term.in_charge()?.mesh.remove_free_keys().await?;
        if removed > 0 {
            tracing::debug!(removed, "unique keys that nobody holds were removed");
        }
        Ok(())
    }
}
