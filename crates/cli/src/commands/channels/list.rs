//! `baton channels list`: the channels that some agent subscribes to.

use baton_envelope::control::{ChannelsView, ListChannels};

use crate::app::App;
use crate::error::CliError;
use crate::output::Table;

/// Lists them.
pub(crate) async fn run(app: &App) -> Result<(), CliError> {
    let mesh = app.connect().await?;
    let list = mesh.ask_controller(&ListChannels {}).await?;
    app.output.show(&list, || text(&list))?;
    if list.channels.is_empty() {
        app.output.note(
            "no agent subscribes to any channel: `baton worker --channel NAME` declares one, `baton channels subscribe` adds an agent",
        );
    }
    Ok(())
}

fn text(list: &ChannelsView) -> String {
    if list.channels.is_empty() {
        return String::new();
    }
    let mut table = Table::new(&["CHANNEL", "SUBSCRIBERS", "AGENTS"]);
    for one in &list.channels {
        let agents: Vec<&str> = one.subscribers.iter().map(|one| one.agent.as_str()).collect();
        table.row([one.channel.to_string(), agents.len().to_string(), agents.join(", ")]);
    }
    table.render()
}
