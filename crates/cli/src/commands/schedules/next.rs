//! `baton schedules next`: when a schedule fires next.

use baton_envelope::control::ShowSchedule;
use baton_envelope::{ScheduleName, Timestamp};
use clap::Args;
use serde::Serialize;

use crate::app::App;
use crate::error::CliError;

/// `baton schedules next`.
#[derive(Debug, Clone, Args)]
pub(crate) struct NextArgs {
    /// The schedule.
    name: ScheduleName,
    /// How many firings, 1 to 1000.
    #[arg(value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u16).range(1..=1000))]
    count: u16,
}

#[derive(Serialize)]
struct Document<'a> {
    name: &'a ScheduleName,
    next: &'a [Timestamp],
}

/// Shows its next firings.
pub(crate) async fn run(args: NextArgs, app: &App) -> Result<(), CliError> {
    let mesh = app.connect().await?;
    let question = ShowSchedule {
        name: args.name,
        next: usize::from(args.count),
    };
    let view = mesh.ask_controller(&question).await?;
    let document = Document {
        name: &view.schedule.name,
        next: &view.next,
    };
    app.output.show(&document, || {
        let times: Vec<String> = view.next.iter().map(ToString::to_string).collect();
        times.join("\n")
    })?;
    if view.next.is_empty() {
        app.output.note("it fires no more");
    } else if view.schedule.paused.is_some() {
        app.output
            .note("it is paused: these are its times if it is resumed now");
    }
    Ok(())
}
