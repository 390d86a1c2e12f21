//! `baton schedules backfill`: the firings of a span of the past.

use baton_envelope::control::BackfillSchedule;
use baton_envelope::{ScheduleName, Timestamp};
use clap::Args;

use super::firings;
use crate::app::App;
use crate::error::CliError;
use crate::who;

/// `baton schedules backfill`.
#[derive(Debug, Clone, Args)]
pub(crate) struct BackfillArgs {
    /// The schedule.
    name: ScheduleName,
    /// The first time, such as 2026-11-21T05:00:00Z.
    from: Timestamp,
    /// The last time, which may not be in the future.
    to: Timestamp,
}

/// Makes them.
pub(crate) async fn run(args: BackfillArgs, app: &App) -> Result<(), CliError> {
    let mesh = app.connect().await?;
    let question = BackfillSchedule {
        name: args.name,
        from: args.from,
        to: args.to,
        by: who::person(),
    };
    let view = mesh.ask_controller(&question).await?;
    app.output.show(&view, || firings(&view))?;
    if view.firings.is_empty() {
        app.output.note("it has no firing in that time");
    }
    Ok(())
}
