//! Why a controller stopped on its own.

use std::time::Duration;

/// A failure that ends a controller. Failures that the server can recover from are retried and never get here.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// For a long time, the streams and buckets of the mesh were missing and could not be created.
    #[error("the mesh could not be prepared within {}", humanly(*patience))]
    Prepare {
        /// How long the controller tried.
        patience: Duration,
        /// The last error.
        #[source]
        source: baton_jetstream::Error,
    },
    /// This controller is configured otherwise than the mesh, or is too old for it.
    #[error(transparent)]
    Unfit(baton_jetstream::Error),
    /// The projection of the ledger could not be opened.
    #[error("the projection of the ledger could not be opened")]
    Projection(#[from] crate::projection::Error),
    /// A duty ended on its own, which only a bug can cause. A controller with half of its duties would look healthy, so
    /// it stops.
    #[error("the {duty} ended unexpectedly")]
    DutyEnded {
        /// Which duty.
        duty: &'static str,
        /// The panic, if it was one.
        #[source]
        source: Option<tokio::task::JoinError>,
    },
}

fn humanly(duration: Duration) -> String {
    format!("{} s", duration.as_secs())
}
