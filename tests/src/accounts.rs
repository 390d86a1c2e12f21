//! A mesh whose roles are kept apart by accounts of the server: controllers in one, each agent, publisher and person in
//! another, which imports what it may use and nothing else.

use std::fmt::Write as _;

use baton_jetstream::{Mesh, Target};
use baton_testkit::TestServer;

/// The account of the mesh, in which only controllers are.
pub const MESH: &str = "MESH";
/// The agents of the layout.
pub const AGENTS: [&str; 2] = ["research", "code"];
/// The publisher, and the agent that it may ask.
pub const PUBLISHER: (&str, &str) = ("shop", "research");
/// A person who may do all that a person may, and one who may look.
pub const OPERATOR: &str = "ada";
/// See [`OPERATOR`].
pub const VIEWER: &str = "vic";

/// What an account may use of the mesh's.
enum Import {
    Service(String),
    /// A service whose request tells who asks.
    Shared(String),
    /// A service with several messages in its answer.
    Several(String),
    Stream(String),
    /// A service whose subject in the mesh has the account in it, and the subject on which the account sends.
    From(String, String),
}

use Import::{From, Service, Several, Shared, Stream};

fn everybody() -> Vec<Import> {
    vec![Service("$JS.API.INFO".to_owned())]
}

/// What whoever reads the ledger and the routes needs.
fn reader() -> Vec<Import> {
    let mut imports = everybody();
    for stream in [
        "MESH_INTAKE",
        "MESH_LEDGER",
        "KV_MESH_ROUTES",
        "KV_MESH_AGENTS",
        "KV_MESH_CONTROL",
    ] {
        imports.push(Service(format!("$JS.API.STREAM.INFO.{stream}")));
    }
    for subject in [
        "$JS.API.DIRECT.GET.MESH_LEDGER.mesh.ledger.0.*",
        "$JS.API.DIRECT.GET.KV_MESH_ROUTES.$KV.MESH_ROUTES.*",
        "$JS.API.STREAM.MSG.GET.MESH_LEDGER",
        "$JS.API.STREAM.MSG.GET.KV_MESH_ROUTES",
    ] {
        imports.push(Service(subject.to_owned()));
    }
    imports.push(Several("$JS.API.DIRECT.GET.MESH_LEDGER".to_owned()));
    imports.push(Several("$JS.API.DIRECT.GET.KV_MESH_ROUTES".to_owned()));
    imports.push(Stream("mesh.route.*".to_owned()));
    imports.push(Stream("mesh.load".to_owned()));
    imports
}

fn agent(name: &str) -> Vec<Import> {
    let stream = format!("MESH_WORK_{name}");
    let mut imports = reader();
    for subject in [
        format!("$JS.API.STREAM.INFO.{stream}"),
        format!("$JS.API.CONSUMER.INFO.{stream}.*"),
        format!("$JS.ACK.{stream}.>"),
        format!("$JS.ACK.*.*.{stream}.>"),
        "mesh.ledger.0.*".to_owned(),
        "mesh.work.*.*.*".to_owned(),
        "mesh.control.archive.find".to_owned(),
    ] {
        imports.push(Service(subject));
    }
    imports.push(Several(format!("$JS.API.CONSUMER.MSG.NEXT.{stream}.*")));
    imports.push(Stream(format!("$JS.EVENT.ADVISORY.CONSUMER.DELETED.{stream}.*")));
    imports.push(Stream(format!("$JS.EVENT.ADVISORY.STREAM.DELETED.{stream}")));
    imports
}

fn person(may_change: bool) -> Vec<Import> {
    let mut imports = reader();
    imports.push(Service("$JS.API.STREAM.INFO.MESH_ARCHIVE".to_owned()));
    imports.push(Several("$JS.API.DIRECT.GET.MESH_ARCHIVE".to_owned()));
    imports.push(Service(
        "$JS.API.DIRECT.GET.KV_MESH_CONTROL.$KV.MESH_CONTROL.leader".to_owned(),
    ));
    for name in AGENTS {
        imports.push(Service(format!("$JS.API.STREAM.INFO.MESH_WORK_{name}")));
    }
    imports.push(Stream("mesh.event.*".to_owned()));
    imports.push(Stream("mesh.alarm".to_owned()));
    imports.push(Shared("mesh.control.*".to_owned()));
    if may_change {
        imports.push(Shared("mesh.control.*.*".to_owned()));
    } else {
        for verb in ["rollout.status", "rollout.history", "archive.status", "archive.list"] {
            imports.push(Shared(format!("mesh.control.{verb}")));
        }
    }
    imports
}

/// Every account but that of the mesh: its name, its user, what it imports.
fn accounts() -> Vec<(String, String, Vec<Import>)> {
    let mut accounts: Vec<(String, String, Vec<Import>)> = AGENTS
        .iter()
        .map(|name| ((*name).to_owned(), (*name).to_owned(), agent(name)))
        .collect();
    let (publisher, asks) = PUBLISHER;
    let account = publisher.to_owned();
    let mut imports = everybody();
    imports.push(From(
        format!("mesh.from.{account}.intent.{asks}"),
        format!("mesh.intent.{asks}"),
    ));
    imports.push(Stream(format!("reply.{account}.>")));
    accounts.push((account, publisher.to_owned(), imports));
    for (name, may_change) in [(OPERATOR, true), (VIEWER, false)] {
        accounts.push((name.to_owned(), name.to_owned(), person(may_change)));
    }
    accounts
}

/// The `accounts` of a server's configuration. Passwords are the names of the users.
pub fn layout() -> String {
    let accounts = accounts();
    let mut exports: Vec<(String, Vec<String>)> = Vec::new();
    let mut text = String::new();
    for (account, user, imports) in &accounts {
        writeln!(
            text,
            "  \"{account}\": {{\n    users: [\n      {{user: \"{user}\", password: \"{user}\"}}\n    ]"
        )
        .ok();
        if let Some(agent) = AGENTS.iter().find(|agent| *agent == account) {
            writeln!(
                text,
                "    exports: [\n      {{service: \"mesh.agent.{agent}.*.*\", accounts: [\"{MESH}\"]}}\n      \
                 {{service: \"mesh.replay.{agent}.*\", accounts: [\"{MESH}\"]}}\n      \
                 {{service: \"$SRV.>\", response_type: stream, accounts: [\"{MESH}\"]}}\n      \
                 {{stream: \"mesh.heartbeat.{agent}.*.*\", accounts: [\"{MESH}\"]}}\n    ]"
            )
            .ok();
        }
        writeln!(text, "    imports: [").ok();
        for import in imports {
            let (kind, subject, more) = match import {
                Service(subject) | Several(subject) => ("service", subject, String::new()),
                Shared(subject) => ("service", subject, ", share: true".to_owned()),
                Stream(subject) => ("stream", subject, String::new()),
                From(subject, to) => ("service", subject, format!(", to: \"{to}\"")),
            };
            writeln!(
                text,
                "      {{{kind}: {{account: \"{MESH}\", subject: \"{subject}\"}}{more}}}"
            )
            .ok();
            let export = match import {
                Service(_) | Shared(_) => format!("service: \"{subject}\""),
                Several(_) => format!("service: \"{subject}\", response_type: stream, response_threshold: \"2m\""),
                Stream(_) => format!("stream: \"{subject}\""),
                From(..) => "service: \"mesh.from.*.intent.*\", account_token_position: 3".to_owned(),
            };
            match exports.iter_mut().find(|(there, _)| *there == export) {
                Some((_, who)) => who.push(account.clone()),
                None => exports.push((export, vec![account.clone()])),
            }
        }
        writeln!(text, "    ]\n  }}").ok();
    }
    let mut mesh = format!(
        "accounts {{\n  \"{MESH}\": {{\n    jetstream: enabled\n    users: [\n      {{user: \"controller\", password: \
         \"controller\"}}\n    ]\n    exports: [\n"
    );
    for (export, who) in &exports {
        let who: Vec<String> = who.iter().map(|account| format!("\"{account}\"")).collect();
        // An export with the account in its subject is checked by that.
        let who = match export.contains("account_token_position") {
            true => String::new(),
            false => format!(", accounts: [{}]", who.join(", ")),
        };
        writeln!(mesh, "      {{{export}{who}}}").ok();
    }
    mesh.push_str("    ]\n    imports: [\n");
    for name in AGENTS {
        for (kind, subject) in [
            ("service", format!("mesh.agent.{name}.*.*")),
            ("service", format!("mesh.replay.{name}.*")),
            ("service", "$SRV.>".to_owned()),
            ("stream", format!("mesh.heartbeat.{name}.*.*")),
        ] {
            writeln!(
                mesh,
                "      {{{kind}: {{account: \"{name}\", subject: \"{subject}\"}}}}"
            )
            .ok();
        }
    }
    format!(
        "{mesh}    ]\n  }}\n{text}  \"SYS\": {{\n    users: [\n      {{user: \"sys\", password: \"sys\"}}\n    ]\n  }}\n}}\n\
         system_account: \"SYS\"\n"
    )
}

/// Connects as one of the users.
pub async fn connect_as(server: &TestServer, user: &str) -> Mesh {
    let target = target(server, user);
    target.connect().await.unwrap_or_else(|error| panic!("{user}: {error}"))
}

/// How one of the users connects.
pub fn target(server: &TestServer, user: &str) -> Target {
    Target {
        user: Some(user.to_owned()),
        password: Some(user.to_owned()),
        ..Target::at(server.url())
    }
}
