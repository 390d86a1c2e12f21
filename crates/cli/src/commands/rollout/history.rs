//! `baton rollout history`: every decision on an agent's route.

use baton_envelope::AgentName;
use baton_envelope::control::{AboutAgent, HistoryView, ListDecisions};
use clap::Args;

use crate::app::App;
use crate::error::CliError;
use crate::output::Table;
use crate::view;

/// How much of a reason fits into the last column; all of it, and the numbers, are in the JSON.
const REASON: usize = 100;

/// `baton rollout history`.
#[derive(Debug, Clone, Args)]
pub(crate) struct HistoryArgs {
    /// The agent.
    agent: AgentName,
}

/// Shows it.
pub(crate) async fn run(args: HistoryArgs, app: &App) -> Result<(), CliError> {
    let mesh = app.connect().await?;
    let question = ListDecisions(AboutAgent::one(args.agent));
    let history = mesh.ask_controller(&question).await?;
    app.output.show(&history, || text(&history))?;
    if history.decisions.is_empty() {
        app.output
            .note(&format!("no decision on the route of {} is kept", history.agent));
    }
    Ok(())
}

fn text(history: &HistoryView) -> String {
    if history.decisions.is_empty() {
        return String::new();
    }
    let mut table = Table::new(&["REVISION", "AT", "WHAT", "VERSION", "ACTIVE", "CANARY", "BY", "REASON"]);
    for one in &history.decisions {
        let (decision, canary) = (&one.decision, one.canary.as_ref());
        table.row([
            one.revision.to_string(),
            decision.at.to_string(),
            decision.what.clone(),
            decision
                .version
                .as_ref()
                .map_or_else(|| "-".to_owned(), ToString::to_string),
            one.active.to_string(),
            canary.map_or_else(
                || "-".to_owned(),
                |canary| format!("{} {}", canary.version, canary.percent),
            ),
            decision.by.clone(),
            view::one_line(&decision.reason.clone().unwrap_or_default(), REASON),
        ]);
    }
    table.render()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_decision_has_its_line_and_a_long_reason_is_cut() {
        let long = format!("more failures {}", "x".repeat(100));
        let history: HistoryView = serde_json::from_value(serde_json::json!({
            "agent": "code",
            "decisions": [
                {"revision": 7, "active": "1.4.0", "canary": {"version": "2.0.0", "percent": 10},
                 "decision": {"what": "started", "by": "ada@host", "at": "2026-11-21T05:00:00Z"}},
                {"revision": 9, "active": "1.4.0", "canary": null,
                 "decision": {"what": "rolled_back", "by": "controller", "at": "2026-11-21T05:01:00Z",
                              "version": "1.4.0", "reason": long, "numbers": {"hops": 1}}},
            ],
        }))
        .expect("a document");
        let text = text(&history);
        assert!(text.contains("2.0.0 10 %"), "{text}");
        let last = text.lines().last().expect("a line");
        assert!(last.contains("rolled_back") && last.contains("more failures"), "{last}");
        assert!(last.ends_with('…') && !last.contains("hops"), "{last}");
    }
}
