//! `baton schedules`: work that is submitted again and again.

mod act;
mod add;
mod backfill;
mod list;
mod next;
mod run_now;
mod show;

use baton_envelope::control::FiringsView;
use clap::Subcommand;

use crate::app::App;
use crate::error::CliError;
use crate::output::Table;

/// `baton schedules`.
#[derive(Debug, Clone, Subcommand)]
pub(crate) enum SchedulesCommand {
    /// Add a schedule, which submits the same work again and again.
    Add(Box<add::AddArgs>),
    /// List the schedules, each with its next firing.
    List,
    /// Show a schedule: what it submits, its next firings, and how the last one ended.
    Show(show::ShowArgs),
    /// Let a schedule stand still; what it would have fired meanwhile is not made up for.
    Pause(act::ActArgs),
    /// Let a schedule go on, from now.
    Resume(act::ActArgs),
    /// Remove a schedule; the intents that it has fired go on.
    Remove(act::ActArgs),
    /// Fire a schedule once, now, whatever its times are.
    RunNow(run_now::RunNowArgs),
    /// Show the next firings of a schedule.
    Next(next::NextArgs),
    /// Make each firing of a span of the past that was not made.
    Backfill(backfill::BackfillArgs),
}

/// Runs the command.
pub(crate) async fn run(command: SchedulesCommand, app: &App) -> Result<(), CliError> {
    match command {
        SchedulesCommand::Add(args) => add::run(*args, app).await,
        SchedulesCommand::List => list::run(app).await,
        SchedulesCommand::Show(args) => show::run(args, app).await,
        SchedulesCommand::Pause(args) => act::pause(args, app).await,
        SchedulesCommand::Resume(args) => act::resume(args, app).await,
        SchedulesCommand::Remove(args) => act::remove(args, app).await,
        SchedulesCommand::RunNow(args) => run_now::run(args, app).await,
        SchedulesCommand::Next(args) => next::run(args, app).await,
        SchedulesCommand::Backfill(args) => backfill::run(args, app).await,
    }
}

/// Firings as a table.
fn firings(view: &FiringsView) -> String {
    if view.firings.is_empty() {
        return String::new();
    }
    let mut table = Table::new(&["AT", "INTENT", "OUTCOME"]);
    for firing in &view.firings {
        table.row([firing.at.to_string(), firing.intent.to_string(), firing.outcome.clone()]);
    }
    table.render()
}
