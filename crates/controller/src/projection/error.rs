//! Why the projection has no answer.

use std::time::Duration;

use tokio::task::JoinError;

/// Why the projection has no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The server did not answer or refused.
    #[error("the ledger cannot be read")]
    Ledger(#[from] baton_jetstream::Error),
    /// The database failed.
    #[error("the projection cannot be read or written")]
    Store(#[from] rusqlite::Error),
    /// The projection did not reach the end of the ledger in time.
    #[error("the projection is {behind} record{} behind the ledger after {} ms", if *behind == 1 { "" } else { "s" }, patience.as_millis())]
    Behind {
        /// How many records are missing.
        behind: u64,
        /// How long the caller waited.
        patience: Duration,
    },
    /// The thread that worked on it ended.
    #[error("the work on the projection was cut off")]
    CutOff(#[from] JoinError),
}

impl From<Error> for baton_jetstream::Error {
    fn from(error: Error) -> Self {
        match error {
            Error::Ledger(error) => error,
            other @ (Error::Store(_) | Error::Behind { .. } | Error::CutOff(_)) => Self::Api {
                what: "asking the projection".to_owned(),
                source: other.into(),
            },
        }
    }
}
