//! `[connection]`: where the mesh is, and what is the same for all of it.

use std::path::PathBuf;

use baton_envelope::{Bands, Namespace, Signatures, codes};
use baton_jetstream::{TicketPersistence, Tls};
use serde::{Deserialize, Serialize};

use super::{path, unset};
use crate::error::{CliError, Kind};

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
    /// A file with the seed of a key.
    #[serde(with = "path")]
    pub(crate) nkey: Option<PathBuf>,
    /// A user name.
    #[serde(with = "unset")]
    pub(crate) user: Option<String>,
    /// Its password.
    #[serde(with = "unset")]
    pub(crate) password: Option<String>,
    /// What the subjects of answers begin with.
    #[serde(with = "unset")]
    pub(crate) inbox_prefix: Option<String>,
    /// Certificates of authorities that the server's certificate must be signed by.
    #[serde(with = "path")]
    pub(crate) tls_ca: Option<PathBuf>,
    /// The certificate that this side shows.
    #[serde(with = "path")]
    pub(crate) tls_cert: Option<PathBuf>,
    /// Its key.
    #[serde(with = "path")]
    pub(crate) tls_key: Option<PathBuf>,
    /// Whether TLS begins before the server has said anything.
    pub(crate) tls_first: bool,
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
            nkey: None,
            user: None,
            password: None,
            inbox_prefix: None,
            tls_ca: None,
            tls_cert: None,
            tls_key: None,
            tls_first: false,
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

impl ConnectionConfig {
    /// What is set of TLS.
    pub(crate) fn tls(&self) -> Result<Tls, CliError> {
        let own = match (&self.tls_cert, &self.tls_key) {
            (Some(certificate), Some(key)) => Some((certificate.clone(), key.clone())),
            (None, None) => None,
            (Some(_), None) | (None, Some(_)) => {
                let message = "`connection.tls_cert` and `connection.tls_key` belong together: one of them is not set";
                return Err(CliError::say(Kind::BadConfig, codes::BAD_CONFIG, message)
                    .hint("set both (--tls-cert and --tls-key), or neither"));
            }
        };
        Ok(Tls {
            first: self.tls_first,
            ca: self.tls_ca.clone(),
            own,
        })
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
