//! `baton rollout history`: every decision on an agent's route.

use baton_envelope::AgentName;
use baton_jetstream::control::{AboutAgent, HistoryView, verb};
use clap::Args;

use crate::app::App;
use crate::error::CliError;
use crate::output::Table;
use crate::view;

/// How much of the numbers fits into the last column; all of them are in the JSON.
const NUMBERS: usize = 60;

/// `baton rollout history`.
#[derive(Debug, Clone, Args)]
pub(crate) struct HistoryArgs {
    /// The agent.
    agent: AgentName,
}

/// Shows it.
pub(crate) async fn run(args: HistoryArgs, app: &App) -> Result<(), CliError> {
    let mesh = app.connect().await?;
    let about = AboutAgent {
        agent: Some(args.agent),
    };
    let history: HistoryView = mesh.control(verb::HISTORY, &about).await?;
    app.output.show(&history, || text(&history))?;
    if history.decisions.is_empty() {
        app.output.note(&format!(
            "nothing was decided on the route of {} that is still kept",
            history.agent
        ));
    }
    Ok(())
}

fn text(history: &HistoryView) -> String {
    if history.decisions.is_empty() {
        return String::new();
    }
    let mut table = Table::new(&["REVISION", "AT", "WHAT", "ACTIVE", "CANARY", "BY", "REASON", "NUMBERS"]);
    for one in &history.decisions {
        let (decision, canary) = (&one.decision, one.canary.as_ref());
        table.row([
            one.revision.to_string(),
            decision.at.to_string(),
            decision.what.clone(),
            one.active.to_string(),
            canary.map_or_else(
                || "-".to_owned(),
                |canary| format!("{} {}", canary.version, canary.percent),
            ),
            decision.by.clone(),
            decision.reason.clone().unwrap_or_default(),
            decision
                .numbers
                .as_ref()
                .map(|numbers| view::one_line(numbers.get(), NUMBERS))
                .unwrap_or_default(),
        ]);
    }
    table.render()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_decision_has_its_line_and_its_numbers_are_cut() {
        let long: Vec<u32> = (100..150).collect();
        let history: HistoryView = serde_json::from_value(serde_json::json!({
            "agent": "code",
            "decisions": [
                {"revision": 7, "active": "1.4.0", "canary": {"version": "2.0.0", "percent": 10},
                 "decision": {"what": "started", "by": "ada@host", "at": "2026-11-21T05:00:00Z"}},
                {"revision": 9, "active": "1.4.0", "canary": null,
                 "decision": {"what": "rolled_back", "by": "controller", "at": "2026-11-21T05:01:00Z",
                              "reason": "more failures", "numbers": {"hops": long}}},
            ],
        }))
        .expect("a document");
        let text = text(&history);
        assert!(text.contains("2.0.0 10 %"), "{text}");
        let last = text.lines().last().expect("a line");
        assert!(last.contains("rolled_back") && last.contains("more failures"), "{last}");
        assert!(last.ends_with('…') && !last.contains("149"), "{last}");
    }
}
