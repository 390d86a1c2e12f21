//! `baton archive`: how the archive of closed intents stands.

use baton_envelope::control::{ArchiveStatus, ShowArchive};
use clap::Subcommand;

use crate::app::App;
use crate::error::CliError;
use crate::output::Table;
use crate::view;

/// `baton archive`.
#[derive(Debug, Clone, Subcommand)]
pub(crate) enum ArchiveCommand {
    /// Show what the archive holds, what waits to be archived, and since when.
    Status,
}

/// Runs a command of it.
pub(crate) async fn run(command: ArchiveCommand, app: &App) -> Result<(), CliError> {
    match command {
        ArchiveCommand::Status => {
            let mesh = app.connect().await?;
            let status = mesh.ask_controller(&ShowArchive {}).await?;
            app.output.show(&status, || text(&status))
        }
    }
}

fn text(status: &ArchiveStatus) -> String {
    let mut table = Table::pairs();
    table.pair("archiving", if status.enabled { "on" } else { "off" });
    table.pair("grace time", view::seconds(status.grace_seconds));
    table.pair("archived", status.archived.to_string());
    table.pair("waiting", status.waiting.to_string());
    table.pair("due", status.due.to_string());
    table.pair("oldest due ended", view::time(status.oldest_due));
    table.pair("terminal records kept", status.kept.to_string());
    if let Some(problem) = &status.problem {
        table.pair("failing", status.failing.to_string());
        table.pair("for example", problem.clone());
    }
    if status.incomplete > 0 {
        table.pair("earlier records lost", status.incomplete.to_string());
    }
    table.render()
}
