//! `baton route pinning`: how intents of an agent keep to versions.

use baton_envelope::control::SetPinning;
use baton_envelope::{AgentName, Pinning, shown};
use clap::Args;

use crate::app::App;
use crate::commands::send::Keeping;
use crate::error::CliError;
use crate::who;

/// `baton route pinning`.
#[derive(Debug, Clone, Args)]
pub(crate) struct PinningArgs {
    /// The agent to which the intents are submitted.
    agent: AgentName,
    /// The pinning of intents that name none themselves.
    #[arg(value_enum)]
    pinning: Keeping,
}

/// Runs the command.
pub(crate) async fn run(args: PinningArgs, app: &App) -> Result<(), CliError> {
    let mesh = app.connect().await?;
    let question = SetPinning {
        agent: args.agent,
        pinning: args.pinning.into(),
        by: who::person(),
    };
    let route = mesh.ask_controller(&question).await?;
    app.output.show(&route, || {
        let meaning = match route.pinning {
            Pinning::Chain => "all hops use the routes at the time of the submit",
            Pinning::Hop | Pinning::Unknown(_) => "each hop uses the route at the time of that hop",
        };
        format!(
            "new intents for {}: pinning {} ({meaning})",
            route.agent,
            shown(route.pinning.name())
        )
    })
}
