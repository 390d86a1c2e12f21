//! `baton schedules show`: one schedule.

use baton_envelope::ScheduleName;
use baton_envelope::control::{ScheduleView, ShowSchedule};
use baton_envelope::schedule::Schedule;
use clap::Args;

use crate::app::App;
use crate::error::CliError;
use crate::output::Table;
use crate::parse::Span;
use crate::view;

/// How many of the next firings to show.
const NEXT: usize = 5;

/// `baton schedules show`.
#[derive(Debug, Clone, Args)]
pub(crate) struct ShowArgs {
    /// The schedule.
    name: ScheduleName,
}

/// Shows it.
pub(crate) async fn run(args: ShowArgs, app: &App) -> Result<(), CliError> {
    let mesh = app.connect().await?;
    let question = ShowSchedule {
        name: args.name,
        next: NEXT,
    };
    let view = mesh.ask_controller(&question).await?;
    app.output.show(&view, || text(&view))
}

/// A schedule as pairs.
pub(super) fn text(shown: &ScheduleView) -> String {
    let schedule = &shown.schedule;
    let mut table = Table::pairs();
    table.pair("schedule", schedule.name.as_str());
    table.pair("agent", schedule.agent.as_str());
    table.pair("times", times(schedule));
    if schedule.jitter_ms > 0 {
        table.pair("jitter", format!("up to {}", Span(schedule.jitter())));
    }
    if let Some(until) = schedule.until {
        table.pair("until", until.to_string());
    }
    table.pair("missed", schedule.missed.name());
    table.pair("overlap", schedule.overlap.name());
    if let Some(kind) = &schedule.kind {
        table.pair("kind", kind.as_str());
    }
    table.pair("priority", schedule.priority.to_string());
    if let Some(millis) = schedule.deadline_ms {
        let within = Span(std::time::Duration::from_millis(millis));
        table.pair("deadline", format!("{within} after its time"));
    }
    table.pair("payload", schedule.payload.get());
    table.pair("created", format!("{} by {}", schedule.created_at, schedule.created_by));
    table.pair("state", standing(shown));
    if let Some(paused) = &schedule.paused {
        table.pair("paused", format!("{} by {}", paused.since, paused.by));
    }
    if let Some(held) = &schedule.held {
        table.pair(
            "held since",
            format!("{}: {} ({})", held.since, held.problem, held.code),
        );
    }
    table.pair("fired", schedule.fired.to_string());
    if let Some(last) = &schedule.last {
        let status = shown
            .status
            .as_deref()
            .map_or(String::new(), |status| format!(", {status}"));
        table.pair("last", format!("{}: intent {}{status}", last.at, last.intent));
    }
    if let Some(skipped) = &schedule.skipped {
        table.pair("left out", format!("{}: {}", skipped.at, skipped.why));
    }
    for next in &shown.next {
        table.pair("next", next.to_string());
    }
    table.render()
}

/// When it fires, in one cell.
pub(super) fn times(schedule: &Schedule) -> String {
    match (&schedule.cron, schedule.every()) {
        (Some(cron), _) => format!("{cron} {}", schedule.tz.as_deref().unwrap_or("UTC")),
        (None, Some(every)) => format!("every {}", Span(every)),
        (None, None) => view::time(None),
    }
}

/// How it stands, in one word.
pub(super) fn standing(shown: &ScheduleView) -> &'static str {
    let schedule = &shown.schedule;
    if schedule.paused.is_some() {
        "paused"
    } else if schedule.held.is_some() {
        "held"
    } else if shown.next.is_empty() {
        "over"
    } else {
        "on"
    }
}
