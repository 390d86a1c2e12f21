//! The model: accounts, what each exports to whom, what each imports from whom, and its users.
//!
//! Controllers have an account of their own, the only one with JetStream. So has each agent, each publisher and each person,
//! and an account imports exactly what its owner needs. An answer that somebody redirects stays in the account of whoever
//! asked: that is what accounts give, and permissions alone do not.
//!
//! Imports have wildcards wherever these give nothing too much, because an answer can be redirected into what an account
//! imports by its full name (`docs/design/030-accounts.md`).

mod agent;
mod names;
mod person;
mod publisher;

use std::collections::BTreeMap;

use crate::file::{Access, CONTROLLER, SYSTEM};
use crate::login::Login;
use crate::role::{Right, Role};
use crate::size::Size;
use names::Names;

/// What an account has to say in which direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Messages that go one way.
    Stream,
    /// Questions that are answered.
    Service(Answers),
}

/// How many answers a question has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answers {
    /// One.
    One,
    /// Any number.
    Many,
}

/// What an account lets others import.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Export {
    /// The subject.
    pub subject: String,
    /// Which way messages go.
    pub kind: Kind,
    /// The accounts that may import it, and no others.
    pub to: Vec<String>,
}

/// What an account takes from another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Import {
    /// The other account.
    pub from: String,
    /// The subject there.
    pub subject: String,
    /// Which way messages go.
    pub kind: Kind,
    /// The subject here, where it is another.
    pub local: Option<String>,
    /// Whether whoever answers is told who asked.
    pub share: bool,
    /// What it is for.
    pub right: Right,
}

/// A user of an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// Its name.
    pub name: String,
    /// How it logs in.
    pub login: Login,
    /// What it may listen to; `None` for everything in its account.
    pub hears: Option<Vec<String>>,
}

/// Whose account it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owner {
    /// The controllers'.
    Controllers,
    /// An agent's.
    Agent,
    /// A publisher's.
    Publisher,
    /// A person's.
    Person(Role),
    /// The server's own.
    System,
}

/// An account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// Its name. It stands in the subjects of what was submitted from here, so it is also the name of its owner.
    pub name: String,
    /// Whose it is.
    pub owner: Owner,
    /// What it may store; `None` for nothing.
    pub stores: Option<crate::file::Limits>,
    /// Its users.
    pub users: Vec<User>,
    /// What it exports.
    pub exports: Vec<Export>,
    /// What it imports.
    pub imports: Vec<Import>,
}

/// All accounts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    /// The accounts: that of the controllers first, then agents, publishers, people, and the server's own.
    pub accounts: Vec<Account>,
}

/// What one account may do with another: an export there and an import here.
#[derive(Debug, Clone)]
struct Grant {
    subject: String,
    kind: Kind,
    local: Option<String>,
    share: bool,
    right: Right,
}

impl Grant {
    fn stream(right: Right, subject: String) -> Self {
        Self::new(right, Kind::Stream, subject)
    }

    fn asks(right: Right, subject: String) -> Self {
        Self::new(right, Kind::Service(Answers::One), subject)
    }

    fn asks_for_many(right: Right, subject: String) -> Self {
        Self::new(right, Kind::Service(Answers::Many), subject)
    }

    fn new(right: Right, kind: Kind, subject: String) -> Self {
        Self {
            subject,
            kind,
            local: None,
            share: false,
            right,
        }
    }

    /// Under another subject here.
    fn under(mut self, local: String) -> Self {
        self.local = Some(local);
        self
    }

    /// Whoever answers is told who asked.
    fn named(mut self) -> Self {
        self.share = true;
        self
    }
}

impl Layout {
    /// The accounts of a mesh. Users whose login is not said are left out: [`problems`](crate::problems) tells of them.
    pub fn of(access: &Access) -> Self {
        let names = Names::new(&access.mesh.namespace);
        let mut plan = Plan::default();
        let mesh = names.account();
        plan.open(&mesh, Owner::Controllers, Some(access.limits.clone()));
        for (agent, entry) in &access.agents {
            plan.open(agent.as_str(), Owner::Agent, None);
            agent::grant(&mut plan, &names, (agent, &entry.spaces));
        }
        for (publisher, entry) in &access.publishers {
            plan.open(publisher.as_str(), Owner::Publisher, None);
            publisher::grant(&mut plan, &names, publisher, entry);
        }
        for (person, entry) in &access.people {
            plan.open(person.as_str(), Owner::Person(entry.role), None);
            person::grant(&mut plan, &names, person, entry.role);
        }
        plan.open(SYSTEM_ACCOUNT, Owner::System, None);
        for (user, login) in access.logins() {
            let account = match user.as_str() {
                CONTROLLER => mesh.as_str(),
                SYSTEM => SYSTEM_ACCOUNT,
                own => own,
            };
            if let Some(login) = login {
                plan.user(account, &user, login);
            }
        }
        plan.close()
    }
}

/// The server's own account.
pub(crate) const SYSTEM_ACCOUNT: &str = "SYS";

/// Accounts as they are put together.
#[derive(Debug, Default)]
struct Plan {
    accounts: Vec<Account>,
    places: BTreeMap<String, usize>,
}

impl Plan {
    fn open(&mut self, name: &str, owner: Owner, stores: Option<crate::file::Limits>) {
        self.places.insert(name.to_owned(), self.accounts.len());
        self.accounts.push(Account {
            name: name.to_owned(),
            owner,
            stores,
            users: Vec::new(),
            exports: Vec::new(),
            imports: Vec::new(),
        });
    }

    fn account(&mut self, name: &str) -> Option<&mut Account> {
        let place = *self.places.get(name)?;
        self.accounts.get_mut(place)
    }

    /// Lets `to` import from `from`.
    fn grant(&mut self, from: &str, to: &str, grant: Grant) {
        if let Some(exporter) = self.account(from) {
            let there = exporter.exports.iter_mut().find(|one| one.subject == grant.subject);
            match there {
                Some(export) => export.to.push(to.to_owned()),
                None => exporter.exports.push(Export {
                    subject: grant.subject.clone(),
                    kind: grant.kind,
                    to: vec![to.to_owned()],
                }),
            }
        }
        if let Some(importer) = self.account(to) {
            importer.imports.push(Import {
                from: from.to_owned(),
                subject: grant.subject,
                kind: grant.kind,
                local: grant.local,
                share: grant.share,
                right: grant.right,
            });
        }
    }

    fn user(&mut self, account: &str, name: &str, login: Login) {
        if let Some(account) = self.account(account) {
            let hears = account.hears(name);
            account.users.push(User {
                name: name.to_owned(),
                login,
                hears,
            });
        }
    }

    fn close(self) -> Layout {
        Layout {
            accounts: self.accounts,
        }
    }
}

impl Account {
    /// What a user may listen to: its own answers, what it imports to hear, and what it exports to answer. Controllers and the
    /// system's user hear all of their account.
    fn hears(&self, user: &str) -> Option<Vec<String>> {
        match self.owner {
            Owner::Controllers | Owner::System => return None,
            Owner::Agent | Owner::Publisher | Owner::Person(_) => {}
        }
        let mut hears = vec![format!("{}.>", inbox_prefix(user))];
        let streams = self.imports.iter().filter(|one| one.kind == Kind::Stream);
        let services = self.exports.iter().filter(|one| one.kind != Kind::Stream);
        let subjects = streams
            .map(|import| import.local.as_ref().unwrap_or(&import.subject))
            .chain(services.map(|export| &export.subject));
        for subject in subjects {
            if !hears.contains(subject) {
                hears.push(subject.clone());
            }
        }
        Some(hears)
    }
}

/// What the subjects of a user's answers begin with.
pub(crate) fn inbox_prefix(user: &str) -> String {
    format!("_INBOX_{user}")
}

/// The sizes that a server must have for these accounts: disk and memory.
impl Layout {
    /// Disk and memory that the accounts may take together.
    pub(crate) fn stored(&self) -> (Size, Size) {
        let limits = || self.accounts.iter().filter_map(|account| account.stores.as_ref());
        let sum = |of: fn(&crate::file::Limits) -> u64| limits().map(of).fold(0, u64::saturating_add);
        (Size(sum(|limits| limits.file.0)), Size(sum(|limits| limits.memory.0)))
    }
}

#[cfg(test)]
mod tests;
