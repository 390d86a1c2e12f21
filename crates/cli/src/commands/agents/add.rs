//! `baton agents add`: makes a version known before any worker of it has come, or says that people do its work.

use baton_envelope::control::AddVersion;
use baton_envelope::{AgentName, AgentVersion, CapabilityName};
use clap::Args;

use crate::app::App;
use crate::error::CliError;
use crate::{view, who};

/// `baton agents add`.
#[derive(Debug, Clone, Args)]
pub(crate) struct AddArgs {
    /// The agent.
    agent: AgentName,
    /// The version.
    #[arg(long, default_value = "1.0.0")]
    version: AgentVersion,
    /// People or scripts do its work, with `baton work`: it needs no workers.
    #[arg(long, overrides_with = "no_manual")]
    manual: bool,
    /// Workers do its work [default].
    #[arg(long, overrides_with = "manual")]
    no_manual: bool,
    /// A capability that it has; may be repeated [default: those that are known].
    #[arg(long = "capability", value_name = "NAME")]
    capabilities: Vec<CapabilityName>,
    /// A kind of work that it takes; may be repeated [default: those that are known, else all].
    #[arg(long = "kind", value_name = "KIND")]
    kinds: Vec<String>,
}

/// Adds it.
pub(crate) async fn run(args: AddArgs, app: &App) -> Result<(), CliError> {
    let mesh = app.connect().await?;
    let AddArgs {
        agent,
        version,
        manual,
        capabilities,
        kinds,
        ..
    } = args;
    let question = AddVersion {
        agent: agent.clone(),
        version: version.clone(),
        manual,
        capabilities: capabilities.iter().map(ToString::to_string).collect(),
        kinds,
        by: who::person(),
    };
    let route = mesh.ask_controller(&question).await?;
    app.output.show(&route, || view::versions(&route))?;
    if route.active != version {
        app.output.note(&format!(
            "{} takes the new work; `baton route set {agent} {version}` gives it to {version}",
            route.active
        ));
    }
    if manual {
        app.output
            .note(&format!("`baton work list --agent {agent}` shows its work"));
    }
    Ok(())
}
