//! The configuration: defaults, then a file, then `BATON_SECTION__KEY`, then flags. What is unknown is refused.

mod archive;
mod connection;
mod controller;
mod flags;
mod layers;
mod path;
mod security;
mod unset;
mod worker;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub(crate) use archive::ArchiveConfig;
pub(crate) use connection::ConnectionConfig;
pub(crate) use controller::ControllerConfig;
pub(crate) use flags::GlobalArgs;
pub(crate) use layers::load;
pub(crate) use security::SecurityConfig;
pub(crate) use worker::WorkerConfig;

/// The variables of the process.
pub(crate) type Environment = BTreeMap<String, String>;

/// All that can be configured.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Config {
    /// Where the mesh is, and what is the same for all of it.
    pub(crate) connection: ConnectionConfig,
    /// `baton worker`.
    pub(crate) worker: WorkerConfig,
    /// `baton controller`.
    pub(crate) controller: ControllerConfig,
    /// What becomes of closed intents.
    pub(crate) archive: ArchiveConfig,
    /// Whether accounts keep the roles of the mesh apart.
    pub(crate) security: SecurityConfig,
}

/// The variables of this process; those that are not text cannot be meant for us.
pub(crate) fn environment() -> Environment {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect()
}
