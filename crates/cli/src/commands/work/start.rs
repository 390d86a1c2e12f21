//! `baton work start`: begins with accepted work.

use baton_envelope::IntentId;
use baton_envelope::control::StartWork;
use clap::Args;

use super::{Person, show};
use crate::app::App;
use crate::error::CliError;

/// `baton work start`.
#[derive(Debug, Clone, Args)]
pub(crate) struct StartArgs {
    /// The intent.
    #[arg(value_name = "ID")]
    id: IntentId,
    #[command(flatten)]
    person: Person,
}

/// Starts it.
pub(crate) async fn run(args: StartArgs, app: &App) -> Result<(), CliError> {
    let mesh = app.connect().await?;
    let question = StartWork {
        intent: args.id,
        by: args.person.name(),
    };
    show(&mesh.ask_controller(&question).await?, app)
}
