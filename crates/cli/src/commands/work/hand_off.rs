//! `baton work hand-off`: hands work to another agent.

use baton_envelope::control::HandOffWork;
use baton_envelope::{AgentName, Body, IntentId, codes};
use baton_jetstream::Mesh;
use clap::Args;

use super::{Person, show};
use crate::app::App;
use crate::commands::payload;
use crate::error::{CliError, Kind};

/// `baton work hand-off`.
#[derive(Debug, Clone, Args)]
pub(crate) struct HandOffArgs {
    /// The intent.
    #[arg(value_name = "ID")]
    id: IntentId,
    /// The agent that gets it [default: whoever is next by the itinerary or the pipeline].
    #[arg(long, value_name = "AGENT")]
    to: Option<AgentName>,
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
    let to = match to {
        Some(to) => to,
        None => next(&mesh, &id).await?,
    };
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

/// Whoever is next.
async fn next(mesh: &Mesh, id: &IntentId) -> Result<AgentName, CliError> {
    let head = mesh.must_find(id).await?;
    let envelope = mesh.envelope_of(&head).await?;
    envelope.next_agent().cloned().ok_or_else(|| {
        let message = format!("nobody is next for intent \"{id}\"");
        CliError::say(Kind::Usage, codes::USAGE, message).hint(format!(
            "name an agent with --to, or complete it: baton work complete {id}"
        ))
    })
}
