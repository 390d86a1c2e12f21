//! Why the projection has no answer.

use std::time::Duration;

use tokio::task::JoinError;

/// Why the projection has no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The server was asked in vain.
    #[error("the ledger cannot be read")]
    Ledger(#[from] baton_jetstream::Error),
    /// The database failed.
    #[error("the projection cannot be read or written")]
    Store(#[from] rusqlite::Error),
    /// The ledger's end was not reached in time.
    #[error("the projection is {behind} records behind the ledger after {} ms", patience.as_millis())]
    Behind {
        /// How many records are missing.
        behind: u64,
        /// How long it was waited.
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
