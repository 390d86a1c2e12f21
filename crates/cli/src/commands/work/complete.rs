//! `baton work complete`: ends work with its result.

use baton_envelope::control::CompleteWork;
use baton_envelope::{Body, IntentId};
use clap::Args;

use super::{Person, show};
use crate::app::App;
use crate::commands::payload;
use crate::error::CliError;

/// `baton work complete`.
#[derive(Debug, Clone, Args)]
pub(crate) struct CompleteArgs {
    /// The intent.
    #[arg(value_name = "ID")]
    id: IntentId,
    /// The result: text or JSON, @FILE, or - for stdin [default: null].
    #[arg(long, value_name = "RESULT", allow_hyphen_values = true)]
    result: Option<String>,
    /// A note for the history.
    #[arg(long, value_name = "TEXT")]
    note: Option<String>,
    #[command(flatten)]
    person: Person,
}

/// Completes it.
pub(crate) async fn run(args: CompleteArgs, app: &App) -> Result<(), CliError> {
    let CompleteArgs {
        id,
        result,
        note,
        person,
    } = args;
    // Before connecting: a file that cannot be read does not depend on a server.
    let result = match result {
        Some(argument) => Body::of_bytes(&payload::read(Some(&argument), &app.output)?),
        None => Body::default(),
    };
    let mesh = app.connect().await?;
    let question = CompleteWork {
        intent: id,
        result: result.json,
        result_encoding: result.encoding,
        note,
        by: person.name(),
    };
    show(&mesh.ask_controller(&question).await?, app)
}
