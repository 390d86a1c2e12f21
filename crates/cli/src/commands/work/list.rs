//! `baton work list`: the work of manual versions.

use baton_envelope::AgentName;
use baton_envelope::control::{ListWork, WorkView};
use clap::Args;

use super::span;
use crate::app::App;
use crate::error::CliError;
use crate::output::Table;
use crate::view;

/// How much of a task fits on a line.
const TASK: usize = 60;

/// `baton work list`.
#[derive(Debug, Clone, Args)]
pub(crate) struct ListArgs {
    /// Only the work of this agent.
    #[arg(long)]
    agent: Option<AgentName>,
    /// How many to list at most, up to 1000.
    #[arg(long, value_name = "N", default_value_t = 100)]
    limit: usize,
}

/// Lists it.
pub(crate) async fn run(args: ListArgs, app: &App) -> Result<(), CliError> {
    let mesh = app.connect().await?;
    let ListArgs { agent, limit } = args;
    let found = mesh.ask_controller(&ListWork { agent, limit }).await?;
    app.output.show(&found, || text(&found))?;
    let shown = found.work.len();
    if shown == 0 {
        app.output.note("no work waits for a person, and nobody has any");
    } else if found.matched > u64::try_from(shown).unwrap_or(u64::MAX) {
        app.output
            .note(&format!("{shown} of {} shown; --limit shows more", found.matched));
    }
    Ok(())
}

fn text(found: &WorkView) -> String {
    if found.work.is_empty() {
        return String::new();
    }
    let mut table = Table::new(&[
        "INTENT",
        "STATUS",
        "FROM → TO",
        "TASK",
        "PRIORITY",
        "SINCE",
        "ESTIMATE",
        "HOLDER",
    ]);
    for one in &found.work {
        let from = one.from.as_deref().unwrap_or("-");
        let to = view::agent_at(Some(&one.agent), Some(&one.version));
        table.row([
            one.intent.to_string(),
            one.status.clone(),
            format!("{from} → {to}"),
            view::one_line(one.task.as_deref().or(one.kind.as_deref()).unwrap_or_default(), TASK),
            one.priority.to_string(),
            one.since.to_string(),
            span(one.estimate_ms),
            one.holder.clone().unwrap_or_default(),
        ]);
    }
    table.render()
}
