//! Why a binary cannot be provided, or a server cannot be started.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

/// A binary cannot be provided.
///
/// The texts of [`Error::Missing`] and [`Error::Fetch`] span several lines: they end with the commands that install the
/// binary by hand and the variable to set.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The variable that names the binary has an unusable value.
    #[error("{variable} names {path:?}, {problem}")]
    Variable {
        /// The name of the variable.
        variable: &'static str,
        /// Its value.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// The binary is not on this machine, and no tool can fetch it.
    #[error("{name} {version} is not installed and there is no tool to fetch it with ({reasons})\n{help}")]
    Missing {
        /// The name of the binary.
        name: &'static str,
        /// The required version.
        version: crate::Version,
        /// The tools that were missing.
        reasons: String,
        /// How to install it by hand.
        help: String,
    },
    /// A tool exists, but fetching failed.
    #[error("{name} {version} could not be fetched\n{attempts}\n{help}")]
    Fetch {
        /// The name of the binary.
        name: &'static str,
        /// The required version.
        version: crate::Version,
        /// The attempts, each with the end of its output.
        attempts: String,
        /// How to install it by hand.
        help: String,
    },
    /// No folder for fetched binaries is known.
    #[error("no cache folder is known: set BATON_CACHE_DIR or HOME")]
    NoCacheDir,
    /// Somebody else may write the cache folder, and so decide what is run from there.
    #[error(
        "cache folder {path:?} is not safe to run programs from: {problem}; fix: chmod go-w {path:?}, or set BATON_CACHE_DIR \
         to a folder that only you may write"
    )]
    UnsafeCache {
        /// The folder at fault, the cache or one that it is in.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// The cache folder cannot be used.
    #[error("cache folder {path:?} cannot be used")]
    Cache {
        /// The file or folder at fault.
        path: PathBuf,
        /// The error of the operating system.
        #[source]
        source: io::Error,
    },
}

/// A server could not be started, signalled or restarted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServerError {
    /// A requested port is in use.
    #[error("port {port} on 127.0.0.1 is in use by another process")]
    PortTaken {
        /// The port.
        port: u16,
    },
    /// Another server uses the same store.
    #[error("store {path:?} is in use by another nats-server ({holder})")]
    StoreBusy {
        /// The store folder.
        path: PathBuf,
        /// The holder's process id, as the holder recorded it.
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
        /// The exit status.
        status: std::process::ExitStatus,
        /// The end of its log.
        log: String,
    },
    /// The server was not ready in time.
    #[error("nats-server was not ready within {waited:?}\n{log}")]
    NotReady {
        /// How long it had to become ready.
        waited: Duration,
        /// The end of its log.
        log: String,
    },
    /// The server would not start with a configuration.
    #[error("nats-server refuses the configuration {path:?}\n{output}")]
    ConfigRefused {
        /// The file.
        path: PathBuf,
        /// What it said.
        output: String,
    },
    /// The process is none of a server.
    #[error("process {pid} is no nats-server")]
    NoServer {
        /// The process id.
        pid: u32,
    },
    /// The server is not running.
    #[error("nats-server is not running")]
    NotRunning,
    /// A file or process operation failed.
    #[error("{action} {path:?} failed")]
    Io {
        /// The operation.
        action: &'static str,
        /// The file at fault.
        path: PathBuf,
        /// The error of the operating system.
        #[source]
        source: io::Error,
    },
}
