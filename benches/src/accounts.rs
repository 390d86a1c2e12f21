//! Accounts for a server of the benchmark, rendered as `baton access` renders them.

use std::collections::BTreeMap;

use baton_access::{Access, AgentEntry, Form, MeshEntry, PasswordHash, RANDOM_BYTES, Secret, UserEntry, render};
use baton_envelope::{AgentName, Namespace};
use baton_jetstream::Error;

use crate::baton::stage_name;
use crate::error::BenchError;

/// The namespace that the accounts are for.
pub(crate) const NAMESPACE: &str = "bench";
/// The user of the observer, and of whoever makes the streams.
pub(crate) const CONTROLLER: &str = "controller";
/// As many as a relay has.
const AGENTS: usize = 3;

/// Accounts, and how to get in. The server is on loopback and lives for some minutes.
pub(crate) struct Rendered {
    /// Lines for the configuration of the server.
    pub(crate) lines: String,
    /// The password of each user.
    pub(crate) password: String,
}

/// The accounts of the controllers and of each agent of a relay.
pub(crate) fn rendered() -> Result<Rendered, BenchError> {
    let Secret::Password { text, hash } = Secret::make(Form::Password, [7; RANDOM_BYTES])? else {
        return Err(BenchError::Broken("a password is no password".to_owned()));
    };
    let namespace: Namespace = NAMESPACE.parse().map_err(Error::from)?;
    let mut agents = BTreeMap::new();
    for stage in 0..AGENTS {
        let name: AgentName = stage_name(stage).parse().map_err(Error::from)?;
        agents.insert(name, agent(&hash));
    }
    let user = || {
        Some(UserEntry {
            key: None,
            old_key: None,
            password: Some(hash.clone()),
        })
    };
    let access = Access {
        mesh: MeshEntry { namespace },
        controller: user(),
        system: user(),
        agents,
        ..Access::default()
    };
    let whole = render(&access);
    // What comes before is about the server, which the benchmark starts in its own way.
    let Some((_, accounts)) = whole.split_once("\naccounts {") else {
        return Err(BenchError::Broken("the rendered accounts are none".to_owned()));
    };
    Ok(Rendered {
        lines: format!("accounts {{{accounts}\n"),
        password: text,
    })
}

fn agent(hash: &PasswordHash) -> AgentEntry {
    AgentEntry {
        key: None,
        old_key: None,
        password: Some(hash.clone()),
    }
}
