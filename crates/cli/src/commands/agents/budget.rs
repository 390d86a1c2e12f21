//! `baton agents budget`: what all workers of an agent may spend in a day.

use baton_envelope::budget::{Amounts, MeterName};
use baton_envelope::codes;
use baton_envelope::control::{AboutAgent, CapView, ListAgents, SetCap};
use baton_envelope::{AgentName, PerDay};
use clap::Args;

use crate::app::App;
use crate::error::{CliError, Kind};
use crate::{view, who};

/// `baton agents budget`.
#[derive(Debug, Clone, Args)]
pub(crate) struct BudgetArgs {
    /// The agent.
    agent: AgentName,
    /// How much its workers spend in a day (UTC), all together, in the cost that steps account for, such as 50/day; 0 for no cap.
    #[arg(long, value_name = "AMOUNT/day")]
    cost: Option<PerDay>,
    /// How many tokens, such as 200k/day or 2M/day; 0 for no cap.
    #[arg(long, value_name = "AMOUNT/day")]
    tokens: Option<PerDay>,
    /// The reason, for the history.
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
}

/// Sets the cap, or shows it.
pub(crate) async fn run(args: BudgetArgs, app: &App) -> Result<(), CliError> {
    let BudgetArgs {
        agent,
        cost,
        tokens,
        reason,
    } = args;
    let mesh = app.connect().await?;
    let mut per_day = Amounts::NONE;
    for (meter, amount) in [(MeterName::Cost, cost), (MeterName::Tokens, tokens)] {
        if let Some(PerDay(amount)) = amount {
            per_day.set(meter, amount);
        }
    }
    if per_day != Amounts::NONE {
        let by = who::person();
        let question = SetCap {
            agent,
            per_day,
            by,
            reason,
        };
        let cap = mesh.ask_controller(&question).await?;
        return app.output.show(&cap, || said(&cap));
    }
    let question = ListAgents(AboutAgent::one(agent.clone()));
    let agents = mesh.ask_controller(&question).await?.agents;
    let Some(found) = agents.into_iter().next() else {
        let message = format!("agent \"{agent}\" is not known");
        return Err(
            CliError::say(Kind::NotFound, codes::UNKNOWN_AGENT, message).hint("`baton agents list` shows the agents")
        );
    };
    app.output.show(&found.cap, || match &found.cap {
        Some(cap) => said(cap),
        None => format!("{agent} has no cap"),
    })
}

fn said(cap: &CapView) -> String {
    match cap.per_day.are_zero() && cap.waiting == 0 {
        true => format!("{} has no cap", cap.agent),
        false => view::cap(cap),
    }
}
