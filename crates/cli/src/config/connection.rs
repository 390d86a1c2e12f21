//! `[connection]`: where the mesh is, and what is the same for all of it.

use std::path::PathBuf;

use baton_envelope::{Bands, Namespace, Signatures};
use baton_jetstream::TicketPersistence;
use serde::{Deserialize, Serialize};

use super::{path, unset};

/// `[connection]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct ConnectionConfig {
    /// The server's address; several are separated by commas.
    #[serde(with = "unset")]
    pub(crate) server: Option<String>,
    /// A context of the `nats` CLI.
    #[serde(with = "unset")]
    pub(crate) context: Option<String>,
    /// A credentials file.
    #[serde(with = "path")]
    pub(crate) creds: Option<PathBuf>,
    /// A user name.
    #[serde(with = "unset")]
    pub(crate) user: Option<String>,
    /// Its password.
    #[serde(with = "unset")]
    pub(crate) password: Option<String>,
    /// The prefix of everything that the mesh owns on the server.
    pub(crate) namespace: Namespace,
    /// How many copies new streams keep.
    pub(crate) replicas: u8,
    /// When the server writes tickets to disk.
    pub(crate) tickets: TicketPersistence,
    /// Whether workers and commands, as controllers always do, mend messages that no client can read.
    pub(crate) screen: bool,
    /// How the ten priorities are grouped.
    pub(crate) bands: Grouping,
    /// Whether records are signed and verified.
    pub(crate) signatures: Signatures,
    /// The file of the key that this process signs with.
    #[serde(with = "path")]
    pub(crate) signing_key: Option<PathBuf>,
    /// The file of the keys that this process trusts.
    #[serde(with = "path")]
    pub(crate) trust: Option<PathBuf>,
}

impl Default for ConnectionConfig {
    fn default() -> Self {
        Self {
            server: None,
            context: None,
            creds: None,
            user: None,
            password: None,
            namespace: Namespace::default(),
            replicas: 1,
            tickets: TicketPersistence::Default,
            screen: false,
            bands: Grouping::Three,
            signatures: Signatures::Off,
            signing_key: None,
            trust: None,
        }
    }
}

/// How the ten priorities are grouped, by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Grouping {
    /// One band: priorities are recorded but do not act.
    One,
    /// High 8–10, normal 4–7, low 1–3.
    Three,
    /// One band for each priority.
    Ten,
}

impl From<Grouping> for Bands {
    fn from(grouping: Grouping) -> Self {
        match grouping {
            Grouping::One => Self::One,
            Grouping::Three => Self::Three,
            Grouping::Ten => Self::Ten,
        }
    }
}
