//! The errors of a benchmark.

use std::io;

/// Why a benchmark failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BenchError {
    /// The mesh refused or did not answer.
    #[error(transparent)]
    Mesh(#[from] baton_jetstream::Error),
    /// The baseline failed.
    #[error(transparent)]
    Baseline(#[from] baton_baseline::Error),
    /// An agent could not be started.
    #[error(transparent)]
    Agent(#[from] baton_agent::BuildError),
    /// The controller failed.
    #[cfg(feature = "controller")]
    #[error(transparent)]
    Controller(#[from] baton_controller::Error),
    /// There is no `baton` to run a controller with.
    #[error("there is no {0}: build it with `cargo build --release`, or name it with --baton")]
    NoBaton(std::path::PathBuf),
    /// Options that make no sense together.
    #[error("{0}")]
    Arguments(&'static str),
    /// The accounts of a server could not be made.
    #[error(transparent)]
    Access(#[from] baton_access::AccessError),
    /// There is no `nats-server`.
    #[error(transparent)]
    Missing(#[from] baton_embedded::Error),
    /// The server could not be started or stopped.
    #[error(transparent)]
    Server(#[from] baton_embedded::ServerError),
    /// An intent did not end as it should.
    #[error("an intent of the benchmark ended as {0}")]
    Ended(String),
    /// A part of the benchmark itself did not do what it must.
    #[error("the benchmark is broken: {0}")]
    Broken(String),
    /// A line between two processes of the benchmark could not be written or read.
    #[error("the benchmark is broken: a line between two of its processes is no JSON")]
    Line(#[source] serde_json::Error),
    /// Records do not leave the ledger.
    #[error(
        "the ledger has {held} records, more than --ledger-at-most {most}, and has not shrunk for {seconds} s: is the archive on, \
         and its grace time short?"
    )]
    NotArchived {
        /// How many records the ledger has.
        held: u64,
        /// How many it may have.
        most: u64,
        /// How long the benchmark waited, in seconds.
        seconds: u64,
    },
    /// The ledger has fewer records than the measured work must have written: the measurement is worthless.
    #[error("{side} wrote {found} records, and at least {needed} were to be written")]
    Incomplete {
        /// The side that was measured.
        side: &'static str,
        /// How many records there are.
        found: u64,
        /// How many there must be.
        needed: u64,
    },
    /// A process may not open as many files as connections are to be made.
    #[error(
        "{needed} open files are needed, and this user may have {most}: raise it with `ulimit -Hn {needed}`, or ask for fewer --followers"
    )]
    FewFiles {
        /// How many are needed.
        needed: u64,
        /// How many there may be.
        most: u64,
    },
    /// The machine refused something.
    #[error("{what} failed")]
    Io {
        /// What was attempted.
        what: String,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
    /// A signal stopped it.
    #[error("interrupted")]
    Interrupted,
}

impl BenchError {
    pub(crate) fn io(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let what = what.into();
        move |source| Self::Io { what, source }
    }
}
