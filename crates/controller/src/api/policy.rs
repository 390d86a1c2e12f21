//! How an agent's failures are treated: its policy, and its breakers by hand.

use baton_envelope::control::{ControlError, SetBreaker, SetPolicy};
use baton_envelope::rollout::{self, Act, Reset};
use baton_envelope::{AgentName, AgentVersion, Breaker, OnExhausted, Route, codes};
use baton_jetstream::Error;

use crate::context::Context;

/// Sets fields of an agent's policy. Senders and workers follow the route, so it holds at once.
pub(super) async fn set(cx: &Context, asked: SetPolicy) -> Result<Route, Error> {
    let SetPolicy {
        agent,
        set,
        reset,
        by,
        reason,
        no_gate,
    } = asked;
    let reset = match (reset, no_gate) {
        (true, _) => Reset::All,
        (false, true) => Reset::Gate,
        (false, false) => Reset::Nothing,
    };
    // Where the agent is unknown, that is the better reason.
    cx.route(&agent).await?;
    let escalated = set.on_exhausted.as_ref().and_then(OnExhausted::agent);
    for other in set.alternatives.iter().chain(escalated) {
        cx.route(other).await?;
    }
    let act = Act {
        reason,
        ..Act::new(by, cx.mesh.now())
    };
    let mut route = cx
        .decide(&agent, |present| rollout::set_policy(present, &set, reset, &act))
        .await?;
    // Where senders turn away now, they need to know until when.
    let withheld = route.versions.iter().filter(|(_, entry)| entry.withheld.is_some());
    let withheld: Vec<AgentVersion> = withheld.map(|(version, _)| version.clone()).collect();
    let mut told = false;
    for version in withheld {
        if let Some((breaker, _)) = cx.mesh.breaker(&agent, &version).await? {
            cx.tell_breaker(&breaker, &act).await?;
            told = true;
        }
    }
    if told {
        route = cx.route(&agent).await?;
    }
    Ok(route)
}

/// Opens or closes a breaker by hand.
pub(super) async fn set_breaker(cx: &Context, asked: SetBreaker) -> Result<Breaker, Error> {
    let SetBreaker {
        agent,
        version,
        open,
        by,
        reason,
    } = asked;
    let route = cx.route(&agent).await?;
    let version = version.unwrap_or_else(|| route.active.clone());
    if route.state(&version).is_none() {
        return Err(ControlError::new(
            codes::UNKNOWN_VERSION,
            format!("no worker of {agent}@{version} was ever heard of"),
            format!("`baton agents describe {agent}` shows its versions"),
        )
        .into());
    }
    let act = Act {
        reason: reason.or_else(|| Some("by hand".to_owned())),
        ..Act::new(by, cx.mesh.now())
    };
    let changed = if open {
        open_by_hand(cx, &agent, &version, &act).await?
    } else {
        close_by_hand(cx, &agent, &version, &act).await?
    };
    cx.tell_breaker(&changed, &act).await?;
    if open {
        cx.mesh.withdraw_tickets(&agent, &version).await?;
    }
    Ok(changed)
}

async fn open_by_hand(cx: &Context, agent: &AgentName, version: &AgentVersion, act: &Act) -> Result<Breaker, Error> {
    let of = (agent, version);
    let changed = cx
        .mesh
        .change_breaker(agent, version, |present| {
            // One that has opened by itself is made to stay open.
            let is_news = present.is_none_or(|present| !present.is_by_hand());
            Ok(is_news.then(|| rollout::open_breaker(present, of, None, act)))
        })
        .await?;
    match changed {
        Some((breaker, _)) if breaker.since == act.at && breaker.by == act.by => Ok(breaker),
        Some((breaker, _)) => Err(is_open(&breaker)),
        None => Err(is_closed(agent, version)),
    }
}

/// The leader writes the tickets that were withheld.
async fn close_by_hand(cx: &Context, agent: &AgentName, version: &AgentVersion, act: &Act) -> Result<Breaker, Error> {
    let end = cx.mesh.ledger_end().await?;
    let changed = cx
        .mesh
        .change_breaker(agent, version, |present| {
            let open = present.filter(|present| present.withholds());
            Ok(open.map(|open| rollout::close_breaker(open, end.last_seq, act)))
        })
        .await?;
    match changed {
        Some((breaker, _)) if breaker.since == act.at && breaker.by == act.by => Ok(breaker),
        Some(_) | None => Err(is_closed(agent, version)),
    }
}

fn is_open(breaker: &Breaker) -> Error {
    let Breaker {
        agent,
        version,
        since,
        by,
        ..
    } = breaker;
    let reason = breaker
        .reason
        .as_deref()
        .map_or_else(String::new, |reason| format!(": {reason}"));
    ControlError::new(
        codes::WRONG_STATE,
        format!("the breaker of {agent}@{version} is open already, by hand, by {by} since {since}{reason}"),
        format!("nothing needs to be done; `baton agents breaker {agent} {version} --close` closes it"),
    )
    .into()
}

fn is_closed(agent: &AgentName, version: &AgentVersion) -> Error {
    ControlError::new(
        codes::WRONG_STATE,
        format!("the breaker of {agent}@{version} is closed already"),
        "nothing needs to be done",
    )
    .into()
}
