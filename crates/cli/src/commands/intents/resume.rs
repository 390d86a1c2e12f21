//! `baton intents resume`: a paused intent goes on.

use baton_envelope::IntentId;
use baton_envelope::control::ResumeIntent;
use clap::Args;

use crate::app::App;
use crate::error::CliError;
use crate::who;

/// `baton intents resume`.
#[derive(Debug, Clone, Args)]
pub(crate) struct ResumeArgs {
    /// The intent.
    #[arg(value_name = "ID")]
    id: IntentId,
    /// The reason, for the history.
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
}

/// Resumes it.
pub(crate) async fn run(args: ResumeArgs, app: &App) -> Result<(), CliError> {
    let mesh = app.connect().await?;
    let question = ResumeIntent {
        intent: args.id,
        reason: args.reason,
        by: who::person(),
    };
    let resumed = mesh.ask_controller(&question).await?;
    app.output.show(&resumed, || {
        let version = resumed.version.as_ref().map(|version| format!(" on version {version}"));
        format!("{} goes on{}", resumed.intent, version.unwrap_or_default())
    })
}
