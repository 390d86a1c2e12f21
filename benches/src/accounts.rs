//! Accounts for a server of the benchmark, rendered as `baton access` renders them.

use std::collections::BTreeMap;

use baton_access::{Access, AgentEntry, Form, MeshEntry, RANDOM_BYTES, Secret, UserEntry, UserKey, render};
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
    /// The seed of each user's key, by its name.
    pub(crate) seeds: BTreeMap<String, String>,
}

/// The accounts of the controllers and of each agent of a relay. Users have keys, as `baton access` gives them: a login with a
/// password costs the server a tenth of a second, which would count as the cost of the first intents.
pub(crate) fn rendered() -> Result<Rendered, BenchError> {
    let namespace: Namespace = NAMESPACE.parse().map_err(Error::from)?;
    let mut seeds = BTreeMap::new();
    let mut key = |name: &str| -> Result<UserKey, BenchError> {
        // No two users may have one key.
        let random = [u8::try_from(seeds.len()).unwrap_or_default(); RANDOM_BYTES];
        let Secret::Key { seed, public } = Secret::make(Form::Key, random)? else {
            return Err(BenchError::Broken("a key is no key".to_owned()));
        };
        seeds.insert(name.to_owned(), seed);
        Ok(public)
    };
    let mut agents = BTreeMap::new();
    for stage in 0..AGENTS {
        let name: AgentName = stage_name(stage).parse().map_err(Error::from)?;
        let key = Some(key(name.as_str())?);
        agents.insert(
            name,
            AgentEntry {
                spaces: Vec::new(),
                key,
                old_key: None,
                password: None,
            },
        );
    }
    let mut user = |name: &str| -> Result<Option<UserEntry>, BenchError> {
        Ok(Some(UserEntry {
            key: Some(key(name)?),
            old_key: None,
            password: None,
        }))
    };
    let access = Access {
        mesh: MeshEntry { namespace },
        controller: user(CONTROLLER)?,
        system: user("system")?,
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
        seeds,
    })
}
