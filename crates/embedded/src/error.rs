//! Why a binary could not be found or a server not be started.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

/// A binary could not be provided.
///
/// The texts of [`Error::Missing`] and [`Error::Fetch`] span several lines: they end with the commands that install
/// the binary by hand and the variable to set.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The variable that names the binary holds something that cannot be used.
    #[error("{variable} names {path:?}, {problem}")]
    Variable {
        /// Name of the variable.
        variable: &'static str,
        /// Its value.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// The binary is not on this machine and there is no tool that could fetch it.
    #[error("{name} {version} is not installed and there is no tool to fetch it with ({reasons})\n{help}")]
    Missing {
        /// Name of the binary.
        name: &'static str,
        /// The version that was wanted.
        version: crate::Version,
        /// Which tools were looked for.
        reasons: String,
        /// How to install it by hand.
        help: String,
    },
    /// A tool was there, but fetching failed.
    #[error("{name} {version} could not be fetched\n{attempts}\n{help}")]
    Fetch {
        /// Name of the binary.
        name: &'static str,
        /// The version that was wanted.
        version: crate::Version,
        /// What was tried, and the end of what each attempt printed.
        attempts: String,
        /// How to install it by hand.
        help: String,
    },
    /// No folder is known in which fetched binaries could be kept.
    #[error("no cache folder is known: set BATON_CACHE_DIR or HOME")]
    NoCacheDir,
    /// The cache folder cannot be used.
    #[error("cache folder {path:?} cannot be used")]
    Cache {
        /// The file or folder in question.
        path: PathBuf,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
}

/// A server could not be started, signalled or restarted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServerError {
    /// A port that was asked for is in use.
    #[error("port {port} on 127.0.0.1 is in use by another process")]
    PortTaken {
        /// The port.
        port: u16,
    },
    /// Another server works on the same store.
    #[error("store {path:?} is in use by another nats-server ({holder})")]
    StoreBusy {
        /// The store folder.
        path: PathBuf,
        /// The holder's process id as it recorded it.
        holder: String,
    },
    /// An option cannot be written to a configuration file.
    #[error("{option} is not usable: {problem}")]
    Option {
        /// The option.
        option: &'static str,
        /// What is wrong with it.
        problem: String,
    },
    /// The server ended before it was ready.
    #[error("nats-server ended with {status} before it was ready\n{log}")]
    Ended {
        /// Exit status.
        status: std::process::ExitStatus,
        /// The end of its log.
        log: String,
    },
    /// The server was not ready in time.
    #[error("nats-server was not ready within {waited:?}\n{log}")]
    NotReady {
        /// How long it was given.
        waited: Duration,
        /// The end of its log.
        log: String,
    },
    /// The server is not running.
    #[error("nats-server is not running")]
    NotRunning,
    /// A file or process operation failed.
    #[error("{action} {path:?} failed")]
    Io {
        /// What was tried.
        action: &'static str,
        /// The file in question.
        path: PathBuf,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
}
