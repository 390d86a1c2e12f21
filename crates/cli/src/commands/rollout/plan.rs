//! `baton rollout plan`: whether a version can be rolled out.

use baton_envelope::codes;
use baton_envelope::control::{PlanRollout, PlanView, ReplayView};
use baton_envelope::{AgentName, AgentVersion};
use clap::Args;

use crate::app::App;
use crate::error::{CliError, Kind};
use crate::output::Table;
use crate::view;

/// How much of a value that differs fits into a column; all of it is in the JSON.
const VALUE: usize = 40;

/// `baton rollout plan`.
#[derive(Debug, Clone, Args)]
pub(crate) struct PlanArgs {
    /// The agent.
    agent: AgentName,
    /// The version to roll out.
    version: AgentVersion,
    /// How many of the active version's last completed hops to run again on it, and compare.
    #[arg(long, value_name = "N", default_value_t = 0)]
    replay: u32,
}

/// Shows the checks; fails when one did.
pub(crate) async fn run(args: PlanArgs, app: &App) -> Result<(), CliError> {
    let mesh = app.connect().await?;
    let question = PlanRollout {
        agent: args.agent,
        version: args.version,
        replay: args.replay,
    };
    let plan = mesh.ask_controller(&question).await?;
    app.output.show(&plan, || text(&plan))?;
    if plan.passed { Ok(()) } else { Err(failed(&plan)) }
}

fn failed(plan: &PlanView) -> CliError {
    let (total, failed) = (
        plan.checks.len(),
        plan.checks.iter().filter(|check| !check.passed).count(),
    );
    let (agent, to) = (&plan.agent, &plan.to);
    CliError::say(
        Kind::Refused,
        codes::PREFLIGHT,
        format!("{agent}@{to} cannot be rolled out: {failed} of {total} checks failed"),
    )
    .hint(hint(plan))
}

/// Not everything can be forced: what the route itself forbids stays forbidden.
fn hint(plan: &PlanView) -> String {
    let (agent, to) = (&plan.agent, &plan.to);
    let is_forbidden = plan.checks.iter().any(|check| !check.passed && check.name == "state");
    if is_forbidden {
        "each failed check says what to do".to_owned()
    } else {
        format!("each failed check says what to do; `baton rollout start {agent} {to} --force` starts anyway")
    }
}

fn text(plan: &PlanView) -> String {
    let headline = format!("{}: {} → {}", plan.agent, plan.from, plan.to);
    let mut table = Table::new(&["CHECK", "RESULT", "DETAIL"]);
    for check in &plan.checks {
        let result = if check.passed { "ok" } else { "FAILED" };
        table.row([check.name.clone(), result.to_owned(), check.detail.clone()]);
        if let Some(fix) = check.fix.as_ref().filter(|_| !check.passed) {
            table.row([String::new(), String::new(), format!("hint: {fix}")]);
        }
    }
    let replay = plan.replay.as_ref().map(replay).unwrap_or_default();
    view::paragraphs([headline, table.render(), replay])
}

fn replay(replay: &ReplayView) -> String {
    let summary = format!(
        "{} replayed, {} the same",
        crate::view::count_of(replay.replayed, "hop", "hops"),
        replay.same
    );
    if replay.differences.is_empty() {
        return summary;
    }
    let mut table = Table::new(&["INTENT", "HOP", "WHAT", "OLD", "NEW"]);
    for one in &replay.differences {
        table.row([
            one.intent.to_string(),
            one.hop.to_string(),
            one.what.clone(),
            view::one_line(&one.old, VALUE),
            view::one_line(&one.new, VALUE),
        ]);
    }
    view::paragraphs([summary, table.render()])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_check_that_failed_has_its_fix_below_and_differences_are_shown() {
        let plan: PlanView = serde_json::from_value(serde_json::json!({
            "agent": "code", "from": "1.4.0", "to": "2.0.0", "passed": false,
            "checks": [
                {"name": "protocol", "passed": true, "detail": "reads 1.0.0", "fix": "never shown"},
                {"name": "workers", "passed": false, "detail": "no live worker", "fix": "start one"},
            ],
            "replay": {"asked": 20, "replayed": 20, "same": 19, "differences": [
                {"intent": "order-1", "hop": 2, "what": "result", "old": "\"a\"", "new": "\"b\""},
            ]},
        }))
        .expect("a document");
        let text = text(&plan);
        let lines: Vec<String> = text
            .lines()
            .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
            .collect();
        for line in [
            "code: 1.4.0 → 2.0.0",
            "protocol ok reads 1.0.0",
            "workers FAILED no live worker",
            "hint: start one",
            "20 hops replayed, 19 the same",
            "order-1 2 result \"a\" \"b\"",
        ] {
            assert!(lines.iter().any(|found| found == line), "{line}: {text}");
        }
        assert!(!text.contains("never shown"), "{text}");
        let error = failed(&plan);
        assert_eq!(error.kind.exit(), 4);
        assert!(error.message().contains("1 of 2 checks failed"), "{error:?}");
    }
}
