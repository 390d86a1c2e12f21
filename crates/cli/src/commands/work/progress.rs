//! `baton work progress`: leaves a note.

use baton_envelope::IntentId;
use baton_envelope::control::NoteWork;
use clap::Args;

use super::{Person, show};
use crate::app::App;
use crate::error::CliError;

/// `baton work progress`.
#[derive(Debug, Clone, Args)]
pub(crate) struct ProgressArgs {
    /// The intent.
    #[arg(value_name = "ID")]
    id: IntentId,
    /// The note.
    #[arg(long, value_name = "TEXT")]
    note: String,
    #[command(flatten)]
    person: Person,
}

/// Notes it.
pub(crate) async fn run(args: ProgressArgs, app: &App) -> Result<(), CliError> {
    let mesh = app.connect().await?;
    let question = NoteWork {
        intent: args.id,
        note: args.note,
        by: args.person.name(),
    };
    show(&mesh.ask_controller(&question).await?, app)
}
