//! `baton work hand-off`: hands work to another agent.

use baton_envelope::control::HandOffWork;
use baton_envelope::{AgentName, Body, IntentId};
use clap::Args;

use super::{Person, show};
use crate::app::App;
use crate::commands::payload;
use crate::error::CliError;

/// `baton work hand-off`.
#[derive(Debug, Clone, Args)]
pub(crate) struct HandOffArgs {
    /// The intent.
    #[arg(value_name = "ID")]
    id: IntentId,
    /// The agent that gets it.
    #[arg(long, value_name = "AGENT")]
    to: AgentName,
    /// The payload for that agent: text or JSON, @FILE, or - for stdin [default: null].
    #[arg(long, value_name = "PAYLOAD", allow_hyphen_values = true)]
    payload: Option<String>,
    /// The kind of the work, if it changes.
    #[arg(long)]
    kind: Option<String>,
    /// What you did, for the next agent and for the history.
    #[arg(long, value_name = "TEXT")]
    note: Option<String>,
    #[command(flatten)]
    person: Person,
}

/// Hands it off.
pub(crate) async fn run(args: HandOffArgs, app: &App) -> Result<(), CliError> {
    let HandOffArgs {
        id,
        to,
        payload,
        kind,
        note,
        person,
    } = args;
    let payload = match payload {
        Some(argument) => Body::of_bytes(&payload::read(Some(&argument), &app.output)?),
        None => Body::default(),
    };
    let mesh = app.connect().await?;
    let question = HandOffWork {
        intent: id,
        to,
        payload: payload.json,
        payload_encoding: payload.encoding,
        kind,
        note,
        by: person.name(),
    };
    show(&mesh.ask_controller(&question).await?, app)
}
