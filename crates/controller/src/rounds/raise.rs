//! Streams and consumers that an earlier build made are raised to the newest topology, and the shared settings are kept in the ledger's
//! metadata.

use std::time::Duration;

use baton_jetstream::{Error, Raised};

use crate::rounds::error::RoundError;
use crate::rounds::round::{Period, Round};
use crate::rounds::term::Term;

/// How often to look: an older build may make a stream at any time, and a raise may wait for the last of its controllers.
const EVERY: Duration = Duration::from_secs(30);

/// How often to look while the mesh is turned to signing.
const SOON: Duration = Duration::from_secs(5);

/// Raises the streams and consumers of the mesh.
#[derive(Debug, Default)]
pub(crate) struct Raise {
    /// What was said already: a person is told of each thing once in a term.
    said: Vec<String>,
    /// Whether the mesh is to sign otherwise than it does.
    is_turned: bool,
}

impl Round for Raise {
    const NAME: &'static str = "raise";
    const PERIOD: Period = Period::Time(EVERY);

    fn begin(_: &Term) -> Self {
        Self::default()
    }

    fn due(&mut self, _: &Term, turn: u64) -> Period {
        Period::Time(match (turn, self.is_turned) {
            (0, _) => Duration::ZERO,
            (_, true) => SOON,
            (_, false) => EVERY,
        })
    }

    async fn round(&mut self, term: &Term) -> Result<(), RoundError> {
        let cx = term.in_charge()?;
        let may = || term.in_charge().is_ok();
        let raised = cx.mesh.raise(cx.config.limits(), cx.config.archive.grace, may).await?;
        self.decide_copies(term).await?;
        let cx = term.in_charge()?;
        let signatures = cx.mesh.raise_signatures(&cx.workers.unsigned()).await?;
        self.is_turned = signatures != Raised::default();
        for what in raised.changed {
            match what.contains(": from topology ") {
                true => tracing::info!(what, "raised to the newest topology"),
                false => tracing::info!(what, "told the mesh what this controller is set to"),
            }
        }
        for what in signatures.changed {
            tracing::info!(what, "turned the mesh to signing");
        }
        for what in raised.waiting {
            if self.is_news(&what) {
                tracing::warn!(what, "a raise waits for controllers of an earlier build");
            }
        }
        for what in signatures.waiting {
            if self.is_news(&what) {
                tracing::warn!(what, "the mesh does not sign yet as it is told to");
            }
        }
        for what in raised.refused {
            if self.is_news(&what) {
                tracing::error!(what, "the server refuses to raise it");
            }
        }
        Ok(())
    }
}

impl Raise {
    /// Whether this was not said in the term yet; from now on it was.
    fn is_news(&mut self, what: &str) -> bool {
        let is_news = !self.said.iter().any(|said| said == what);
        if is_news {
            self.said.push(what.to_owned());
        }
        is_news
    }

    /// Where a worker or a command made the mesh before any controller came, the leader decides on the copies.
    async fn decide_copies(&mut self, term: &Term) -> Result<(), RoundError> {
        let cx = term.in_charge()?;
        let copies = cx.config.limits().replicas;
        match cx.mesh.decide_copies(copies).await {
            Ok(Some(_)) => tracing::info!(copies, "the mesh keeps so many copies, as configured here"),
            Ok(None) => {}
            Err(error @ Error::TooFewServers { .. }) => {
                let what = error.to_string();
                if self.is_news(&what) {
                    tracing::warn!(what, "the mesh does not get the copies that are configured here");
                }
            }
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }
}
