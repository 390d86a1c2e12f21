//! `baton work accept`: takes a certain piece of work.

use baton_envelope::IntentId;
use baton_envelope::control::AcceptWork;
use clap::Args;

use super::{HowLong, Person, show_taken};
use crate::app::App;
use crate::error::CliError;

/// `baton work accept`.
#[derive(Debug, Clone, Args)]
pub(crate) struct AcceptArgs {
    /// The intent.
    #[arg(value_name = "ID")]
    id: IntentId,
    #[command(flatten)]
    how_long: HowLong,
    #[command(flatten)]
    person: Person,
}

/// Accepts it.
pub(crate) async fn run(args: AcceptArgs, app: &App) -> Result<(), CliError> {
    let mesh = app.connect().await?;
    let AcceptArgs { id, how_long, person } = args;
    let question = AcceptWork {
        intent: id,
        estimate_ms: how_long.estimate_ms(),
        within_ms: how_long.within_ms(),
        by: person.name(),
    };
    show_taken(&mesh.ask_controller(&question).await?, app)
}
