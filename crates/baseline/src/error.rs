//! The error of a baseline.

/// Why a baseline could not do what it was asked to.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The client or the server said no.
    #[error("the bare client failed: {0}")]
    Failed(String),
    /// The last record of an intent did not come.
    #[error("no answer from the server: the end of a bare intent")]
    NoEnd,
}

impl Error {
    /// Wraps what the client or the server said.
    pub(crate) fn failed(error: impl std::fmt::Display) -> Self {
        Self::Failed(error.to_string())
    }
}
