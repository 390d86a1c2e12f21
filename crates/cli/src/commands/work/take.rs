//! `baton work take`: the most urgent work that nobody has.

use baton_envelope::AgentName;
use baton_envelope::control::TakeWork;
use clap::Args;

use super::{HowLong, Person, show_taken};
use crate::app::App;
use crate::error::CliError;

/// `baton work take`.
#[derive(Debug, Clone, Args)]
pub(crate) struct TakeArgs {
    /// Only the work of this agent.
    #[arg(long)]
    agent: Option<AgentName>,
    #[command(flatten)]
    how_long: HowLong,
    #[command(flatten)]
    person: Person,
}

/// Takes it.
pub(crate) async fn run(args: TakeArgs, app: &App) -> Result<(), CliError> {
    let mesh = app.connect().await?;
    let TakeArgs {
        agent,
        how_long,
        person,
    } = args;
    let question = TakeWork {
        agent,
        estimate_ms: how_long.estimate_ms(),
        within_ms: how_long.within_ms(),
        by: person.name(),
    };
    show_taken(&mesh.ask_controller(&question).await?, app)
}
