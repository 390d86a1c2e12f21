//! Workers whose clock is off are named. They correct the times that they write, as far as they know; what runs beside them on
//! that machine does not.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::rounds::error::RoundError;
use crate::rounds::round::{Period, Round};
use crate::rounds::term::Term;

/// How often to look: as often as workers send heartbeats.
const EVERY: Duration = Duration::from_secs(5);

/// Names each worker whose clock is off, once for as long as it is.
#[derive(Debug, Default)]
pub(crate) struct Clocks {
    said: BTreeSet<String>,
}

impl Round for Clocks {
    const NAME: &'static str = "clocks";
    const PERIOD: Period = Period::Time(EVERY);

    fn begin(_: &Term) -> Self {
        Self::default()
    }

    async fn round(&mut self, term: &Term) -> Result<(), RoundError> {
        let mut off = BTreeSet::new();
        for found in term.in_charge()?.workers.clocks_off() {
            let (agent, version, worker) = (found.agent, found.version, found.worker);
            let name = format!("{agent} {version} {}", worker.instance);
            if !self.said.contains(&name) {
                let clock = worker.clock().unwrap_or_default();
                tracing::warn!(%agent, %version, worker = worker.instance, host = worker.host, "{clock}: set it by NTP");
            }
            off.insert(name);
        }
        self.said = off;
        Ok(())
    }
}
