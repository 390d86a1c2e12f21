//! `baton channels show`: who gets the messages of a channel, and why.

use baton_envelope::ChannelName;
use baton_envelope::control::{ChannelView, ShowChannel};
use clap::Args;

use crate::app::App;
use crate::error::CliError;
use crate::output::Table;

/// `baton channels show`.
#[derive(Debug, Clone, Args)]
pub(crate) struct ShowArgs {
    /// The channel.
    channel: ChannelName,
}

/// Shows it.
pub(crate) async fn run(args: ShowArgs, app: &App) -> Result<(), CliError> {
    let mesh = app.connect().await?;
    let channel = args.channel;
    let view = mesh.ask_controller(&ShowChannel { channel }).await?;
    app.output.show(&view, || text(&view))
}

fn text(view: &ChannelView) -> String {
    let mut table = Table::new(&["AGENT", "VERSION", "BY", "WORKERS"]);
    for one in &view.subscribers {
        table.row([
            one.agent.to_string(),
            one.version.to_string(),
            one.by.clone(),
            one.workers.to_string(),
        ]);
    }
    for agent in &view.unsubscribed {
        table.row([
            agent.to_string(),
            String::new(),
            "unsubscribed".to_owned(),
            String::new(),
        ]);
    }
    table.render()
}
