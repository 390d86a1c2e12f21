//! `baton approvals assign`: an operator gives a seat to somebody else.

use baton_envelope::control::AssignSeat;
use baton_envelope::{PersonName, shown};
use clap::Args;

use super::WhichArgs;
use crate::app::App;
use crate::error::CliError;
use crate::who;

/// `baton approvals assign`.
#[derive(Debug, Clone, Args)]
pub(crate) struct AssignArgs {
    #[command(flatten)]
    which: WhichArgs,
    /// Who has the seat.
    #[arg(long, value_name = "PERSON")]
    from: PersonName,
    /// Who gets it.
    #[arg(long, value_name = "PERSON")]
    to: PersonName,
    /// The reason, for the history.
    #[arg(long, value_name = "TEXT", default_value = "")]
    reason: String,
}

/// Gives it.
pub(crate) async fn run(args: AssignArgs, app: &App) -> Result<(), CliError> {
    let mesh = app.connect().await?;
    let question = AssignSeat {
        intent: args.which.id,
        wait: args.which.wait,
        from: args.from.clone(),
        to: args.to.clone(),
        reason: args.reason,
        by: who::person(),
    };
    let assigned = mesh.ask_controller(&question).await?;
    app.output.show(&assigned, || {
        let (wait, intent) = (shown(&assigned.wait), &assigned.intent);
        format!("{} has the seat of {} in {wait} of intent {intent}", args.to, args.from)
    })
}
