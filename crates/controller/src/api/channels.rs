//! Channels: who subscribes, and who has taken a message.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use baton_envelope::control::{
    BroadcastView, ChannelAct, ChannelView, ChannelsView, ControlError, CopyView, ListChannels, ShowBroadcast,
    ShowChannel, SubscribeAgent, SubscriberView, UnsubscribeAgent,
};
use baton_envelope::rollout::{self, Act};
use baton_envelope::{Asked, ChannelName, IntentId, RECEIVERS, Route, Snapshot, Status, codes, subscription};
use baton_jetstream::Error;

use crate::context::Context;

/// How many copies of a message are told.
const MOST_COPIES: usize = 1_000;

/// The channels that some agent subscribes to.
pub(super) async fn list(cx: &Context, _: ListChannels) -> Result<ChannelsView, Error> {
    let routes = cx.mesh.known_routes().await?;
    let mut names: BTreeSet<ChannelName> = BTreeSet::new();
    for route in &routes {
        let declared = route.versions.get(&route.active).into_iter();
        let declared = declared.flat_map(|entry| {
            entry
                .channels
                .iter()
                .filter_map(|name| name.parse::<ChannelName>().ok())
        });
        names.extend(declared.chain(route.channels.keys().cloned()));
    }
    let views = names.into_iter().map(|channel| view(cx, &routes, channel));
    Ok(ChannelsView {
        channels: views.filter(|view| !view.is_empty()).collect(),
    })
}

/// Who gets the messages of a channel.
pub(super) async fn show(cx: &Context, asked: ShowChannel) -> Result<ChannelView, Error> {
    let routes = cx.mesh.known_routes().await?;
    let channel = asked.channel;
    let view = view(cx, &routes, channel.clone());
    match view.is_empty() {
        false => Ok(view),
        true => Err(ControlError::new(
            codes::NO_SUBSCRIBERS,
            format!("no agent subscribes to channel \"{channel}\""),
            format!(
                "`baton channels list` shows the channels; `baton channels subscribe {channel} AGENT` subscribes an agent"
            ),
        )
        .into()),
    }
}

fn view(cx: &Context, routes: &[Arc<Route>], channel: ChannelName) -> ChannelView {
    // Which version gets a message is told by its id; these are the ones that get most of them.
    let (root, pins) = (IntentId::from_foreign(channel.as_str()), BTreeMap::new());
    let asked = Asked {
        root: &root,
        kind: None,
        pins: &pins,
        path: &[],
    };
    let subscribers = routes.iter().filter_map(|route| {
        let why = subscription(route, &channel, &asked)?;
        Some(SubscriberView {
            agent: route.agent.clone(),
            version: route.active.clone(),
            by: why.name().to_owned(),
            workers: cx.workers.count(&route.agent, &route.active),
        })
    });
    let subscribers = subscribers.collect();
    let unsubscribed = routes
        .iter()
        .filter(|route| route.channels.get(&channel) == Some(&false))
        .map(|route| route.agent.clone())
        .collect();
    ChannelView {
        channel,
        subscribers,
        unsubscribed,
    }
}

/// Has an agent get the messages of a channel.
pub(super) async fn subscribe(cx: &Context, SubscribeAgent(asked): SubscribeAgent) -> Result<Route, Error> {
    set(cx, asked, true).await
}

/// Has an agent get no more messages of a channel.
pub(super) async fn unsubscribe(cx: &Context, UnsubscribeAgent(asked): UnsubscribeAgent) -> Result<Route, Error> {
    set(cx, asked, false).await
}

async fn set(cx: &Context, asked: ChannelAct, is_subscribed: bool) -> Result<Route, Error> {
    let ChannelAct {
        channel,
        agent,
        by,
        reason,
    } = asked;
    let act = Act {
        reason,
        ..Act::new(by, cx.mesh.now())
    };
    cx.decide(&agent, |present| {
        Ok(rollout::set_channel(present, &channel, is_subscribed, &act))
    })
    .await
}

/// Whether somebody has begun with a copy, or it has ended: not while it waits for a worker, or for its turn.
fn is_taken(snapshot: &Snapshot) -> bool {
    match snapshot.status {
        Status::Pending => snapshot.attempt > 1,
        Status::Waiting { .. } => snapshot.epoch > 1,
        Status::Accepted
        | Status::InProgress
        | Status::Parked { .. }
        | Status::Compensating
        | Status::Completed
        | Status::Rejected { .. }
        | Status::Failed { .. }
        | Status::Cancelled
        | Status::TimedOut
        | Status::Unknown { .. } => true,
    }
}

/// Who has taken a message, and who has not.
pub(super) async fn status(cx: &Context, ShowBroadcast { intent }: ShowBroadcast) -> Result<BroadcastView, Error> {
    let trail = cx.mesh.trail(&intent).await?;
    let Some(last) = trail.last() else {
        return Err(Error::NoIntent(intent));
    };
    let opener = trail
        .iter()
        .find_map(|head| Some((&head.record, head.record.broadcast.as_ref()?)));
    let Some((opener, sent)) = opener else {
        return Err(ControlError::new(
            codes::WRONG_STATE,
            format!("intent \"{intent}\" is no message of a channel"),
            format!("`baton intents get {intent}` shows what it is"),
        )
        .into());
    };
    let receivers = opener.receivers();
    let hop = opener.snapshot.hop;
    let ids: Vec<_> = (0..u32::try_from(receivers.len()).unwrap_or(u32::MAX))
        .map(|index| (IntentId::of_child(&intent, hop, RECEIVERS, index), None))
        .collect();
    let now = cx.mesh.children_now(&ids).await?;
    let mut copies: Vec<CopyView> = receivers
        .iter()
        .zip(ids)
        .zip(now)
        .map(|((agent, (intent, _)), now)| {
            let snapshot = now.head.as_ref().map(|head| &head.record.snapshot);
            CopyView {
                agent: (*agent).clone(),
                intent,
                status: snapshot.map_or_else(|| "not submitted".to_owned(), |snapshot| snapshot.status.to_string()),
                taken: snapshot.is_some_and(is_taken),
                since: snapshot.map_or(opener.at, |snapshot| snapshot.updated_at),
            }
        })
        .collect();
    let completed = Status::Completed.to_string();
    let view = BroadcastView {
        channel: sent.channel.clone(),
        status: last.record.snapshot.status.to_string(),
        receivers: copies.len(),
        taken: copies.iter().filter(|copy| copy.taken).count(),
        completed: copies.iter().filter(|copy| copy.status == completed).count(),
        intent: intent.clone(),
        copies: Vec::new(),
    };
    copies.sort_by_key(|copy| copy.taken);
    copies.truncate(MOST_COPIES);
    Ok(BroadcastView { copies, ..view })
}
