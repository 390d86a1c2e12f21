//! Contexts of the `nats` CLI (ADR-21): the same name that a person uses with `nats --context` works here.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::screen::Tls;
use crate::error::Error;

/// The parts of a context file that a connection needs.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct NatsContext {
    pub(crate) url: String,
    pub(crate) user: String,
    pub(crate) password: String,
    pub(crate) token: String,
    pub(crate) creds: String,
    pub(crate) nkey: String,
    pub(crate) cert: String,
    pub(crate) key: String,
    pub(crate) ca: String,
    pub(crate) inbox_prefix: String,
    pub(crate) jetstream_domain: String,
    pub(crate) tls_first: bool,
}

impl NatsContext {
    /// What it says of TLS.
    pub(crate) fn tls(&self) -> Tls {
        let path = |text: &str| (!text.is_empty()).then(|| PathBuf::from(text));
        Tls {
            first: self.tls_first,
            ca: path(&self.ca),
            own: path(&self.cert).zip(path(&self.key)),
        }
    }

    /// Reads a context by name from the configuration folder, or the selected one when no name is given; `None` when
    /// none is selected.
    pub(crate) fn load(name: Option<&str>, config_dir: Option<&Path>) -> Result<Option<Self>, Error> {
        let folder = match (config_dir, name) {
            (Some(dir), _) => dir.join("nats"),
            (None, None) => return Ok(None),
            (None, Some(name)) => {
                return Err(bad(
                    name,
                    "neither XDG_CONFIG_HOME nor HOME is set, so there is no place to look".into(),
                ));
            }
        };
        let name = match name {
            Some(name) => name.to_owned(),
            None => match std::fs::read_to_string(folder.join("context.txt")) {
                Ok(selected) if !selected.trim().is_empty() => selected.trim().to_owned(),
                Ok(_) | Err(_) => return Ok(None),
            },
        };
        if name.contains(['/', '\\']) || name.contains("..") {
            return Err(bad(&name, "a context name may not be a path".into()));
        }
        let path: PathBuf = folder.join("context").join(format!("{name}.json"));
        let text = std::fs::read(&path).map_err(|error| bad(&name, format!("{}: {error}", path.display())))?;
        serde_json::from_slice(&text)
            .map(Some)
            .map_err(|error| bad(&name, format!("{}: {error}", path.display())))
    }
}

fn bad(name: &str, problem: String) -> Error {
    Error::BadContext {
        name: name.to_owned(),
        problem,
    }
}
