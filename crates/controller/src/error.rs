//! Why a controller stopped without being told to.

use std::time::Duration;

/// A failure that ends a controller. What the server can recover from never gets here: it is retried.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The streams and buckets of the mesh could not be made, or were not there, for a long time.
    #[error("the mesh could not be prepared within {}", humanly(*patience))]
    Prepare {
        /// How long it was tried.
        patience: Duration,
        /// The last answer.
        #[source]
        source: baton_jetstream::Error,
    },
    /// This controller is configured otherwise than the mesh, or is too old for it.
    #[error(transparent)]
    Unfit(baton_jetstream::Error),
    /// The projection of the ledger could not be opened.
    #[error("the projection of the ledger could not be opened")]
    Projection(#[from] crate::projection::Error),
    /// A duty ended although nobody stopped it, which only a bug can do; a controller that does half of its duties
    /// would look healthy, so it stops.
    #[error("the {duty} ended unexpectedly")]
    DutyEnded {
        /// Which one.
        duty: &'static str,
        /// How, where it was a panic.
        #[source]
        source: Option<tokio::task::JoinError>,
    },
}

fn humanly(duration: Duration) -> String {
    format!("{} s", duration.as_secs())
}
