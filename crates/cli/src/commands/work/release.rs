//! `baton work release`: gives work back.

use baton_envelope::IntentId;
use baton_envelope::control::ReleaseWork;
use clap::Args;

use super::{Person, show};
use crate::app::App;
use crate::error::CliError;

/// `baton work release`.
#[derive(Debug, Clone, Args)]
pub(crate) struct ReleaseArgs {
    /// The intent; anybody may give it back, also for somebody who is away.
    #[arg(value_name = "ID")]
    id: IntentId,
    /// The reason, for the history.
    #[arg(long, value_name = "TEXT")]
    reason: String,
    #[command(flatten)]
    person: Person,
}

/// Gives it back.
pub(crate) async fn run(args: ReleaseArgs, app: &App) -> Result<(), CliError> {
    let mesh = app.connect().await?;
    let question = ReleaseWork {
        intent: args.id,
        reason: args.reason,
        by: args.person.name(),
    };
    show(&mesh.ask_controller(&question).await?, app)
}
