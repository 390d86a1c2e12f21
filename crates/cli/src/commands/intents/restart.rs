//! `baton intents restart`: a new intent with the work of a hop of an old one.

use baton_envelope::IntentId;
use baton_envelope::control::RestartIntent;
use clap::Args;

use crate::app::App;
use crate::error::CliError;
use crate::who;

/// `baton intents restart`.
#[derive(Debug, Clone, Args)]
pub(crate) struct RestartArgs {
    /// The intent, open or closed.
    #[arg(value_name = "ID")]
    id: IntentId,
    /// The hop to begin from, with what it received.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    from_hop: u32,
    /// Id of the new intent [default: ID-restart-1, or the next number that is free].
    #[arg(long = "id", value_name = "NEW")]
    new: Option<IntentId>,
    /// The reason, for the history.
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
}

/// Restarts it.
pub(crate) async fn run(args: RestartArgs, app: &App) -> Result<(), CliError> {
    let mesh = app.connect().await?;
    let question = RestartIntent {
        intent: args.id,
        hop: args.from_hop,
        id: args.new,
        reason: args.reason,
        by: who::person(),
    };
    let restarted = mesh.ask_controller(&question).await?;
    app.output.show(&restarted, || {
        format!(
            "{} has the work of hop {} of {}, at {}",
            restarted.intent, restarted.hop, restarted.from, restarted.agent
        )
    })?;
    if restarted.noted.is_some() {
        app.output.note(&format!(
            "{} is open still: `baton intents cancel {} --reason TEXT` ends it",
            restarted.from, restarted.from
        ));
    }
    Ok(())
}
