//! `baton schedules list`: all schedules.

use baton_envelope::control::{ListSchedules, SchedulesView};

use super::show::{standing, times};
use crate::app::App;
use crate::error::CliError;
use crate::output::Table;
use crate::view;

/// Lists them.
pub(crate) async fn run(app: &App) -> Result<(), CliError> {
    let mesh = app.connect().await?;
    let list = mesh.ask_controller(&ListSchedules {}).await?;
    app.output.show(&list, || text(&list))?;
    if list.schedules.is_empty() {
        app.output
            .note("there are no schedules: `baton schedules add` makes one");
    }
    Ok(())
}

fn text(list: &SchedulesView) -> String {
    if list.schedules.is_empty() {
        return String::new();
    }
    let mut table = Table::new(&["SCHEDULE", "AGENT", "TIMES", "STATE", "NEXT", "LAST", "FIRED"]);
    for one in &list.schedules {
        let schedule = &one.schedule;
        table.row([
            schedule.name.to_string(),
            schedule.agent.to_string(),
            times(schedule),
            standing(one).to_owned(),
            view::time(one.next.first().copied()),
            view::time(schedule.last.as_ref().map(|last| last.at)),
            schedule.fired.to_string(),
        ]);
    }
    table.render()
}
