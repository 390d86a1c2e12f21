//! `baton pipelines`: the ways of work from agent to agent that the files of a folder say.

mod check;
pub(super) mod file;
mod list;
mod show;
mod written;

use clap::Subcommand;
use serde::Serialize;

use self::file::{FolderArgs, Read};
use crate::app::App;
use crate::error::CliError;

/// `baton pipelines`.
#[derive(Debug, Clone, Subcommand)]
pub(crate) enum PipelinesCommand {
    /// List the pipelines of the folder, and say which of them cannot be gone through.
    List(FolderArgs),
    /// Show the steps of a pipeline.
    Show(show::ShowArgs),
    /// Check that work can go through the pipelines: that each comes to an end, and that the mesh knows their agents.
    Check(check::CheckArgs),
}

/// Runs the command.
pub(crate) async fn run(command: PipelinesCommand, app: &App) -> Result<(), CliError> {
    match command {
        PipelinesCommand::List(args) => list::run(&args, app),
        PipelinesCommand::Show(args) => show::run(&args, app),
        PipelinesCommand::Check(args) => check::run(args, app).await,
    }
}

/// A pipeline as a document.
#[derive(Serialize)]
struct Document<'a> {
    pipeline: &'a str,
    file: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'a str>,
    steps: Vec<StepDocument<'a>>,
}

#[derive(Serialize)]
struct StepDocument<'a> {
    agent: &'a str,
    next: Vec<&'a str>,
    may_end: bool,
    line: usize,
}

impl<'a> Document<'a> {
    fn of(read: &'a Read) -> Self {
        let steps = read.pipeline.steps.iter().map(|step| StepDocument {
            agent: step.agent.as_str(),
            next: step.next.iter().map(|agent| agent.as_str()).collect(),
            may_end: step.may_end || step.next.is_empty(),
            line: step.line,
        });
        Self {
            pipeline: &read.name,
            file: read.path.display().to_string(),
            description: read.description.as_deref(),
            steps: steps.collect(),
        }
    }
}
