//! `baton agents quarantine`: sets a bad build aside, or takes it back.

use baton_envelope::{AgentName, AgentVersion, Route};
use baton_jetstream::control::{VersionAct, verb};
use clap::Args;

use crate::app::App;
use crate::error::CliError;
use crate::{view, who};

/// `baton agents quarantine`.
#[derive(Debug, Clone, Args)]
pub(crate) struct QuarantineArgs {
    /// The agent.
    agent: AgentName,
    /// The version.
    version: AgentVersion,
    /// Lift the quarantine: what is open there goes on.
    #[arg(long)]
    lift: bool,
    /// Why, for the history.
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
}

/// Quarantines it, or lifts that.
pub(crate) async fn run(args: QuarantineArgs, app: &App) -> Result<(), CliError> {
    let mesh = app.connect().await?;
    let QuarantineArgs {
        agent,
        version,
        lift,
        reason,
    } = args;
    let act = VersionAct {
        agent,
        version,
        by: who::person(),
        reason,
    };
    let verb = if lift { verb::LIFT } else { verb::QUARANTINE };
    let route: Route = mesh.control(verb, &act).await?;
    app.output.show(&route, || view::versions(&route))?;
    for line in notes(&act, lift, &route) {
        app.output.note(&line);
    }
    Ok(())
}

fn notes(act: &VersionAct, lift: bool, route: &Route) -> Vec<String> {
    let VersionAct { agent, version, .. } = act;
    if lift {
        return vec![format!("what is open on {agent}@{version} goes on")];
    }
    let mut notes = vec![format!("what is open on {agent}@{version} is paused")];
    if route.active != *version {
        notes.push(format!(
            "`baton intents move --agent {agent} --from {version} --to {}` moves it",
            route.active
        ));
    }
    notes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::view::fixtures::route;

    #[test]
    fn a_quarantine_says_what_is_paused_and_offers_the_move() {
        let act = VersionAct {
            agent: "code".parse().expect("name"),
            version: "2.0.0".parse().expect("version"),
            by: "ada@host".to_owned(),
            reason: None,
        };
        let said = notes(&act, false, &route()).join("\n");
        assert!(said.contains("code@2.0.0 is paused"), "{said}");
        assert!(
            said.contains("baton intents move --agent code --from 2.0.0 --to 1.4.0"),
            "{said}"
        );
        assert!(notes(&act, true, &route()).join("\n").contains("goes on"));
    }
}
