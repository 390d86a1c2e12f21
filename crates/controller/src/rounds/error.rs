//! Why a round did not do its work, and whether that counts as a failure.

use std::time::Duration;

use baton_envelope::AgentName;
use baton_jetstream::Error;

use crate::stats::RoundOutcome;

/// Why a round did not do its work.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RoundError {
    #[error("this controller does not lead any more")]
    NotLeading,
    #[error("nothing was observed yet")]
    Unobserved,
    #[error("the observations are {} ms old", .0.as_millis())]
    Stale(Duration),
    #[error("it did not end within {} ms", .0.as_millis())]
    TimedOut(Duration),
    #[error("it panicked: {0}")]
    Panicked(String),
    #[error(transparent)]
    Failed(#[from] Error),
    #[error("agent \"{agent}\": {source}")]
    Agent {
        agent: AgentName,
        #[source]
        source: Box<Self>,
    },
}

impl RoundError {
    /// Names the agent that the error concerns.
    pub(crate) fn of(self, agent: &AgentName) -> Self {
        let (agent, source) = (agent.clone(), Box::new(self));
        Self::Agent { agent, source }
    }

    /// How the round counts.
    pub(crate) fn outcome(&self) -> RoundOutcome {
        match self {
            Self::NotLeading | Self::Unobserved | Self::Stale(_) => RoundOutcome::Skipped,
            Self::Agent { source, .. } => source.outcome(),
            Self::TimedOut(_) | Self::Panicked(_) | Self::Failed(_) => RoundOutcome::Failed,
        }
    }
}

impl From<crate::projection::Error> for RoundError {
    fn from(error: crate::projection::Error) -> Self {
        Self::Failed(error.into())
    }
}
