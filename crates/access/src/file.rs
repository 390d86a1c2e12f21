//! The file that people write: agents, publishers and people, and what the server needs besides.

use std::collections::BTreeMap;

use baton_envelope::{AccountName, AgentName, CapabilityName, ChannelName, Namespace, SpaceName};
use serde::{Deserialize, Serialize};

use crate::error::AccessError;
use crate::login::{Login, PasswordHash, UserKey};
use crate::role::Role;
use crate::server::ServerEntry;
use crate::size::Size;

/// The whole file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Access {
    /// The mesh.
    pub mesh: MeshEntry,
    /// The server.
    pub server: ServerEntry,
    /// What the mesh may take of the server.
    pub limits: Limits,
    /// Where the files are that are made from this one.
    pub files: Files,
    /// How controllers log in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub controller: Option<UserEntry>,
    /// How the user of the system account logs in, who has the server read its configuration again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub system: Option<UserEntry>,
    /// The agents, by name.
    pub agents: BTreeMap<AgentName, AgentEntry>,
    /// The publishers, by name.
    pub publishers: BTreeMap<AccountName, PublisherEntry>,
    /// The people, by name.
    pub people: BTreeMap<AccountName, PersonEntry>,
}

/// `[mesh]`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MeshEntry {
    /// The prefix of everything that the mesh owns on the server.
    pub namespace: Namespace,
}

/// `[limits]`: of the account of the controllers, which owns every stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Disk.
    pub file: Size,
    /// Memory.
    pub memory: Size,
    /// How many streams: nine, and one for each agent.
    pub streams: u32,
    /// How many consumers: one for each band of each version, and a few for each controller.
    pub consumers: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            file: Size(10 << 30),
            memory: Size(256 << 20),
            streams: 1_000,
            consumers: 10_000,
        }
    }
}

/// `[files]`: relative to the folder of this file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Files {
    /// The configuration of nats-server.
    pub config: String,
    /// The folder of the credentials.
    pub credentials: String,
}

impl Default for Files {
    fn default() -> Self {
        Self {
            config: "nats-server.conf".to_owned(),
            credentials: "credentials".to_owned(),
        }
    }
}

macro_rules! entry {
    ($(#[$meta:meta])* $name:ident { $($(#[$field_meta:meta])* $field:ident: $type:ty,)* }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(deny_unknown_fields)]
        pub struct $name {
            $($(#[$field_meta])* pub $field: $type,)*
            /// Its public key.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            pub key: Option<UserKey>,
            /// The public key before that, which is good until it is dropped.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            pub old_key: Option<UserKey>,
            /// The hash of its password, in place of a key.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            pub password: Option<PasswordHash>,
        }

        impl $name {
            /// How it logs in; `None` where that is not said, or said twice.
            pub fn login(&self) -> Option<Login> {
                match (&self.key, &self.password) {
                    (Some(key), None) => {
                        Some(Login::Keys([key].into_iter().chain(&self.old_key).cloned().collect()))
                    }
                    (None, Some(hash)) if self.old_key.is_none() => Some(Login::Password(hash.clone())),
                    _ => None,
                }
            }
        }
    };
}

entry! {
    /// `[controller]`, `[system]`.
    UserEntry {}
}
entry! {
    /// `[agents.NAME]`: all workers of an agent, of any version.
    AgentEntry {
        /// The spaces that it may write memories to, beside that of its own name.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        spaces: Vec<SpaceName>,
    }
}
entry! {
    /// `[publishers.NAME]`: a program that asks for work and knows nothing of Baton.
    PublisherEntry {
        /// The agents that it may ask.
        may: Vec<AgentName>,
        /// The capabilities that it may ask for: whichever agent declares one gets the work.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        capabilities: Vec<CapabilityName>,
        /// The channels that it may publish on.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        channels: Vec<ChannelName>,
    }
}
entry! {
    /// `[people.NAME]`.
    PersonEntry {
        /// What this person may do.
        role: Role,
    }
}

impl Access {
    /// Reads the file. What it says is not judged here: see [`problems`](crate::problems).
    ///
    /// # Errors
    /// When it is no TOML, has an unknown key, or a value that cannot be one. A message names the key and never repeats a secret.
    pub fn parse(text: &str) -> Result<Self, AccessError> {
        let deserializer = toml::Deserializer::parse(text).map_err(|error| unreadable(text, &error))?;
        serde_path_to_error::deserialize(deserializer).map_err(|error| {
            let place = error.path().to_string();
            let problem = error.inner().message().trim().to_owned();
            let place = if place == "." {
                "the file".to_owned()
            } else {
                format!("`{place}`")
            };
            AccessError::Invalid { place, problem }
        })
    }

    /// Whoever has this name: `agent`, `publisher`, `person`, or the user of Baton that it is kept for.
    pub fn holder(&self, name: &str) -> Option<&'static str> {
        if name == CONTROLLER {
            Some("the user of the controllers")
        } else if name == SYSTEM {
            Some("the user of the system account")
        } else if self.agents.keys().any(|agent| agent.as_str() == name) {
            Some("an agent")
        } else if self.publishers.keys().any(|publisher| publisher.as_str() == name) {
            Some("a publisher")
        } else if self.people.keys().any(|person| person.as_str() == name) {
            Some("a person")
        } else {
            None
        }
    }

    /// Every user with the way it logs in, where that is said: controllers, system, agents, publishers, people.
    pub fn logins(&self) -> Vec<(String, Option<Login>)> {
        let of = |entry: &Option<UserEntry>| entry.as_ref().and_then(UserEntry::login);
        let mut found = vec![
            (CONTROLLER.to_owned(), of(&self.controller)),
            (SYSTEM.to_owned(), of(&self.system)),
        ];
        found.extend(
            self.agents
                .iter()
                .map(|(name, entry)| (name.to_string(), entry.login())),
        );
        found.extend(
            self.publishers
                .iter()
                .map(|(name, entry)| (name.to_string(), entry.login())),
        );
        found.extend(
            self.people
                .iter()
                .map(|(name, entry)| (name.to_string(), entry.login())),
        );
        found
    }
}

/// The user of the controllers.
pub(crate) const CONTROLLER: &str = "controller";
/// The user of the system account.
pub(crate) const SYSTEM: &str = "system";

/// The line of an error, without the text of the line: it may hold a secret.
fn unreadable(text: &str, error: &toml::de::Error) -> AccessError {
    let line = error.span().map_or(1, |span| {
        let before = text.get(..span.start).unwrap_or(text);
        before.matches('\n').count() + 1
    });
    AccessError::Invalid {
        place: format!("line {line}"),
        problem: error.message().trim().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_unknown_or_wrong_is_refused_by_name() {
        for (text, named) in [
            ("[agents.\"a.b\"]", "agent name \"a.b\""),
            ("[agent.research]", "agent"),
            ("[people.ada]\nrole = \"boss\"", "viewer, approver, operator, admin"),
            ("[people.Ada]\nrole = \"admin\"", "account name \"Ada\""),
            ("[publishers.shop]\nmay = [\"*\"]", "agent name \"*\""),
            ("[publishers.shop]", "may"),
            (
                "[publishers.shop]\nmay = []\ncapabilities = [\"*\"]",
                "capability \"*\"",
            ),
            ("[limits]\nfile = \"big\"", "`limits.file`"),
            ("[mesh]\nnamespace = \"a b\"", "namespace"),
            ("[server]\nlisten = 1", "`server.listen`"),
            ("[agents.a]\nkey = \"U1\"", "`agents.a.key`"),
            ("\n[agents", "line 2"),
        ] {
            let told = Access::parse(text).expect_err(text).to_string();
            assert!(told.contains(named), "{text}: {told}");
        }
    }

    #[test]
    fn a_message_does_not_repeat_what_may_be_a_secret() {
        for text in [
            "[agents.a]\npassword = \"hunter2\"",
            "[agents.a]\npassword = \"hunter2",
            "[agents.a]\nkey = \"SUhunter2\"",
        ] {
            let told = Access::parse(text).expect_err(text).to_string();
            assert!(!told.contains("hunter2"), "{told}");
        }
    }

    #[test]
    fn a_login_is_a_key_or_a_password() {
        let entry = |text: &str| Access::parse(&format!("[agents.a]\n{text}")).expect(text).agents;
        let hash = format!("$2a$11${}", "a".repeat(53));
        let login = |text: &str| entry(text).into_values().next().expect("one").login();
        assert_eq!(login(""), None);
        assert!(matches!(
            login(&format!("password = \"{hash}\"")),
            Some(Login::Password(_))
        ));
    }
}
