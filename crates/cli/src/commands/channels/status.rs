//! `baton channels status`: who has taken a message of a channel, and who has not.

use baton_envelope::IntentId;
use baton_envelope::control::{BroadcastView, ShowBroadcast};
use clap::Args;

use crate::app::App;
use crate::error::CliError;
use crate::output::Table;

/// `baton channels status`.
#[derive(Debug, Clone, Args)]
pub(crate) struct StatusArgs {
    /// The message, by the intent that it became.
    #[arg(value_name = "INTENT")]
    intent: IntentId,
}

/// Shows it.
pub(crate) async fn run(args: StatusArgs, app: &App) -> Result<(), CliError> {
    let mesh = app.connect().await?;
    let intent = args.intent;
    let view = mesh.ask_controller(&ShowBroadcast { intent }).await?;
    app.output.show(&view, || text(&view))?;
    let BroadcastView {
        channel,
        receivers,
        taken,
        completed,
        ..
    } = &view;
    app.output.note(&format!(
        "channel {channel}: {taken} of {receivers} receivers have taken it, {completed} have completed it"
    ));
    if view.copies.len() < view.receivers {
        let shown = view.copies.len();
        app.output.note(&format!("only {shown} of them are shown"));
    }
    Ok(())
}

fn text(view: &BroadcastView) -> String {
    let mut table = Table::new(&["AGENT", "TAKEN", "STATUS", "SINCE", "INTENT"]);
    for copy in &view.copies {
        table.row([
            copy.agent.to_string(),
            if copy.taken { "yes" } else { "not yet" }.to_owned(),
            copy.status.clone(),
            copy.since.to_string(),
            copy.intent.to_string(),
        ]);
    }
    table.render()
}
