//! `baton schedules pause`, `resume` and `remove`: what is done to a schedule as a whole.

use baton_envelope::ScheduleName;
use baton_envelope::control::{PauseSchedule, RemoveSchedule, ResumeSchedule, ScheduleAct};
use clap::Args;

use crate::app::App;
use crate::error::CliError;
use crate::{view, who};

/// An act on a schedule.
#[derive(Debug, Clone, Args)]
pub(crate) struct ActArgs {
    /// The schedule.
    name: ScheduleName,
}

impl ActArgs {
    fn act(self) -> ScheduleAct {
        ScheduleAct {
            name: self.name,
            by: who::person(),
        }
    }
}

/// Lets it stand still.
pub(crate) async fn pause(args: ActArgs, app: &App) -> Result<(), CliError> {
    let mesh = app.connect().await?;
    let paused = mesh.ask_controller(&PauseSchedule(args.act())).await?;
    app.output
        .show(&paused, || format!("schedule {} stands still", paused.schedule.name))
}

/// Lets it go on.
pub(crate) async fn resume(args: ActArgs, app: &App) -> Result<(), CliError> {
    let mesh = app.connect().await?;
    let resumed = mesh.ask_controller(&ResumeSchedule(args.act())).await?;
    app.output.show(&resumed, || {
        let next = view::time(resumed.next.first().copied());
        format!("schedule {} goes on; next: {next}", resumed.schedule.name)
    })
}

/// Removes it.
pub(crate) async fn remove(args: ActArgs, app: &App) -> Result<(), CliError> {
    let mesh = app.connect().await?;
    let removed = mesh.ask_controller(&RemoveSchedule(args.act())).await?;
    app.output.show(&removed, || {
        let schedule = &removed.schedule;
        format!(
            "schedule {} is removed; firings that it made: {}",
            schedule.name, schedule.fired
        )
    })
}
