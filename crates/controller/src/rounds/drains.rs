//! Versions that drain: when nothing holds them any more they are drained; what keeps them from it is an alarm where no
//! worker is left; and work that reaches a version which takes none is sent elsewhere.

use std::time::Duration;

use baton_envelope::rollout;
use baton_envelope::{AgentVersion, Cause, Route, Timestamp, VersionState};
use baton_jetstream::control::Alarm;
use baton_jetstream::{Counts, Error, Moved};

use crate::context::Context;

/// How long the projection may take to catch up with the end of the ledger before the question is put off.
const CATCH_UP: Duration = Duration::from_secs(5);
/// How long a version that takes work may be without a live worker before that is an alarm.
const RESTART: Duration = Duration::from_secs(10);
/// How many strays are sent elsewhere in one round.
const STRAYS: usize = 100;

/// Says that a version is drained when it is.
///
/// Its consumers are paused first. From then on nothing can be run on it, so whatever the ledger holds up to the end that
/// is read after that is all there can be; only a sender with an old route can still add to it, and that is a stray.
pub(crate) async fn finish_if_empty(
    cx: &Context,
    route: &Route,
    version: &AgentVersion,
    tickets: Counts,
) -> Result<(), Error> {
    let agent = &route.agent;
    // As it stands now: since this round began a rollback may have given it the new work again, or a person set it aside.
    let route = &cx.route(agent).await?;
    let entry = route.versions.get(version);
    let is_moving = entry.is_some_and(|entry| entry.is_held_back(cx.mesh.now()));
    if route.state(version) != Some(VersionState::Draining) || is_moving {
        return Ok(());
    }
    if !cx.projection.hold_views(agent, version).await?.is_empty() {
        // It was set aside until now, or a check did not come to its end. Or it was opened, and workers that wait beside
        // work were not told: they would get nothing before they ask again, which takes them half a minute.
        if tickets.shut || (tickets.backlog > 0 && tickets.waiting_pulls > 0) {
            cx.mesh.open_version(agent, version).await?;
        }
        return Ok(());
    }
    if tickets.backlog + tickets.in_flight > 0 {
        // Workers ack the tickets of what is over when they get them; that may be after a long delay, after the ack wait
        // of a holder that was fenced out, or never.
        let dropped = cx.mesh.drop_superseded(agent, version).await?;
        tracing::debug!(%agent, %version, dropped, "tickets of what is over");
        return Ok(());
    }
    cx.mesh.shut_version(agent, version).await?;
    let said = say_if_empty(cx, route, version).await;
    if !matches!(said, Ok(true)) {
        // Whatever came between: it may have work to do, unless somebody set it aside meanwhile.
        let present = cx.route(agent).await?;
        let entry = present.versions.get(version);
        if !entry.is_some_and(|entry| entry.is_held_back(cx.mesh.now())) {
            cx.mesh.open_version(agent, version).await?;
        }
    }
    said.map(drop)
}

/// Says that a version which is shut is drained, if nothing names it up to the end of the ledger.
async fn say_if_empty(cx: &Context, route: &Route, version: &AgentVersion) -> Result<bool, Error> {
    let agent = &route.agent;
    let end = cx.projection.caught_up(CATCH_UP).await?;
    let counts = cx.mesh.agent_counts(agent).await?.remove(version).unwrap_or_default();
    let holds = cx.projection.hold_views(agent, version).await?;
    // A projection that is just being built anew knows of nothing, and says so by its position.
    let is_known = cx.projection.position() >= end;
    if !(is_known && holds.is_empty() && counts.backlog + counts.in_flight == 0) {
        return Ok(false);
    }
    let act = cx
        .act()
        .because(format!("no open intent names it, up to ledger record {end}"));
    let after = cx
        .decide(agent, |present| match present.state(version) {
            Some(VersionState::Draining) => rollout::drained(present, version, &act).map(Some),
            Some(_) | None => Ok(None),
        })
        .await?;
    // Somebody may have given it work again meanwhile.
    cx.shut_or_open(&after).await?;
    let is_drained = after.state(version) == Some(VersionState::Drained);
    if is_drained {
        tracing::info!(%agent, %version, end, "drained");
    }
    Ok(is_drained)
}

/// Sends work elsewhere that reached a version which is drained or retired, through a sender with an old route.
pub(crate) async fn reroute_strays(
    cx: &Context,
    route: &Route,
    version: &AgentVersion,
    tickets: Counts,
) -> Result<usize, Error> {
    let agent = &route.agent;
    let mut rerouted = 0;
    let mut held = cx.projection.held(agent, version).await?;
    // Others first in each round, so that those which cannot be sent elsewhere do not keep the rest waiting.
    let turn = usize::try_from(cx.mesh.now().unix_millis() / 500).unwrap_or_default();
    let first = turn.wrapping_mul(STRAYS).checked_rem(held.len()).unwrap_or_default();
    held.rotate_left(first);
    for (intent, cause) in held.into_iter().take(STRAYS) {
        match cx.mesh.reroute(&intent, agent, version, &cx.by).await {
            Ok(Moved::Done { to, .. }) => {
                tracing::info!(%intent, %agent, from = %version, %to, %cause, "a stray was sent elsewhere");
                rerouted += 1;
            }
            Ok(Moved::NotThere) => {}
            Err(error) => tracing::warn!(%error, %intent, %agent, %version, "a stray could not be sent elsewhere"),
        }
    }
    // Its workers get nothing, so nobody else takes the old tickets away. One that its sender writes only now is found in
    // the next round.
    if rerouted > 0 || tickets.backlog + tickets.in_flight > 0 {
        cx.mesh.drop_superseded(agent, version).await?;
    }
    Ok(rerouted)
}

/// The alarm of a version with work that nobody will do by itself.
///
/// `alone_since` is when it was first seen without a live worker.
pub(crate) async fn alarm(
    cx: &Context,
    route: &Route,
    version: &AgentVersion,
    alone_since: Timestamp,
) -> Result<Option<Alarm>, Error> {
    let agent = &route.agent;
    let state = route.state(version).unwrap_or_default();
    let is_draining = state == VersionState::Draining;
    // Workers of a version that takes work are restarted now and then; those of one that drains may never come back.
    let is_usual = !is_draining && cx.mesh.now().since(alone_since) < RESTART;
    if state.is_shut() || is_usual || cx.workers.count(agent, version) > 0 {
        return Ok(None);
    }
    let holds = cx.hold_views(route, version).await?;
    let stuck: u64 = holds
        .iter()
        .filter(|hold| hold.cause.needs_workers())
        .map(|hold| hold.count)
        .sum();
    if stuck == 0 {
        return Ok(None);
    }
    let causes: Vec<String> = holds
        .iter()
        .map(|hold| format!("{} {}", hold.count, hold.cause))
        .collect();
    let oldest = holds
        .iter()
        .filter(|hold| hold.cause != Cause::ChainPinned)
        .min_by_key(|hold| hold.since);
    let example = oldest
        .map(|hold| format!(", the oldest is {}", hold.oldest))
        .unwrap_or_default();
    let to = match route
        .canary
        .as_ref()
        .filter(|canary| route.active == *version && canary.version != *version)
    {
        Some(canary) => canary.version.clone(),
        None if route.active != *version => route.active.clone(),
        None => route.previous.clone().unwrap_or_else(|| route.active.clone()),
    };
    let mut ways_out = vec![format!(
        "baton worker --agent {agent} --version {version} --exec 'CMD…'"
    )];
    if to != *version {
        ways_out.push(format!("baton intents move --agent {agent} --from {version} --to {to}"));
    }
    if is_draining {
        ways_out.push(format!("baton agents quarantine {agent} {version}"));
    }
    Ok(Some(Alarm {
        code: if is_draining {
            "DRAIN_WITHOUT_WORKERS"
        } else {
            "WORK_WITHOUT_WORKERS"
        }
        .to_owned(),
        agent: agent.clone(),
        version: version.clone(),
        since: alone_since,
        message: format!(
            "{agent}@{version} is {state} and has no live worker, and {stuck} open intents wait for one ({}{example})",
            causes.join(", ")
        ),
        ways_out,
    }))
}
