//! `baton intents move`: open work from one version to another.

use baton_envelope::codes;
use baton_envelope::control::{MoveIntents, MoveView};
use baton_envelope::{AgentName, AgentVersion};
use clap::Args;
use clap::builder::PossibleValuesParser;

use super::list::STATUSES;
use crate::app::App;
use crate::error::{CliError, Kind};
use crate::output::Table;
use crate::{view, who};

/// `baton intents move`.
#[derive(Debug, Clone, Args)]
pub(crate) struct MoveArgs {
    /// The agent.
    #[arg(long, value_name = "NAME")]
    agent: AgentName,
    /// The version that has the work.
    #[arg(long, value_name = "VERSION")]
    from: AgentVersion,
    /// The version that gets it.
    #[arg(long, value_name = "VERSION")]
    to: AgentVersion,
    /// Only intents with this status.
    #[arg(long, value_name = "STATUS", value_parser = PossibleValuesParser::new(STATUSES))]
    status: Option<String>,
    /// Say what would be moved, and move nothing.
    #[arg(long)]
    dry_run: bool,
}

/// Moves it.
pub(crate) async fn run(args: MoveArgs, app: &App) -> Result<(), CliError> {
    let mesh = app.connect().await?;
    let question = MoveIntents {
        agent: args.agent,
        from: args.from,
        to: args.to,
        status: args.status,
        dry_run: args.dry_run,
        by: who::person(),
    };
    let moved = mesh.ask_controller(&question).await?;
    app.output.show(&moved, || text(&moved))?;
    match moved.failed.len() {
        0 => Ok(()),
        failed => {
            let total = failed.saturating_add(moved.moved.len());
            let message = format!("{failed} of {total} intents could not be moved");
            Err(CliError::say(Kind::Failed, codes::INCOMPLETE, message)
                .hint("what was moved stays moved; run the command again for the rest"))
        }
    }
}

fn text(view: &MoveView) -> String {
    let count = view.moved.len();
    let (agent, from, to) = (&view.agent, &view.from, &view.to);
    let said = if view.dry_run { "would be moved" } else { "moved" };
    let summary = format!("{count} {said} from {agent}@{from} to {agent}@{to}");
    if view.moved.is_empty() && view.failed.is_empty() {
        return summary;
    }
    let mut table = Table::new(&["INTENT", "STATUS", "DONE"]);
    for one in &view.moved {
        table.row([one.intent.to_string(), one.status.clone(), one.detail.clone()]);
    }
    for one in &view.failed {
        let failed = format!("not moved: {}", one.detail);
        table.row([one.intent.to_string(), one.status.clone(), failed]);
    }
    view::paragraphs([table.render(), summary])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_moved_and_what_was_not_are_told_apart() {
        let mut view: MoveView = serde_json::from_value(serde_json::json!({
            "agent": "code", "from": "1.4.0", "to": "2.0.0", "dry_run": false,
            "moved": [{"intent": "a", "status": "pending", "detail": "before 2.0.0"}],
            "failed": [{"intent": "b", "status": "in_progress", "detail": "it is running"}],
        }))
        .expect("a document");
        let shown = text(&view);
        assert!(
            shown.contains("b       in_progress  not moved: it is running"),
            "{shown}"
        );
        assert!(shown.ends_with("\n\n1 moved from code@1.4.0 to code@2.0.0"), "{shown}");
        (view.dry_run, view.failed) = (true, Vec::new());
        assert!(text(&view).ends_with("1 would be moved from code@1.4.0 to code@2.0.0"));
        view.moved = Vec::new();
        assert_eq!(text(&view), "0 would be moved from code@1.4.0 to code@2.0.0");
    }
}
