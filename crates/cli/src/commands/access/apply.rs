//! `baton access apply`: the server uses the accounts, and that is seen before this says so.

use std::path::Path;
use std::time::Duration;

use baton_access::{Access, Folder, Next, after, render, write_config};
use baton_embedded::{reload, running_pid};
use baton_envelope::codes;
use baton_jetstream::{Error, Target};
use clap::Args;
use serde::Serialize;
use tokio::time::Instant;

use super::check::ask_server;
use super::sound;
use crate::app::App;
use crate::error::{CliError, Kind};

/// How long a server that gets a signal may take until its accounts are those of the file.
const SETTLES: Duration = Duration::from_secs(3);
const PAUSE: Duration = Duration::from_millis(100);
/// The user that has servers read their configuration.
const SYSTEM: &str = "system";

/// `baton access apply`.
#[derive(Debug, Clone, Args)]
pub(super) struct ApplyArgs {
    /// Signal this process instead of asking the system account.
    #[arg(long, value_name = "PID", conflicts_with = "no_reload")]
    pid: Option<u32>,
    /// Only write and look: somebody else has the server read its configuration.
    #[arg(long)]
    no_reload: bool,
}

/// How the server is told.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Way {
    /// By a user of the system account.
    Account,
    /// By a signal.
    Signal(u32),
    /// Not at all.
    Nobody,
}

#[derive(Debug, Serialize)]
struct Document {
    config: String,
    changed: bool,
    /// How the server was told: `account`, `signal` or `none`.
    reloaded_by: &'static str,
    reloads: u32,
    /// The servers that answered, where they can.
    servers: Vec<String>,
    /// The users that can use what their account imports.
    works: Vec<String>,
    /// The users whose credentials are not here, so that nobody knows.
    not_tried: Vec<String>,
}

/// Applies the accounts. It may be repeated at any time.
pub(super) async fn run(args: &ApplyArgs, folder: &Folder, app: &App) -> Result<(), CliError> {
    let access = sound(folder)?;
    tokio::task::block_in_place(|| ask_server(&access, app.output))?;
    let config = folder.config(&access);
    let changed = write_config(&config, &render(&access))?;
    for (user, _) in access.logins() {
        folder.hand_out_again(&access, &user)?;
    }
    let way = way(args, folder, &access)?;
    let (mine, others): (Vec<String>, Vec<String>) = users(&access)
        .into_iter()
        .partition(|user| folder.context(&access, user).exists());
    let mut document = Document {
        config: config.display().to_string(),
        changed,
        reloaded_by: way.name(),
        reloads: 0,
        servers: Vec::new(),
        works: Vec::new(),
        not_tried: others,
    };
    let settled = settle(&mut document, &way, &mine, folder, &access).await;
    settled.map_err(|error| with_way_on(error, &document))?;
    app.output.show(&document, || text(&document))?;
    if !document.not_tried.is_empty() {
        app.output.note(&format!(
            "not tried, because their credentials are not here: {}",
            document.not_tried.join(", ")
        ));
    }
    Ok(())
}

/// Has the server read its configuration until every account works.
async fn settle(
    document: &mut Document,
    way: &Way,
    mine: &[String],
    folder: &Folder,
    access: &Access,
) -> Result<(), CliError> {
    let credentials = folder.credentials(access);
    loop {
        let told = tell(way, &credentials).await?;
        if *way != Way::Nobody {
            document.reloads += 1;
            document.servers = told;
        }
        let failed = probe(mine, &credentials).await;
        match (after(document.reloads, *way != Way::Nobody, failed.is_none()), failed) {
            (Next::Reload, _) => {}
            (_, Some((user, error))) => return Err(not_applied(way, &user, error, &document.config)),
            (_, None) => {
                document.works = mine.to_vec();
                return Ok(());
            }
        }
    }
}

fn way(args: &ApplyArgs, folder: &Folder, access: &Access) -> Result<Way, CliError> {
    if args.no_reload {
        return Ok(Way::Nobody);
    }
    if let Some(pid) = args.pid {
        return Ok(Way::Signal(pid));
    }
    if folder.context(access, SYSTEM).exists() {
        return Ok(Way::Account);
    }
    let file = &access.server.pid_file;
    let pid = match file.as_str() {
        "" => None,
        file => running_pid(Path::new(file))?,
    };
    Ok(pid.map_or(Way::Nobody, Way::Signal))
}

impl Way {
    fn name(&self) -> &'static str {
        match self {
            Self::Account => "account",
            Self::Signal(_) => "signal",
            Self::Nobody => "none",
        }
    }
}

/// Every user that connects to the mesh.
fn users(access: &Access) -> Vec<String> {
    let users = access.logins().into_iter().map(|(user, _)| user);
    users.filter(|user| user != SYSTEM).collect()
}

async fn tell(way: &Way, credentials: &Path) -> Result<Vec<String>, CliError> {
    match way {
        Way::Account => {
            let servers = as_user(SYSTEM, credentials).reload_servers().await?;
            Ok(servers.into_iter().map(|one| one.server).collect())
        }
        Way::Signal(pid) => {
            reload(*pid)?;
            Ok(Vec::new())
        }
        Way::Nobody => Ok(Vec::new()),
    }
}

/// Whether every user gets an answer to what its account imports; the first that does not, for longer than a server takes.
async fn probe(users: &[String], credentials: &Path) -> Option<(String, Error)> {
    let until = Instant::now() + SETTLES;
    for user in users {
        loop {
            match as_user(user, credentials).probe().await {
                Ok(()) => break,
                Err(error) if Instant::now() >= until => return Some((user.clone(), error)),
                Err(_) => tokio::time::sleep(PAUSE).await,
            }
        }
    }
    None
}

fn as_user(user: &str, credentials: &Path) -> Target {
    Target {
        context: Some(user.to_owned()),
        config_dir: Some(credentials.to_owned()),
        name: "baton access".to_owned(),
        ..Target::default()
    }
}

fn not_applied(way: &Way, user: &str, error: Error, config: &str) -> CliError {
    if let Error::Unreachable { .. } = error {
        return error.into();
    }
    let message = format!("{config} is written, and the server does not use it yet: as {user}: {error}");
    let shown = CliError::say(Kind::Failed, codes::NOT_APPLIED, message);
    match way {
        Way::Nobody => shown
            .hint(format!("start it: nats-server -c {config}"))
            .hint("or, if it runs with this file, twice: nats-server --signal reload=PID")
            .hint("then: baton access apply --no-reload"),
        Way::Account | Way::Signal(_) => shown.hint(format!("see that the server runs with {config}, and its log")),
    }
}

/// What to do where no server runs, or it runs with other secrets.
fn with_way_on(error: CliError, document: &Document) -> CliError {
    if error.kind == Kind::Unreachable {
        let hints = vec![format!(
            "{} is written; start it: nats-server -c {}",
            document.config, document.config
        )];
        return CliError { hints, ..error };
    }
    if error.code == codes::LOGIN_REFUSED {
        // Only the user of the system account comes so far: it was rotated, or the server runs with another file.
        let hints = vec![
            format!(
                "the server does not know this secret yet; have it read {}, twice: nats-server --signal reload=PID",
                document.config
            ),
            "then: baton access apply".to_owned(),
        ];
        return CliError { hints, ..error };
    }
    error
}

fn text(document: &Document) -> String {
    let written = if document.changed { "written" } else { "unchanged" };
    let read = match document.reloaded_by {
        "none" => "nobody told the server".to_owned(),
        _ => format!("the server read it {} times", document.reloads),
    };
    format!(
        "{}: {written}; {read}; works for {}",
        document.config,
        document.works.join(", ")
    )
}
