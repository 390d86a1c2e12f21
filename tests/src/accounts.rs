//! A mesh whose roles are kept apart by accounts of the server, as `baton access` makes them. Each user has its own name for a
//! password.

use baton_access::{Access, render};
use baton_jetstream::{Mesh, Target};
use baton_testkit::TestServer;

/// A person who may do all that an operator may.
pub const OPERATOR: &str = "ada";
/// A person who may look.
pub const VIEWER: &str = "vic";

/// Two agents, a publisher that may ask one of them, ask for a capability and publish on a channel, and people. Each name in capitals stands for the hash of that password.
const FILE: &str = r#"
[controller]
password = "CONTROLLER"
[system]
password = "SYSTEM"
[agents.research]
password = "RESEARCH"
[agents.code]
password = "CODE"
[publishers.shop]
may = ["research"]
capabilities = ["tests"]
channels = ["news"]
password = "SHOP"
[people.vic]
role = "viewer"
password = "VIC"
[people.bea]
role = "approver"
password = "BEA"
[people.ada]
role = "operator"
password = "ADA"
[people.max]
role = "admin"
password = "MAX"
"#;

/// The cheapest hash that the server reads: these passwords keep nobody out.
const COST: u32 = 4;

/// The `accounts` of a server's configuration, and what comes after them.
///
/// # Panics
/// When the file of these tests cannot be read.
#[must_use]
pub fn layout() -> String {
    let rendered = render(&access());
    let (_, accounts) = rendered.split_once("accounts {").expect("accounts");
    format!("accounts {{{accounts}")
}

/// The file that the accounts are made from.
///
/// # Panics
/// When it cannot be read.
#[must_use]
pub fn access() -> Access {
    let mut text = FILE.to_owned();
    for user in [
        "controller",
        "system",
        "research",
        "code",
        "shop",
        "vic",
        "bea",
        "ada",
        "max",
    ] {
        let hash = bcrypt::hash(user, COST).expect("a hash");
        text = text.replace(&format!("\"{}\"", user.to_uppercase()), &format!("\"{hash}\""));
    }
    Access::parse(&text).expect("the file of these tests")
}

/// Connects as one of the users.
///
/// # Panics
/// When the server does not let it in.
pub async fn connect_as(server: &TestServer, user: &str) -> Mesh {
    let target = target(server, user);
    target.connect().await.unwrap_or_else(|error| panic!("{user}: {error}"))
}

/// How one of the users connects.
#[must_use]
pub fn target(server: &TestServer, user: &str) -> Target {
    Target {
        user: Some(user.to_owned()),
        password: Some(user.to_owned()),
        inbox_prefix: Some(format!("_INBOX_{user}")),
        ..Target::at(server.url())
    }
}
