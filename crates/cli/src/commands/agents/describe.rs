//! `baton agents describe`: everything that is known of one agent.

use baton_envelope::codes;
use baton_envelope::control::{AboutAgent, AgentView, ListAgents, VersionView, WorkerView};
use baton_envelope::{AgentName, ViewSize};
use clap::Args;

use super::breaker;
use crate::app::App;
use crate::error::{CliError, Kind};
use crate::output::Table;
use crate::parse::TokenFactor;
use crate::view;

/// `baton agents describe`.
#[derive(Debug, Clone, Args)]
pub(crate) struct DescribeArgs {
    /// The agent.
    agent: AgentName,
}

/// Describes it.
pub(crate) async fn run(args: DescribeArgs, app: &App) -> Result<(), CliError> {
    let mesh = app.connect().await?;
    let question = ListAgents(AboutAgent::one(args.agent.clone()));
    let agents = mesh.ask_controller(&question).await?;
    if agents.agents.is_empty() {
        return Err(CliError::say(
            Kind::NotFound,
            codes::UNKNOWN_AGENT,
            format!("agent \"{}\" is not known", args.agent),
        )
        .hint("`baton agents list` shows the agents"));
    }
    app.output
        .show(&agents, || view::paragraphs(agents.agents.iter().map(text)))
}

fn text(agent: &AgentView) -> String {
    let mut parts = vec![facts(agent).render()];
    for one in &agent.versions {
        let mut about = version(agent, one).render();
        if !one.workers.is_empty() {
            about.push('\n');
            about.push_str(&view::indented(&workers(one).render()));
        }
        parts.push(about);
    }
    parts.push(view::pauses([agent]));
    parts.push(view::caps([agent]));
    parts.push(view::alarms(&agent.alarms));
    view::paragraphs(parts)
}

fn facts(agent: &AgentView) -> Table {
    let mut table = Table::pairs();
    table.pair("agent", agent.agent.as_str());
    table.pair("active", agent.active.to_string());
    table.pair(
        "canary",
        agent
            .canary
            .as_ref()
            .map(|canary| format!("{}, {}", canary.version, canary.percent))
            .unwrap_or_default(),
    );
    table.pair(
        "before",
        agent.previous.as_ref().map(ToString::to_string).unwrap_or_default(),
    );
    table.pair("pinning", agent.pinning.name());
    table.pair(
        "rollout",
        agent.rollout.as_ref().map(view::rollout_line).unwrap_or_default(),
    );
    table
}

fn version(agent: &AgentView, one: &VersionView) -> Table {
    let mut table = Table::pairs();
    table.pair("version", one.version.to_string());
    let state = view::version_state(agent, one);
    table.pair(
        "  state",
        // The time is that of the state; a pause or a kill has its own.
        match (one.since, state.split_once(", ")) {
            (Some(since), Some((state, more))) => {
                let pause = one.paused.as_ref().or(agent.paused.as_ref());
                let at = pause.map(|pause| format!(" since {}", pause.at)).unwrap_or_default();
                format!("{state} since {since}, {more}{at}")
            }
            (Some(since), None) => format!("{state} since {since}"),
            (None, _) => state,
        },
    );
    table.pair("  reason", one.reason.clone().unwrap_or_default());
    table.pair("  capabilities", one.capabilities.join(", "));
    table.pair("  kinds", one.kinds.join(", "));
    table.pair("  channels", one.channels.join(", "));
    table.pair("  schemas", one.schemas.keys().cloned().collect::<Vec<_>>().join(", "));
    table.pair("  protocol", view::protocol(one.protocol));
    table.pair("  views", one.context.as_ref().map(views).unwrap_or_default());
    table.pair(
        "  tickets",
        format!("{} waiting, {} in flight", one.backlog, one.in_flight),
    );
    let open: Vec<String> = one
        .open
        .iter()
        .map(|(cause, count)| format!("{count} {cause}"))
        .collect();
    table.pair(
        "  open",
        if open.is_empty() {
            "nothing".to_owned()
        } else {
            open.join(", ")
        },
    );
    if let Some(breaker) = one.breaker.as_ref().filter(|breaker| breaker.withholds()) {
        let reason = breaker.reason.as_deref().unwrap_or_default();
        let (state, then) = (breaker.state.name(), breaker::then(breaker));
        table.pair(
            "  breaker",
            format!("{state} since {}: {reason}; {then}", breaker.since),
        );
    } else if one.breaker_open {
        table.pair("  breaker", "open");
    }
    if one.manual {
        table.pair("  workers", format!("by hand: baton work list --agent {}", agent.agent));
    } else if one.workers.is_empty() {
        table.pair("  workers", "none");
    }
    table
}

fn workers(one: &VersionView) -> Table {
    let mut table = Table::new(&["WORKER", "BUSY", "LAST HEARD", ""]);
    for worker in &one.workers {
        table.row([
            worker.instance.clone(),
            format!("{}/{}", worker.busy, worker.concurrency),
            worker.heard_at.to_string(),
            remarks(worker),
        ]);
    }
    table
}

fn remarks(worker: &WorkerView) -> String {
    let stopping = worker.stopping.then(|| "stopping".to_owned());
    stopping
        .into_iter()
        .chain(worker.clock())
        .collect::<Vec<_>>()
        .join("; ")
}

/// What the views of a version are cut to.
fn views(size: &ViewSize) -> String {
    let most = size.view_tokens.map(|tokens| format!("at most {tokens} tokens"));
    let factor = size.factor().get();
    let factor = (factor != 1_000).then(|| format!("{} for each token of o200k_base", TokenFactor(factor)));
    most.into_iter().chain(factor).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::view::fixtures::agents;

    #[test]
    fn every_version_is_described_with_its_workers_and_its_open_work() {
        let agents = agents();
        let text = text(&agents.agents[0]);
        for part in [
            "pinning",
            "2.0.0, 10 %",
            "1.4.0 → 2.0.0, ramping at 25 % (step 2 of 4)",
            "canary 10 % since",
            "rollout r-1",
            "rust, tests",
            "3 waiting, 1 in flight",
            "3 queued, 1 waiting_human",
            "w-2",
            "2/8",
            "the clock of db-7 is 30.0 s behind the server's",
            "none",
            "ALARM DRAIN_WITHOUT_WORKERS",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
    }

    #[test]
    fn what_views_are_cut_to_is_said_where_it_is_known() {
        let said = |view_tokens, factor| {
            views(&ViewSize {
                view_tokens,
                factor,
                ..ViewSize::default()
            })
        };
        assert_eq!(said(None, Some(1_000)), "");
        assert_eq!(said(Some(8_000), None), "at most 8000 tokens");
        assert_eq!(
            said(Some(8_000), Some(1_600)),
            "at most 8000 tokens, 1.6 for each token of o200k_base"
        );
    }
}
