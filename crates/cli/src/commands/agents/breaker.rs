//! `baton agents breaker`: the breakers of an agent's versions, shown, or opened and closed by hand.

use std::collections::BTreeMap;

use baton_envelope::control::{AboutAgent, AgentView, ListAgents, SetBreaker};
use baton_envelope::{AgentName, AgentVersion, Breaker, BreakerState, shown};
use clap::Args;
use serde::Serialize;

use crate::app::App;
use crate::error::CliError;
use crate::output::Table;
use crate::{view, who};

/// `baton agents breaker`.
#[derive(Debug, Clone, Args)]
pub(crate) struct BreakerArgs {
    /// The agent.
    agent: AgentName,
    /// The version [default: all to show, the one that takes new work to change].
    version: Option<AgentVersion>,
    /// Open it until somebody closes it: its work waits.
    #[arg(long, conflicts_with = "close")]
    open: bool,
    /// Close it: what has waited goes to its workers.
    #[arg(long)]
    close: bool,
    /// The reason, for the history.
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
}

/// Shows breakers, or changes one.
pub(crate) async fn run(args: BreakerArgs, app: &App) -> Result<(), CliError> {
    let mesh = app.connect().await?;
    if !args.open && !args.close {
        let agents = mesh.ask_controller(&ListAgents(AboutAgent::one(args.agent))).await?;
        let mut breakers: Vec<Breaker> = agents.agents.iter().flat_map(found).collect();
        breakers.retain(|breaker| args.version.as_ref().is_none_or(|version| breaker.version == *version));
        let documents: Vec<Document<'_>> = breakers.iter().map(Document::from).collect();
        app.output.show(&documents, || table(&breakers))?;
        if breakers.is_empty() {
            app.output.note("no breaker was ever open");
        }
        return Ok(());
    }
    let question = SetBreaker {
        agent: args.agent,
        version: args.version,
        open: args.open,
        by: who::person(),
        reason: args.reason,
    };
    let breaker = mesh.ask_controller(&question).await?;
    app.output
        .show(&Document::from(&breaker), || table(std::slice::from_ref(&breaker)))?;
    let (agent, version) = (&breaker.agent, &breaker.version);
    app.output.note(&if args.open {
        format!("the work of {agent}@{version} waits until `baton agents breaker {agent} {version} --close`")
    } else {
        format!("the work of {agent}@{version} that has waited goes to its workers")
    });
    Ok(())
}

/// A breaker as a document: it names its state, which the wire leaves out where it is closed.
#[derive(Serialize)]
struct Document<'a> {
    state: &'a str,
    #[serde(flatten)]
    rest: BTreeMap<String, serde_json::Value>,
}

impl<'a> From<&'a Breaker> for Document<'a> {
    fn from(breaker: &'a Breaker) -> Self {
        let mut rest: BTreeMap<String, serde_json::Value> = serde_json::to_value(breaker)
            .and_then(serde_json::from_value)
            .unwrap_or_default();
        rest.remove("state");
        Self {
            state: breaker.state.name(),
            rest,
        }
    }
}

fn found(agent: &AgentView) -> Vec<Breaker> {
    agent.versions.iter().filter_map(|one| one.breaker.clone()).collect()
}

fn table(breakers: &[Breaker]) -> String {
    if breakers.is_empty() {
        return String::new();
    }
    let mut table = Table::new(&["AGENT", "VERSION", "BREAKER", "SINCE", "THEN", "BY", "REASON"]);
    for breaker in breakers {
        table.row([
            breaker.agent.to_string(),
            breaker.version.to_string(),
            shown(breaker.state.name()).into_owned(),
            breaker.since.to_string(),
            then(breaker),
            breaker.by.clone(),
            breaker.reason.clone().unwrap_or_default(),
        ]);
    }
    table.render()
}

/// What comes next, in words.
pub(crate) fn then(breaker: &Breaker) -> String {
    match (&breaker.state, &breaker.until, &breaker.probe) {
        (BreakerState::Open, Some(until), _) => format!("one intent after {}", view::time(Some(*until))),
        (BreakerState::Open, None, _) => "until closed by hand".to_owned(),
        (BreakerState::HalfOpen, _, Some(probe)) => format!("{probe} decides"),
        (_, _, _) if breaker.owed_through > 0 => "what has waited is being released".to_owned(),
        (_, _, _) => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_breaker_says_what_comes_next() {
        let breaker = |more: &str| -> Breaker {
            let text = format!(
                r#"{{"agent":"code","version":"1.4.0","since":"2026-11-21T05:00:00.000Z","by":"controller c1",
                "reason":"3 in a row"{more}}}"#
            );
            serde_json::from_str(&text).expect("a breaker")
        };
        for (more, words) in [
            (
                r#","state":"open","until":"2026-11-21T05:01:00.000Z""#,
                "one intent after",
            ),
            (r#","state":"open""#, "until closed by hand"),
            (r#","state":"half_open","probe":"order-7""#, "order-7 decides"),
            (r#","owed_through":9"#, "being released"),
        ] {
            let text = table(&[breaker(more)]);
            assert!(text.contains(words) && text.contains("3 in a row"), "{text}");
        }
        assert_eq!(then(&breaker("")), "");
        let closed = breaker("");
        let json = serde_json::to_value(Document::from(&closed)).expect("JSON");
        assert_eq!((&json["state"], &json["agent"]), (&"closed".into(), &"code".into()));
    }
}
