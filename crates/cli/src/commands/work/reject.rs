//! `baton work reject`: declines work that nobody has accepted.

use baton_envelope::IntentId;
use baton_envelope::control::RejectWork;
use clap::Args;

use super::{Person, show};
use crate::app::App;
use crate::error::CliError;

/// `baton work reject`.
#[derive(Debug, Clone, Args)]
pub(crate) struct RejectArgs {
    /// The intent.
    #[arg(value_name = "ID")]
    id: IntentId,
    /// The reason, for the history and for whoever waits.
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// A code that programs branch on [default: BY_HAND].
    #[arg(long, value_name = "CODE")]
    code: Option<String>,
    #[command(flatten)]
    person: Person,
}

/// Does it.
pub(crate) async fn run(args: RejectArgs, app: &App) -> Result<(), CliError> {
    let mesh = app.connect().await?;
    let question = RejectWork {
        intent: args.id,
        reason: args.reason,
        code: args.code,
        by: args.person.name(),
    };
    show(&mesh.ask_controller(&question).await?, app)
}
