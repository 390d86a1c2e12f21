//! `baton agents resume`: a paused or killed agent works again.

use baton_envelope::control::{AgentAct, ResumeAgent};
use baton_envelope::{AgentName, AgentVersion, Route};
use clap::Args;

use crate::app::App;
use crate::error::CliError;
use crate::{view, who};

/// `baton agents resume`.
#[derive(Debug, Clone, Args)]
pub(crate) struct ResumeArgs {
    /// The agent.
    agent: AgentName,
    /// The version [default: all of them, also those that are still to come].
    version: Option<AgentVersion>,
    /// The reason, for the history.
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
}

/// Resumes it.
pub(crate) async fn run(args: ResumeArgs, app: &App) -> Result<(), CliError> {
    let mesh = app.connect().await?;
    let ResumeArgs { agent, version, reason } = args;
    let act = AgentAct {
        agent: agent.clone(),
        version: version.clone(),
        by: who::person(),
        reason,
    };
    let route = mesh.ask_controller(&ResumeAgent(act)).await?;
    app.output.show(&route, || view::versions(&route))?;
    for line in notes(&route, version.as_ref()) {
        app.output.note(&line);
    }
    Ok(())
}

/// What goes on, and what is paused still: a version and the whole agent are paused each for itself.
fn notes(route: &Route, version: Option<&AgentVersion>) -> Vec<String> {
    let agent = &route.agent;
    let goes_on = format!("the work of {} goes on", view::agent_at(Some(agent), version));
    let still = |version: Option<&AgentVersion>| {
        let name = view::agent_at(Some(agent), version);
        let of = view::arguments(agent, version);
        format!("{name} is paused still: `baton agents resume {of}`")
    };
    match version {
        Some(_) if route.paused.is_some() => vec![still(None)],
        Some(_) => vec![goes_on],
        None => {
            let paused = route.versions.iter().filter(|(_, entry)| entry.paused.is_some());
            let rest = paused.map(|(version, _)| still(Some(version)));
            std::iter::once(goes_on).chain(rest).collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::view::fixtures::route;

    #[test]
    fn what_is_paused_for_itself_is_said_to_be_so_still() {
        let (mut route, two) = (route(), "2.0.0".parse().expect("version"));
        assert_eq!(notes(&route, Some(&two)), ["the work of code@2.0.0 goes on"]);
        let pause = serde_json::json!({"by": "ada@host", "at": "2026-11-21T05:00:00.000Z"});
        let pause: baton_envelope::Pause = serde_json::from_value(pause).expect("a pause");
        route.paused = Some(pause.clone());
        assert_eq!(
            notes(&route, Some(&two)),
            ["code is paused still: `baton agents resume code`"]
        );
        route.paused = None;
        route.versions.get_mut(&two).expect("a version").paused = Some(pause);
        let said = notes(&route, None).join("\n");
        assert!(
            said.contains("goes on") && said.ends_with("baton agents resume code 2.0.0`"),
            "{said}"
        );
    }
}
