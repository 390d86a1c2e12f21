//! `baton intents pause`: an intent that is to stand still for a while.

use baton_envelope::control::PauseIntent;
use baton_envelope::{IntentId, shown};
use clap::Args;

use crate::app::App;
use crate::error::CliError;
use crate::who;

/// `baton intents pause`.
#[derive(Debug, Clone, Args)]
pub(crate) struct PauseArgs {
    /// The intent.
    #[arg(value_name = "ID")]
    id: IntentId,
    /// The reason, for the history.
    #[arg(long, value_name = "TEXT")]
    reason: String,
}

/// Pauses it.
pub(crate) async fn run(args: PauseArgs, app: &App) -> Result<(), CliError> {
    let mesh = app.connect().await?;
    let question = PauseIntent {
        intent: args.id,
        reason: args.reason,
        by: who::person(),
    };
    let paused = mesh.ask_controller(&question).await?;
    app.output.show(&paused, || {
        format!("{} was {}, and is paused", paused.intent, shown(&paused.was))
    })?;
    app.output
        .note(&format!("`baton intents resume {}` lets it go on", paused.intent));
    Ok(())
}
