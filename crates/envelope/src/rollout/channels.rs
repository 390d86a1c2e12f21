//! Decisions on which channels an agent gets the messages of.

use crate::base::names::ChannelName;
use crate::rollout::act::{Act, decided};
use crate::version::route::Route;

/// Subscribes the agent to a channel, or takes it from there, whatever its versions declare; `None` if that was said before.
pub fn set_channel(route: &Route, channel: &ChannelName, is_subscribed: bool, act: &Act) -> Option<Route> {
    if route.channels.get(channel) == Some(&is_subscribed) {
        return None;
    }
    let mut next = route.clone();
    next.channels.insert(channel.clone(), is_subscribed);
    let what = if is_subscribed { "subscribed" } else { "unsubscribed" };
    let act = Act {
        reason: Some(match &act.reason {
            Some(reason) => format!("channel {channel}: {reason}"),
            None => format!("channel {channel}"),
        }),
        ..act.clone()
    };
    Some(decided(next, what, None, &act))
}
