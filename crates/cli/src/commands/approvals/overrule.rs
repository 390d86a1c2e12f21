//! `baton approvals override`: an operator decides in the place of all.

use baton_envelope::control::OverrideApproval;
use baton_envelope::shown;
use clap::Args;

use super::WhichArgs;
use crate::app::App;
use crate::error::CliError;
use crate::who;

/// `baton approvals override`.
#[derive(Debug, Clone, Args)]
pub(crate) struct OverrideArgs {
    #[command(flatten)]
    which: WhichArgs,
    /// The choice.
    #[arg(long, value_name = "CHOICE")]
    choice: String,
    /// The reason, for the history.
    #[arg(long, value_name = "TEXT")]
    reason: String,
}

/// Decides.
pub(crate) async fn run(args: OverrideArgs, app: &App) -> Result<(), CliError> {
    let mesh = app.connect().await?;
    let question = OverrideApproval {
        intent: args.which.id,
        wait: args.which.wait,
        choice: args.choice.clone(),
        reason: args.reason,
        by: who::person(),
    };
    let decided = mesh.ask_controller(&question).await?;
    app.output.show(&decided, || {
        format!(
            "{} of intent {} is decided: {}",
            shown(&decided.wait),
            decided.intent,
            shown(&args.choice)
        )
    })
}
