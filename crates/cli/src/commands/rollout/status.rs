//! `baton rollout status`: where a rollout stands, once or until it is over.

use std::time::Duration;

use baton_envelope::control::{AboutAgent, ShowRollout, StatusView};
use baton_envelope::{AgentName, Phase, VersionState};
use baton_jetstream::{Error, Mesh};
use clap::Args;

use crate::app::App;
use crate::error::CliError;
use crate::output::Output;
use crate::view;

/// How long from one question to the next while watching.
const ASK_AGAIN: Duration = Duration::from_secs(1);

/// `baton rollout status`.
#[derive(Debug, Clone, Args)]
pub(crate) struct StatusArgs {
    /// The agent.
    agent: AgentName,
    /// Show every change, until the rollout is over and nothing drains.
    #[arg(long)]
    watch: bool,
}

/// Shows it.
pub(crate) async fn run(args: StatusArgs, app: &App) -> Result<(), CliError> {
    let mesh = app.connect().await?;
    let question = ShowRollout(AboutAgent::one(args.agent));
    if args.watch {
        return watch(&mesh, &question, app.output).await;
    }
    let status = mesh.ask_controller(&question).await?;
    app.output.show(&status, || view::rollout_status(&status))
}

async fn watch(mesh: &Mesh, question: &ShowRollout, output: Output) -> Result<(), CliError> {
    let mut shown = String::new();
    loop {
        match mesh.ask_controller(question).await {
            Ok(status) => {
                let document = serde_json::to_string(&status)?;
                if document != shown {
                    output.redraw(&status, || view::rollout_status(&status))?;
                    shown = document;
                }
                if is_over(&status) {
                    return Ok(());
                }
            }
            // The controller that had the question died with it; looking again is harmless.
            Err(Error::NoAnswer { .. }) => {}
            Err(error) => return Err(error.into()),
        }
        tokio::time::sleep(ASK_AGAIN).await;
    }
}

/// Whether nothing more will come by itself.
fn is_over(status: &StatusView) -> bool {
    let ended = match status.rollout.as_ref().map(|rollout| &rollout.phase) {
        None | Some(Phase::Done | Phase::RolledBack | Phase::Aborted) => true,
        Some(Phase::Ramping | Phase::Paused | Phase::Draining | Phase::Unknown(_)) => false,
    };
    ended && !status.drains.iter().any(|drain| drain.state == VersionState::Draining)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::view::fixtures::status;

    #[test]
    fn watching_ends_when_the_rollout_is_over_and_nothing_drains() {
        let mut status = status();
        assert!(!is_over(&status));
        for phase in [Phase::Done, Phase::RolledBack, Phase::Aborted] {
            status.rollout.as_mut().expect("one").phase = phase;
            status.drains[0].state = VersionState::Draining;
            assert!(!is_over(&status));
            status.drains[0].state = VersionState::Drained;
            assert!(is_over(&status));
        }
        status.rollout = None;
        assert!(is_over(&status));
    }
}
