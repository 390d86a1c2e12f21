//! `baton intents cancel`: an end to an intent that nobody wants any more.

use baton_envelope::control::CancelIntent;
use baton_envelope::{IntentId, shown};
use clap::Args;

use crate::app::App;
use crate::error::CliError;
use crate::who;

/// `baton intents cancel`.
#[derive(Debug, Clone, Args)]
pub(crate) struct CancelArgs {
    /// The intent.
    #[arg(value_name = "ID")]
    id: IntentId,
    /// The reason, for the history.
    #[arg(long, value_name = "TEXT")]
    reason: String,
}

/// Cancels it.
pub(crate) async fn run(args: CancelArgs, app: &App) -> Result<(), CliError> {
    let mesh = app.connect().await?;
    let question = CancelIntent {
        intent: args.id,
        reason: args.reason,
        by: who::person(),
    };
    let cancelled = mesh.ask_controller(&question).await?;
    app.output.show(&cancelled, || {
        format!("{} was {}, and is cancelled", cancelled.intent, shown(&cancelled.was))
    })
}
