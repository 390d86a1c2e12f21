//! What is measured.

use std::future::Future;

use baton_jetstream::Error;
use futures::stream::{StreamExt as _, TryStreamExt as _};

/// How many submits are under way at once in a throughput measurement.
const SUBMITTERS: usize = 256;

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Workload {
    /// Submit, and one agent completes: intents per second.
    OneHop,
    /// A relay of three agents: intents per second.
    Relay,
    /// One submit at a time, until its result is known: latency.
    SubmitToResult,
}

impl Workload {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::OneHop, Self::Relay, Self::SubmitToResult];

    /// For people.
    pub const fn name(self) -> &'static str {
        match self {
            Self::OneHop => "one hop",
            Self::Relay => "relay of three",
            Self::SubmitToResult => "submit to result",
        }
    }

    pub(crate) const fn tag(self) -> &'static str {
        match self {
            Self::OneHop => "one",
            Self::Relay => "relay",
            Self::SubmitToResult => "wait",
        }
    }

    pub(crate) const fn agents(self) -> usize {
        match self {
            Self::OneHop | Self::SubmitToResult => 1,
            Self::Relay => 3,
        }
    }

    /// Whether one intent at a time is timed, rather than many at once.
    pub const fn is_sequential(self) -> bool {
        matches!(self, Self::SubmitToResult)
    }
}

/// Does something `count` times, with a bounded number under way.
pub(crate) async fn concurrently<F>(count: usize, each: impl Fn(usize) -> F) -> Result<(), Error>
where
    F: Future<Output = Result<(), Error>>,
{
    futures::stream::iter(0..count)
        .map(|n| Ok(each(n)))
        .try_for_each_concurrent(SUBMITTERS, |done| done)
        .await
}
