//! What keeps the judge from judging. A broken rule is no error: the report tells of it.

use std::time::Duration;

/// Why nothing could be judged.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConformanceError {
    /// The mesh did not do what the judge asked for.
    #[error(transparent)]
    Mesh(#[from] baton_jetstream::Error),
    /// No worker of the agent announced itself.
    #[error("no worker of the agent \"{agent}\" announced itself on {subject} within {} s", waited.as_secs())]
    NoAgent {
        /// The agent.
        agent: String,
        /// Where its heartbeats were awaited.
        subject: String,
        /// For how long.
        waited: Duration,
    },
    /// No intent was submitted.
    #[error("nothing was submitted on {subject} or in the ledger within {} s", waited.as_secs())]
    NothingSubmitted {
        /// Where raw intents were awaited.
        subject: String,
        /// For how long.
        waited: Duration,
    },
    /// The namespace is in use: the judge would disturb work, or be disturbed by a controller.
    #[error("the namespace \"{namespace}\" holds {found}; a judge needs one of its own")]
    InUse {
        /// The namespace.
        namespace: String,
        /// What was found there.
        found: String,
    },
    /// The nats-server could not be found or fetched.
    #[error(transparent)]
    Binary(#[from] baton_embedded::Error),
    /// The server could not be started.
    #[error(transparent)]
    Server(#[from] baton_embedded::ServerError),
    /// The operating system refused something.
    #[error("{what}")]
    Io {
        /// What was tried.
        what: String,
        /// Why it failed.
        #[source]
        source: std::io::Error,
    },
}
