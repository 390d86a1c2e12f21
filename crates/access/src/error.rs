//! What can go wrong with the file, and with the files that are made from it.

use std::io;
use std::path::PathBuf;

/// A file of accounts that cannot be read or changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AccessError {
    /// The file is no TOML, or says something that it may not.
    #[error("{place}: {problem}")]
    Invalid {
        /// The key, or the line.
        place: String,
        /// What is wrong there.
        problem: String,
    },
    /// A name that another account has.
    #[error("the name \"{name}\" is taken: {what} has it")]
    Taken {
        /// The name.
        name: String,
        /// Who has it: `agent`, `publisher`, `person`, or the user of Baton that it is kept for.
        what: &'static str,
    },
    /// A name that nobody has.
    #[error("nobody is called \"{name}\" (known: {})", if known.is_empty() { "none".to_owned() } else { known.join(", ") })]
    Unknown {
        /// The name.
        name: String,
        /// Those that are known.
        known: Vec<String>,
    },
    /// An agent that a publisher may ask.
    #[error("agent \"{agent}\" is in the list `may` of {}", publishers.join(", "))]
    InUse {
        /// The agent.
        agent: String,
        /// The publishers that may ask it.
        publishers: Vec<String>,
    },
    /// A change that does not fit how this user logs in.
    #[error("\"{name}\" {problem}")]
    BadRotation {
        /// The name.
        name: String,
        /// Why not.
        problem: &'static str,
    },
    /// The file is there already.
    #[error("{} is there already", path.display())]
    Exists {
        /// Which one.
        path: PathBuf,
    },
    /// A file that the operating system refuses.
    #[error("{action} {} failed", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// With which file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
}
