//! Changes to the file that keep its comments and its order.

use baton_envelope::{AccountName, AgentName, CapabilityName, ChannelName, SpaceName};
use toml_edit::{Array, DocumentMut, Item, Table, value};

use crate::error::AccessError;
use crate::file::{Access, CONTROLLER, SYSTEM};
use crate::login::UserKey;
use crate::role::Role;
use crate::secret::Secret;

/// Who is added.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Member {
    /// An agent, with the spaces that it may write to beside its own.
    Agent(AgentName, Vec<SpaceName>),
    /// A publisher, with what it may do.
    Publisher(AccountName, Scope),
    /// A person, with a role.
    Person(AccountName, Role),
}

/// What a publisher may ask for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Scope {
    /// The agents that it may ask.
    pub may: Vec<AgentName>,
    /// The capabilities that it may ask for.
    pub capabilities: Vec<CapabilityName>,
    /// The channels that it may publish on.
    pub channels: Vec<ChannelName>,
}

/// What becomes of the key that is there.
#[derive(Debug, Clone)]
pub enum Rotation {
    /// A new secret takes its place.
    Replace(Secret),
    /// A new key comes beside it, and both are good.
    Beside(Secret),
    /// Only the newest key is good from now on.
    DropOld,
}

impl Member {
    /// Its name.
    pub fn name(&self) -> &str {
        match self {
            Self::Agent(name, _) => name.as_str(),
            Self::Publisher(name, _) | Self::Person(name, _) => name.as_str(),
        }
    }

    /// The kind of account, in a word.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Agent(..) => "agent",
            Self::Publisher(..) => "publisher",
            Self::Person(..) => "person",
        }
    }

    fn section(&self) -> &'static str {
        match self {
            Self::Agent(..) => "agents",
            Self::Publisher(..) => "publishers",
            Self::Person(..) => "people",
        }
    }
}

/// Adds an account with its secret; gives the new text.
///
/// # Errors
/// When the text cannot be read, or the name is taken.
pub fn add(text: &str, member: &Member, secret: &Secret) -> Result<String, AccessError> {
    let (access, mut document) = read(text)?;
    if let Some(what) = access.holder(member.name()) {
        return Err(AccessError::Taken {
            name: member.name().to_owned(),
            what,
        });
    }
    let mut entry = Table::new();
    match member {
        Member::Agent(_, spaces) if spaces.is_empty() => {}
        Member::Agent(_, spaces) => {
            let spaces: Array = spaces.iter().map(SpaceName::as_str).collect();
            entry.insert("spaces", value(spaces));
        }
        Member::Publisher(_, scope) => {
            let may: Array = scope.may.iter().map(AgentName::as_str).collect();
            entry.insert("may", value(may));
            let capabilities: Array = scope.capabilities.iter().map(CapabilityName::as_str).collect();
            let channels: Array = scope.channels.iter().map(ChannelName::as_str).collect();
            for (name, list) in [("capabilities", capabilities), ("channels", channels)] {
                if !list.is_empty() {
                    entry.insert(name, value(list));
                }
            }
        }
        Member::Person(_, role) => {
            entry.insert("role", value(role.name()));
        }
    }
    log_in(&mut entry, secret);
    let section = document
        .entry(member.section())
        .or_insert_with(|| {
            let mut section = Table::new();
            section.set_implicit(true);
            Item::Table(section)
        })
        .as_table_mut();
    let section = section.ok_or_else(|| odd(member.section()))?;
    section.insert(member.name(), Item::Table(entry));
    checked(&document)
}

/// Takes an account out; gives the new text.
///
/// # Errors
/// When the text cannot be read, nobody has the name, or a publisher may ask the agent that has it.
pub fn remove(text: &str, name: &str) -> Result<String, AccessError> {
    let (access, mut document) = read(text)?;
    let asked_by: Vec<String> = access
        .publishers
        .iter()
        .filter(|(_, publisher)| publisher.may.iter().any(|agent| agent.as_str() == name))
        .map(|(publisher, _)| publisher.to_string())
        .collect();
    let section = section_of(&access, name).ok_or_else(|| unknown(&access, name))?;
    if section == "agents" && !asked_by.is_empty() {
        return Err(AccessError::InUse {
            agent: name.to_owned(),
            publishers: asked_by,
        });
    }
    let table = document.get_mut(section).and_then(Item::as_table_mut);
    table.ok_or_else(|| odd(section))?.remove(name);
    checked(&document)
}

/// Changes how a user logs in; gives the new text.
///
/// # Errors
/// When the text cannot be read, nobody has the name, or the change does not fit.
pub fn rotate(text: &str, name: &str, rotation: &Rotation) -> Result<String, AccessError> {
    let (access, mut document) = read(text)?;
    let bad = |problem| AccessError::BadRotation {
        name: name.to_owned(),
        problem,
    };
    let entry = if name == CONTROLLER || name == SYSTEM {
        let entry = document.entry(name).or_insert_with(|| Item::Table(Table::new()));
        entry.as_table_mut().ok_or_else(|| odd(name))?
    } else {
        let section = section_of(&access, name).ok_or_else(|| unknown(&access, name))?;
        let table = document.get_mut(section).and_then(|table| table.get_mut(name));
        table.and_then(Item::as_table_mut).ok_or_else(|| odd(section))?
    };
    let key = entry.get("key").and_then(Item::as_str).map(str::to_owned);
    match rotation {
        Rotation::Replace(secret) => {
            entry.remove("old_key");
            log_in(entry, secret);
        }
        Rotation::Beside(Secret::Password { .. }) => {
            return Err(bad(
                "cannot have two passwords: only keys can be good beside each other",
            ));
        }
        Rotation::Beside(secret @ Secret::Key { .. }) => {
            let key = key.ok_or_else(|| bad("has no key that could stay good: it has a password, or nothing"))?;
            if entry.contains_key("old_key") {
                return Err(bad("has an old key already: drop that one first"));
            }
            log_in(entry, secret);
            entry.insert("old_key", value(key));
        }
        Rotation::DropOld => {
            entry
                .remove("old_key")
                .ok_or_else(|| bad("has no old key that could be dropped"))?;
        }
    }
    checked(&document)
}

fn read(text: &str) -> Result<(Access, DocumentMut), AccessError> {
    let access = Access::parse(text)?;
    let document = text.parse().map_err(|_| odd("the file"))?;
    Ok((access, document))
}

/// The new text, which can be read again.
fn checked(document: &DocumentMut) -> Result<String, AccessError> {
    let text = document.to_string();
    Access::parse(&text)?;
    Ok(text)
}

fn log_in(entry: &mut Table, secret: &Secret) {
    match secret {
        Secret::Key { public, .. } => {
            entry.remove("password");
            entry.insert("key", value(UserKey::as_str(public)));
        }
        Secret::Password { hash, .. } => {
            entry.remove("key");
            entry.insert("password", value(hash.as_str()));
        }
    }
}

fn section_of(access: &Access, name: &str) -> Option<&'static str> {
    if access.agents.keys().any(|agent| agent.as_str() == name) {
        Some("agents")
    } else if access.publishers.keys().any(|publisher| publisher.as_str() == name) {
        Some("publishers")
    } else if access.people.keys().any(|person| person.as_str() == name) {
        Some("people")
    } else {
        None
    }
}

fn unknown(access: &Access, name: &str) -> AccessError {
    AccessError::Unknown {
        name: name.to_owned(),
        known: access.logins().into_iter().map(|(name, _)| name).collect(),
    }
}

/// A part that is written in a way that cannot be changed here, such as an inline table.
fn odd(section: &str) -> AccessError {
    AccessError::Invalid {
        place: format!("`{section}`"),
        problem: "is written in a way that only a person can change: write each account as a section, [agents.NAME]"
            .to_owned(),
    }
}

#[cfg(test)]
mod tests;
