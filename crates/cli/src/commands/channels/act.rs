//! `baton channels subscribe` and `unsubscribe`.

use baton_envelope::control::{ChannelAct, SubscribeAgent, UnsubscribeAgent};
use baton_envelope::{AgentName, ChannelName};
use clap::Args;

use crate::app::App;
use crate::error::CliError;
use crate::who;

/// `baton channels subscribe` and `unsubscribe`.
#[derive(Debug, Clone, Args)]
pub(crate) struct ActArgs {
    /// The channel.
    channel: ChannelName,
    /// The agent.
    agent: AgentName,
    /// The reason, for the history of the agent.
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
}

impl ActArgs {
    fn act(&self) -> ChannelAct {
        ChannelAct {
            channel: self.channel.clone(),
            agent: self.agent.clone(),
            by: who::person(),
            reason: self.reason.clone(),
        }
    }
}

/// Subscribes the agent.
pub(crate) async fn subscribe(args: ActArgs, app: &App) -> Result<(), CliError> {
    let mesh = app.connect().await?;
    let route = mesh.ask_controller(&SubscribeAgent(args.act())).await?;
    let ActArgs { channel, agent, .. } = &args;
    app.output
        .show(&route, || format!("{agent} gets the messages of channel {channel}"))
}

/// Takes the agent from the channel.
pub(crate) async fn unsubscribe(args: ActArgs, app: &App) -> Result<(), CliError> {
    let mesh = app.connect().await?;
    let route = mesh.ask_controller(&UnsubscribeAgent(args.act())).await?;
    let ActArgs { channel, agent, .. } = &args;
    app.output
        .show(&route, || format!("{agent} gets no more messages of channel {channel}"))?;
    app.output
        .note("copies that it has already stay with it: `baton intents list` shows them");
    Ok(())
}
