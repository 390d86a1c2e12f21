//! What a file may not say, beyond what its form already forbids.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use crate::file::{Access, CONTROLLER, SYSTEM};
use crate::layout::SYSTEM_ACCOUNT;
use crate::login::Login;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// It works, and is probably not meant.
    Warning,
    /// Nothing can be made of the file.
    Problem,
}

/// Something about the file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// How bad it is.
    pub level: Level,
    /// The key.
    pub place: String,
    /// What is wrong.
    pub problem: String,
    /// What to do.
    pub fix: String,
}

/// Everything that is wrong with the file.
pub fn problems(access: &Access) -> Vec<Problem> {
    let mut found = Vec::new();
    names(access, &mut found);
    logins(access, &mut found);
    publishers(access, &mut found);
    server(access, &mut found);
    found
}

fn problem(place: impl Into<String>, problem: impl Into<String>, fix: impl Into<String>) -> Problem {
    Problem {
        level: Level::Problem,
        place: place.into(),
        problem: problem.into(),
        fix: fix.into(),
    }
}

fn warning(place: impl Into<String>, found: impl Into<String>, fix: impl Into<String>) -> Problem {
    Problem {
        level: Level::Warning,
        ..problem(place, found, fix)
    }
}

/// Every account by the name of its section. A name stands for one account, because it becomes the author of what is
/// submitted from there.
fn sections(access: &Access) -> Vec<(&'static str, String)> {
    let mut found = Vec::new();
    found.extend(access.agents.keys().map(|name| ("agents", name.to_string())));
    found.extend(access.publishers.keys().map(|name| ("publishers", name.to_string())));
    found.extend(access.people.keys().map(|name| ("people", name.to_string())));
    found
}

fn names(access: &Access, found: &mut Vec<Problem>) {
    let mut by_name: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for (section, name) in sections(access) {
        by_name.entry(name).or_default().push(section);
    }
    for (name, sections) in by_name {
        let place = || {
            sections
                .iter()
                .map(|section| format!("{section}.{name}"))
                .collect::<Vec<_>>()
                .join(", ")
        };
        if sections.len() > 1 {
            let told = format!(
                "\"{name}\" is {} accounts: the name is the author of what it submits",
                sections.len()
            );
            found.push(problem(place(), told, "give each another name"));
        }
        if [CONTROLLER, SYSTEM].contains(&name.as_str()) {
            let told = format!("\"{name}\" is the name of a user of Baton's own");
            found.push(problem(place(), told, "take another name"));
        }
    }
    let namespace = access.mesh.namespace.as_str();
    if namespace.to_ascii_uppercase() == SYSTEM_ACCOUNT {
        let told = format!("the account of the mesh would be {SYSTEM_ACCOUNT}, which is the server's own");
        found.push(problem("mesh.namespace", told, "take another namespace"));
    }
    // Two accounts could only meet in capitals where a name has no letters.
    if access.holder(&namespace.to_ascii_uppercase()).is_some() {
        let told = format!("the account of the mesh would be {namespace}, which somebody has");
        found.push(problem("mesh.namespace", told, "take another namespace"));
    }
}

fn logins(access: &Access, found: &mut Vec<Problem>) {
    let mut keys: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (name, login) in access.logins() {
        match login {
            None => found.push(problem(
                name.clone(),
                "has neither a key nor a password, or both",
                format!("`baton access rotate {name}` makes a new one"),
            )),
            Some(Login::Keys(its)) => {
                for key in its {
                    keys.entry(key.to_string()).or_default().push(name.clone());
                }
            }
            Some(Login::Password(_)) => {}
        }
    }
    for (key, users) in keys.into_iter().filter(|(_, users)| users.len() > 1) {
        let told = format!(
            "the key {key} is that of {}: the server lets it in as one of them",
            users.join(" and ")
        );
        found.push(problem(
            users.join(", "),
            told,
            "`baton access rotate NAME` makes a key of its own",
        ));
    }
}

fn publishers(access: &Access, found: &mut Vec<Problem>) {
    for (name, publisher) in &access.publishers {
        let place = format!("publishers.{name}.may");
        if publisher.may.is_empty() && publisher.capabilities.is_empty() && publisher.channels.is_empty() {
            found.push(warning(
                &place,
                "is empty: this publisher may ask nobody",
                "name the agents that it may ask, in `capabilities` what it may ask whichever agent for, or in `channels` \
                 the channels that it may publish on",
            ));
        }
        twice(found, &place, "agent", &publisher.may);
        let place_of = |list: &str| format!("publishers.{name}.{list}");
        twice(found, &place_of("capabilities"), "capability", &publisher.capabilities);
        twice(found, &place_of("channels"), "channel", &publisher.channels);
        for agent in &publisher.may {
            if !access.agents.contains_key(agent) {
                let known: Vec<&str> = access.agents.keys().map(|agent| agent.as_str()).collect();
                let known = if known.is_empty() {
                    "none".to_owned()
                } else {
                    known.join(", ")
                };
                let told = format!("names the agent \"{agent}\", which is not in [agents] (known: {known})");
                found.push(problem(
                    &place,
                    told,
                    format!("`baton access add agent {agent}`, or take it out of the list"),
                ));
            }
        }
    }
}

/// What a list names again: the server refuses to start with an import that stands there twice.
fn twice<T: PartialEq + fmt::Display>(found: &mut Vec<Problem>, place: &str, what: &str, names: &[T]) {
    for (at, name) in names.iter().enumerate() {
        if names.iter().take(at).any(|before| before == name) {
            let told = format!("names the {what} \"{name}\" twice");
            found.push(problem(place, told, "take one out"));
        }
    }
}

fn server(access: &Access, found: &mut Vec<Problem>) {
    let server = &access.server;
    let tls = server.tls.as_ref();
    let mut texts = vec![
        ("server.name", &server.name),
        ("server.listen", &server.listen),
        ("server.url", &server.url),
        ("server.http", &server.http),
        ("server.store_dir", &server.store_dir),
        ("server.pid_file", &server.pid_file),
        ("server.sync_interval", &server.sync_interval),
    ];
    if let Some(tls) = tls {
        texts.extend([
            ("server.tls.cert", &tls.cert),
            ("server.tls.key", &tls.key),
            ("server.tls.ca", &tls.ca),
            ("server.tls.client_cert", &tls.client_cert),
            ("server.tls.client_key", &tls.client_key),
        ]);
        for (place, value) in [("server.tls.cert", &tls.cert), ("server.tls.key", &tls.key)] {
            if value.is_empty() {
                found.push(problem(place, "is missing", "name the file"));
            }
        }
        if tls.verify && tls.ca.is_empty() {
            let fix = "name the authorities that sign the certificates of clients";
            found.push(problem("server.tls.ca", "is missing, and `verify` needs it", fix));
        }
    }
    for (place, value) in texts {
        if value.chars().any(char::is_control) {
            found.push(problem(place, "contains a control character", "take it out"));
        }
    }
    if server.url.contains('@') {
        found.push(problem(
            "server.url",
            "contains a user: it is written into the files of all users",
            "take out what stands before the @",
        ));
    }
    if !server.is_local() && tls.is_none() {
        let told = format!("{} can be reached from elsewhere, and there is no TLS", server.listen);
        found.push(warning(
            "server.listen",
            told,
            "add [server.tls], or listen on 127.0.0.1",
        ));
    }
}
