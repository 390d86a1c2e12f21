//! `baton intents state`: how far an intent is, as its agent tells.

use baton_envelope::{IntentId, Json, Timestamp, shown};
use baton_jetstream::Error;
use clap::Args;
use serde::Serialize;

use crate::app::App;
use crate::error::CliError;
use crate::view;

/// `baton intents state`.
#[derive(Debug, Clone, Args)]
pub(crate) struct StateArgs {
    /// The intent.
    #[arg(value_name = "ID")]
    id: IntentId,
}

/// What its agent has told last, as a document.
#[derive(Serialize)]
struct Document<'a> {
    intent: &'a IntentId,
    status: String,
    /// Absent when no agent has told anything.
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<&'a Json>,
    #[serde(skip_serializing_if = "Option::is_none")]
    at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hop: Option<u32>,
}

/// Shows it.
pub(crate) async fn run(args: StateArgs, app: &App) -> Result<(), CliError> {
    let mesh = app.connect().await?;
    let history = mesh.trail(&args.id).await?;
    let Some(last) = history.last() else {
        return Err(Error::NoIntent(args.id).into());
    };
    let told = history.iter().rev().find(|head| head.record.state.is_some());
    let document = Document {
        intent: &args.id,
        status: last.record.snapshot.status.to_string(),
        state: told.and_then(|head| head.record.state.as_ref()),
        at: told.map(|head| head.record.at),
        hop: told.map(|head| head.record.snapshot.hop),
    };
    app.output.show(&document, || match document.state {
        Some(state) => view::value(state),
        None => format!(
            "no agent has told how far {} is; it is {}",
            args.id,
            shown(&document.status)
        ),
    })
}
