//! `baton schedules run-now`: a firing out of turn.

use baton_envelope::ScheduleName;
use baton_envelope::control::RunSchedule;
use clap::Args;

use super::firings;
use crate::app::App;
use crate::error::CliError;
use crate::who;

/// `baton schedules run-now`.
#[derive(Debug, Clone, Args)]
pub(crate) struct RunNowArgs {
    /// The schedule.
    name: ScheduleName,
}

/// Fires it.
pub(crate) async fn run(args: RunNowArgs, app: &App) -> Result<(), CliError> {
    let mesh = app.connect().await?;
    let question = RunSchedule {
        name: args.name,
        at: mesh.now(),
        by: who::person(),
    };
    let view = mesh.ask_controller(&question).await?;
    app.output.show(&view, || firings(&view))
}
