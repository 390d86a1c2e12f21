//! `baton intents retry`: the next attempt begins now.

use baton_envelope::IntentId;
use baton_envelope::control::RetryIntent;
use clap::Args;

use crate::app::App;
use crate::error::CliError;
use crate::who;

/// `baton intents retry`.
#[derive(Debug, Clone, Args)]
pub(crate) struct RetryArgs {
    /// The intent.
    #[arg(value_name = "ID")]
    id: IntentId,
    /// The reason, for the history.
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
}

/// Retries it.
pub(crate) async fn run(args: RetryArgs, app: &App) -> Result<(), CliError> {
    let mesh = app.connect().await?;
    let question = RetryIntent {
        intent: args.id,
        reason: args.reason,
        by: who::person(),
    };
    let retried = mesh.ask_controller(&question).await?;
    app.output.show(&retried, || {
        format!("{} waits no longer for its next attempt", retried.intent)
    })
}
