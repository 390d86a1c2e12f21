//! `baton route explain`: which version would take a piece of work, and why.

use baton_envelope::codes;
use baton_envelope::control::{ExplainRoute, ExplainView};
use baton_envelope::{AgentName, IntentId, shown};
use clap::Args;

use crate::app::App;
use crate::error::{CliError, Kind};
use crate::output::Table;
use crate::view;

/// `baton route explain`.
#[derive(Debug, Clone, Args)]
pub(crate) struct ExplainArgs {
    /// The agent that the work is for.
    #[arg(required_unless_present = "capabilities", conflicts_with = "capabilities")]
    agent: Option<AgentName>,
    /// Capability that the agent must have, in place of its name; may be repeated.
    #[arg(long = "capability", value_name = "NAME")]
    capabilities: Vec<String>,
    /// An intent, whose tree, pins and path decide too.
    #[arg(long, value_name = "ID")]
    intent: Option<IntentId>,
    /// Kind of the work, such as invoice.extract.v1.
    #[arg(long)]
    kind: Option<String>,
}

/// Explains it.
pub(crate) async fn run(args: ExplainArgs, app: &App) -> Result<(), CliError> {
    let mesh = app.connect().await?;
    let question = ExplainRoute {
        agent: args.agent,
        capabilities: args.capabilities,
        intent: args.intent,
        kind: args.kind,
    };
    // Told when nobody would take it: the agent that was named, or none of all.
    let code = if question.capabilities.is_empty() {
        codes::UNROUTABLE
    } else {
        codes::NONE_CAPABLE
    };
    let explained = mesh.ask_controller(&question).await?;
    app.output.show(&explained, || text(&explained))?;
    if explained.version.is_some() {
        Ok(())
    } else {
        Err(CliError::say(
            Kind::NotFound,
            code,
            format!("no version would take it: {}", explained.why),
        )
        .hint("`baton agents list` shows the agents and the states of their versions"))
    }
}

fn text(explained: &ExplainView) -> String {
    let headline = match &explained.version {
        Some(_) => {
            let at = view::agent_at(explained.agent.as_ref(), explained.version.as_ref());
            format!("{at} would take it: {}", shown(&explained.why))
        }
        // Told as the error, on stderr.
        None => String::new(),
    };
    view::paragraphs([headline, candidates(explained)])
}

fn candidates(explained: &ExplainView) -> String {
    if explained.candidates.is_empty() {
        return String::new();
    }
    let mut table = Table::new(&["AGENT", "VERSION", "ABLE", "BACKLOG", "WORKERS", "BREAKER", "REASON"]);
    for one in &explained.candidates {
        table.row([
            one.agent.to_string(),
            one.version.to_string(),
            if one.able { "yes" } else { "no" }.to_owned(),
            one.backlog.to_string(),
            one.workers.to_string(),
            if one.breaker_open { "open" } else { "closed" }.to_owned(),
            one.reason.clone(),
        ]);
    }
    table.render()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_choice_comes_first_and_then_everything_that_was_looked_at() {
        let explained: ExplainView = serde_json::from_value(serde_json::json!({
            "agent": "code", "version": "2.0.0", "why": "the chain's bucket 3 is below the canary's 10 %",
            "candidates": [
                {"agent": "code", "version": "2.0.0", "able": true, "reason": "takes all kinds",
                 "backlog": 2, "workers": 1, "breaker_open": false},
                {"agent": "code", "version": "1.4.0", "able": false, "reason": "quarantined",
                 "backlog": 0, "workers": 0, "breaker_open": true},
            ],
        }))
        .expect("a document");
        let text = text(&explained);
        assert!(
            text.starts_with("code@2.0.0 would take it: the chain's bucket 3"),
            "{text}"
        );
        let no = text.lines().last().expect("a line");
        assert_eq!(
            no.split_whitespace().collect::<Vec<_>>(),
            ["code", "1.4.0", "no", "0", "0", "open", "quarantined"]
        );
    }
}
