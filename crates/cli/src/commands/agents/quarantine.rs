//! `baton agents quarantine`: sets a bad build aside, or takes it back.

use baton_envelope::control::{LiftQuarantine, QuarantineVersion, VersionAct};
use baton_envelope::{AgentName, AgentVersion, Route};
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
    /// Lift the quarantine: the open work resumes.
    #[arg(long)]
    lift: bool,
    /// The reason, for the history.
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
        agent: agent.clone(),
        version: version.clone(),
        by: who::person(),
        reason,
    };
    let route = if lift {
        mesh.ask_controller(&LiftQuarantine(act)).await?
    } else {
        mesh.ask_controller(&QuarantineVersion(act)).await?
    };
    app.output.show(&route, || view::versions(&route))?;
    for line in notes(&agent, &version, lift, &route) {
        app.output.note(&line);
    }
    Ok(())
}

fn notes(agent: &AgentName, version: &AgentVersion, lift: bool, route: &Route) -> Vec<String> {
    if lift {
        return vec![format!("the open work of {agent}@{version} resumes")];
    }
    let mut notes = vec![format!("the open work of {agent}@{version} is paused")];
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
        let (agent, version) = ("code".parse().expect("name"), "2.0.0".parse().expect("version"));
        let said = notes(&agent, &version, false, &route()).join("\n");
        assert!(said.contains("code@2.0.0 is paused"), "{said}");
        assert!(
            said.contains("baton intents move --agent code --from 2.0.0 --to 1.4.0"),
            "{said}"
        );
        assert!(notes(&agent, &version, true, &route()).join("\n").contains("resumes"));
    }
}
