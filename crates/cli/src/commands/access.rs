//! `baton access`: who may do what in a mesh, as accounts of nats-server.

mod add;
mod apply;
mod check;
mod init;
mod remove;
mod render;
mod rotate;

use std::path::PathBuf;

use baton_access::{Access, AccessError, Folder, Form, Level, Problem, RANDOM_BYTES, Secret, problems};
use baton_envelope::codes;
use clap::{Args, Subcommand};
use rand::TryRngCore as _;
use serde::Serialize;

use crate::app::App;
use crate::error::{CliError, Kind};

/// `baton access`.
#[derive(Debug, Clone, Args)]
pub(crate) struct AccessArgs {
    /// File of accounts.
    #[arg(long, global = true, value_name = "FILE", default_value = "config/access.toml")]
    file: PathBuf,
    #[command(subcommand)]
    command: AccessCommand,
}

/// The commands below.
#[derive(Debug, Clone, Subcommand)]
enum AccessCommand {
    /// Make the file, with the users of controllers and of the system account.
    Init(init::InitArgs),
    /// Add an agent, a person or a publisher.
    #[command(subcommand)]
    Add(add::AddCommand),
    /// Remove an agent, a person or a publisher.
    Remove(remove::RemoveArgs),
    /// Make a new secret for a user.
    Rotate(rotate::RotateArgs),
    /// Print the configuration of nats-server; it holds no secret.
    Render,
    /// Look for mistakes, with nats-server's own test.
    Check,
    /// Write the configuration, have nats-server read it, and see that it works.
    Apply(apply::ApplyArgs),
}

/// Runs the command.
pub(crate) async fn run(args: AccessArgs, app: &App) -> Result<(), CliError> {
    let folder = Folder::of(args.file);
    match args.command {
        AccessCommand::Init(args) => init::run(&args, &folder, app),
        AccessCommand::Add(command) => add::run(command, &folder, app),
        AccessCommand::Remove(args) => remove::run(&args, &folder, app),
        AccessCommand::Rotate(args) => rotate::run(&args, &folder, app),
        AccessCommand::Render => render::run(&folder, app),
        AccessCommand::Check => check::run(&folder, app),
        AccessCommand::Apply(args) => apply::run(&args, &folder, app).await,
    }
}

/// Which kind of secret a user gets.
#[derive(Debug, Clone, Args)]
struct FormArgs {
    /// Make a password instead of a key; the server keeps its bcrypt hash.
    #[arg(long)]
    with_password: bool,
}

impl FormArgs {
    fn secret(&self) -> Result<Secret, CliError> {
        secret(if self.with_password { Form::Password } else { Form::Key })
    }
}

/// A new secret, from the random numbers of the operating system.
fn secret(form: Form) -> Result<Secret, CliError> {
    let mut random = [0; RANDOM_BYTES];
    rand::rngs::OsRng.try_fill_bytes(&mut random).map_err(|error| {
        CliError::io(anyhow::Error::new(error).context("the operating system gives no random bytes"))
    })?;
    Ok(Secret::make(form, random)?)
}

/// A user that was given its files, as a document. Secrets stand in the files alone.
#[derive(Serialize)]
struct HandedOut {
    name: String,
    files: Vec<String>,
}

impl HandedOut {
    fn of(name: &str, files: &[PathBuf]) -> Self {
        Self {
            name: name.to_owned(),
            files: files.iter().map(|path| path.display().to_string()).collect(),
        }
    }

    fn text(&self) -> String {
        self.files.iter().map(|file| format!("  {file}\n")).collect()
    }
}

/// The file, if nothing is wrong with it.
fn sound(folder: &Folder) -> Result<Access, CliError> {
    let access = Access::parse(&folder.read()?)?;
    let wrong = wrong(&access);
    match wrong.first() {
        Some(first) => Err(refused(folder, first, wrong.len())),
        None => Ok(access),
    }
}

/// The file as a change makes it, before any secret is written for it: `apply` must take it, or nobody could use that secret. A
/// change may mend one mistake of several.
fn sound_change(folder: &Folder, before: &str, after: &str) -> Result<Access, CliError> {
    let access = Access::parse(after)?;
    let left = wrong(&access);
    match left.first() {
        Some(first) if left.len() >= wrong(&Access::parse(before)?).len() => Err(refused(folder, first, left.len())),
        Some(_) | None => Ok(access),
    }
}

fn wrong(access: &Access) -> Vec<Problem> {
    problems(access).into_iter().filter(is_problem).collect()
}

fn refused(folder: &Folder, first: &Problem, all: usize) -> CliError {
    let others = match all.saturating_sub(1) {
        0 => String::new(),
        others => format!(" (and {others} more)"),
    };
    let message = format!("{}: {} {}{others}", folder.file().display(), first.place, first.problem);
    let error = CliError::say(Kind::BadConfig, codes::ACCESS_INVALID, message).hint(first.fix.clone());
    if all > 1 {
        error.hint("`baton access check` lists them all")
    } else {
        error
    }
}

fn is_problem(found: &Problem) -> bool {
    found.level == Level::Problem
}

impl From<AccessError> for CliError {
    fn from(error: AccessError) -> Self {
        let (kind, code, hint) = match &error {
            AccessError::Invalid { .. } => (Kind::BadConfig, codes::ACCESS_INVALID, None),
            AccessError::Taken { name, .. } => (
                Kind::Refused,
                codes::NAME_TAKEN,
                Some(format!(
                    "choose another name, or make a new secret: `baton access rotate {name}`"
                )),
            ),
            AccessError::Unknown { .. } => (Kind::NotFound, codes::UNKNOWN_ACCOUNT, None),
            AccessError::InUse { agent, .. } => (
                Kind::Refused,
                codes::NAME_IN_USE,
                Some(format!("take \"{agent}\" out of these lists in the file first")),
            ),
            AccessError::BadRotation { .. } => (Kind::Usage, codes::USAGE, None),
            AccessError::Exists { .. } => (
                Kind::Refused,
                codes::FILE_EXISTS,
                Some("`baton access add` adds to it; --file names another".to_owned()),
            ),
            AccessError::Io { action: "reading", .. } => (
                Kind::Failed,
                codes::IO_FAILED,
                Some("`baton access init` makes one; --file names another".to_owned()),
            ),
            AccessError::Io { .. } | _ => (Kind::Failed, codes::IO_FAILED, None),
        };
        let shown = Self::new(kind, code, anyhow::Error::new(error));
        match hint {
            Some(hint) => shown.hint(hint),
            None => shown,
        }
    }
}
