//! `baton intents cancel`: an end to an intent that nobody wants any more.

use baton_envelope::control::{CancelIntent, CancelView};
use baton_envelope::{AgentVersion, IntentId, Status, shown};
use clap::Args;
use serde::Serialize;

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

/// What the command answers to programs, with the fields that pausing and resuming have.
#[derive(Serialize)]
struct Document<'a> {
    #[serde(flatten)]
    rest: &'a CancelView,
    now: String,
    version: Option<AgentVersion>,
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
    // Where nobody may read it the rest is told all the same.
    let head = mesh.head(&cancelled.intent).await.unwrap_or_default();
    let document = Document {
        rest: &cancelled,
        now: Status::Cancelled.to_string(),
        version: head.and_then(|head| head.record.snapshot.version),
    };
    app.output.show(&document, || {
        format!("{} was {}, and is cancelled", cancelled.intent, shown(&cancelled.was))
    })
}
