//! Why a scenario could not run to its end.

/// Why a scenario could not run to its end. A scenario that ends badly is no error: its report says so.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DemoError {
    /// The nats-server could not be found or fetched.
    #[error(transparent)]
    Find(#[from] baton_embedded::Error),
    /// The nats-server did not start.
    #[error("the nats-server did not start")]
    Server(#[from] baton_embedded::ServerError),
    /// The mesh refused or did not answer.
    #[error(transparent)]
    Mesh(#[from] baton_jetstream::Error),
    /// An agent could not be built.
    #[error(transparent)]
    Agent(#[from] baton_agent::BuildError),
    /// A process could not be started or stopped, or a file could not be used.
    #[error("{what}")]
    Io {
        /// What failed.
        what: String,
        /// Why it failed.
        #[source]
        source: std::io::Error,
    },
    /// The demo has no such role.
    #[error("the demo has no agent \"{0}\" (it has research, code and qa)")]
    NoRole(String),
    /// A task of the demo panicked or was cancelled.
    #[error("{what}")]
    Task {
        /// What it did.
        what: String,
        /// How it ended.
        #[source]
        source: tokio::task::JoinError,
    },
    /// Something that should have happened did not happen in time.
    #[error("{0}")]
    Stuck(String),
}

impl DemoError {
    pub(crate) fn io(what: impl Into<String>, source: std::io::Error) -> Self {
        Self::Io {
            what: what.into(),
            source,
        }
    }
}
