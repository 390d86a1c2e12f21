//! Questions about channels: who subscribes, and who has taken a message.

use serde::{Deserialize, Serialize};

use crate::base::ids::IntentId;
use crate::base::names::{AgentName, AgentVersion, ChannelName};
use crate::base::timestamp::Timestamp;

/// Lists the channels that agents subscribe to.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub struct ListChannels {}

/// Shows who gets the messages of a channel.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ShowChannel {
    /// The channel.
    pub channel: ChannelName,
}

/// An act on the subscription of an agent to a channel.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ChannelAct {
    /// The channel.
    pub channel: ChannelName,
    /// The agent.
    pub agent: AgentName,
    /// Who asks.
    pub by: String,
    /// Why, in words.
    #[serde(default)]
    pub reason: Option<String>,
}

/// Has an agent get the messages of a channel, whatever it declares.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SubscribeAgent(pub ChannelAct);

/// Has an agent get no more messages of a channel, whatever it declares.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(transparent)]
pub struct UnsubscribeAgent(pub ChannelAct);

/// Shows who has taken a message of a channel, and who has not.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ShowBroadcast {
    /// The message, by the intent that it became.
    pub intent: IntentId,
}

/// The channels.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChannelsView {
    /// Those that some agent subscribes to, by name.
    pub channels: Vec<ChannelView>,
}

/// A channel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChannelView {
    /// Its name.
    pub channel: ChannelName,
    /// Who gets its messages, by name.
    pub subscribers: Vec<SubscriberView>,
    /// Agents that declare it and that an operator took from it.
    pub unsubscribed: Vec<AgentName>,
}

impl ChannelView {
    /// Whether no agent has anything to do with it.
    pub const fn is_empty(&self) -> bool {
        self.subscribers.is_empty() && self.unsubscribed.is_empty()
    }
}

/// A subscriber of a channel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SubscriberView {
    /// The agent.
    pub agent: AgentName,
    /// The version that gets new work.
    pub version: AgentVersion,
    /// Why: `declared` or `operator`.
    pub by: String,
    /// How many live workers that version has: with none it gets its copies when one starts.
    pub workers: u64,
}

/// What became of a message of a channel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BroadcastView {
    /// The intent that the message became.
    pub intent: IntentId,
    /// The channel.
    pub channel: ChannelName,
    /// Where the message stands.
    pub status: String,
    /// How many receivers it has.
    pub receivers: usize,
    /// How many of them have taken their copy: a worker has begun with it, or has ended it.
    pub taken: usize,
    /// How many copies have completed.
    pub completed: usize,
    /// The copies, those that nobody has taken first; at most 1,000.
    pub copies: Vec<CopyView>,
}

/// The copy of one receiver.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CopyView {
    /// The receiver.
    pub agent: AgentName,
    /// The intent of the copy.
    pub intent: IntentId,
    /// Its status; `not submitted` while it has no record.
    pub status: String,
    /// Whether the receiver has taken it.
    pub taken: bool,
    /// Since when it stands so.
    pub since: Timestamp,
}
