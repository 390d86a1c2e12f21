//! `baton intents cancel`: an end to an intent that nobody wants any more.

use baton_envelope::control::{CancelIntent, CancelView, UndoIntent, UndoView};
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
    /// Undo what it did first: the undos of its steps and hops run in reverse order, and then it is cancelled.
    #[arg(long)]
    undo: bool,
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
    let by = who::person();
    let (cancelled, now) = match args.undo {
        true => {
            let question = UndoIntent {
                intent: args.id,
                reason: args.reason,
                by,
            };
            let UndoView { intent, was, now, seq } = mesh.ask_controller(&question).await?;
            (CancelView { intent, was, seq }, now)
        }
        false => {
            let question = CancelIntent {
                intent: args.id,
                reason: args.reason,
                by,
            };
            (mesh.ask_controller(&question).await?, Status::Cancelled.to_string())
        }
    };
    // Where nobody may read it the rest is told all the same.
    let head = mesh.head(&cancelled.intent).await.unwrap_or_default();
    let document = Document {
        rest: &cancelled,
        now: now.clone(),
        version: head.and_then(|head| head.record.snapshot.version),
    };
    app.output.show(&document, || {
        let (id, was) = (&cancelled.intent, shown(&cancelled.was));
        match now == Status::Compensating.name() {
            true => format!(
                "{id} was {was}, and what it did is undone: `baton intents tree {id} --watch` shows how far that is"
            ),
            false => format!("{id} was {was}, and is cancelled"),
        }
    })
}
