//! The checks before a rollout. Each failed check says what to do.

use std::collections::BTreeSet;

use baton_envelope::control::{Check, PlanRollout, PlanView, ReplayView};
use baton_envelope::{AgentName, AgentVersion, Declaration, ProtocolRange, Route, VersionEntry, VersionState};
use baton_jetstream::Error;

use crate::api::replays;
use crate::context::Context;

pub(super) async fn plan(cx: &Context, asked: PlanRollout) -> Result<PlanView, Error> {
    let PlanRollout { agent, version, replay } = asked;
    let route = cx.route(&agent).await?;
    let new = route.versions.get(&version).cloned().unwrap_or_default();
    let old = route.versions.get(&route.active).cloned().unwrap_or_default();
    let workers = cx.workers.of(&agent, &version);
    let mut checks = vec![
        state(&route, &version),
        if new.manual {
            passed("workers", "none is needed: its work is done by hand")
        } else {
            live(&agent, &version, &workers)
        },
        protocol(cx, &route, &version, &old, &new).await?,
        kept("capabilities", &route.active, &old.capabilities, &new.capabilities),
        kept("channels", &route.active, &old.channels, &new.channels),
        kinds(cx, &route, &new).await?,
    ];
    let replay = match replay {
        0 => None,
        count if workers.is_empty() => {
            checks.push(failed(
                "replay",
                format!("{count} hops cannot be replayed without a live worker"),
                format!("start a worker of {agent}@{version}"),
            ));
            None
        }
        count => {
            // The other checks count whether or not the replay could be made.
            let (check, view) = match Box::pin(replays::replay(cx, &route, &version, count)).await {
                Ok(view) => (replayed(&view, &agent, &version), Some(view)),
                Err(error) => (not_replayed(&error), None),
            };
            checks.push(check);
            view
        }
    };
    Ok(PlanView {
        agent,
        from: route.active,
        to: version,
        passed: checks.iter().all(|check| check.passed),
        checks,
        replay,
    })
}

fn passed(name: &str, detail: impl Into<String>) -> Check {
    Check {
        name: name.to_owned(),
        passed: true,
        detail: detail.into(),
        fix: None,
    }
}

fn failed(name: &str, detail: impl Into<String>, fix: impl Into<String>) -> Check {
    Check {
        passed: false,
        fix: Some(fix.into()),
        ..passed(name, detail)
    }
}

fn state(route: &Route, version: &AgentVersion) -> Check {
    let agent = &route.agent;
    match route.state(version) {
        None => failed(
            "state",
            format!("no worker of {agent}@{version} was ever heard of"),
            format!("start one: baton worker --agent {agent} --version {version} --exec 'CMD…'"),
        ),
        Some(VersionState::Quarantined) => failed(
            "state",
            "it is quarantined",
            format!("lift it first: baton agents quarantine {agent} {version} --lift"),
        ),
        Some(_) if route.active == *version => failed("state", "it is active already", "nothing needs to be done"),
        Some(state) => passed("state", format!("it is {state}")),
    }
}

fn live(agent: &AgentName, version: &AgentVersion, workers: &[Declaration]) -> Check {
    let slots: u32 = workers.iter().map(|worker| worker.concurrency).sum();
    if workers.is_empty() {
        return failed(
            "workers",
            "no live worker",
            format!("start one: baton worker --agent {agent} --version {version} --exec 'CMD…'"),
        );
    }
    passed(
        "workers",
        format!("{} alive, for {slots} hops at a time", workers.len()),
    )
}

/// Any live version may hand work to the new version or get work from it, so each pair needs a common envelope form.
async fn protocol(
    cx: &Context,
    route: &Route,
    version: &AgentVersion,
    old: &VersionEntry,
    new: &VersionEntry,
) -> Result<Check, Error> {
    let mut seen = 0;
    let mut incompatible = Vec::new();
    for other in cx.mesh.all_routes().await? {
        for (neighbour, entry) in &other.versions {
            let itself = other.agent == route.agent && neighbour == version;
            if itself || cx.workers.count(&other.agent, neighbour) == 0 {
                continue;
            }
            seen += 1;
            let overlaps = |range: ProtocolRange| {
                range.newest_common(entry.protocol).is_some() && entry.protocol.newest_common(range).is_some()
            };
            // A version that could not talk to the active version either is no neighbour of this agent.
            if overlaps(old.protocol) && !overlaps(new.protocol) {
                incompatible.push(format!("{}@{neighbour} reads {}", other.agent, entry.protocol));
            }
        }
    }
    if incompatible.is_empty() {
        let detail = format!("{} fits the {seen} other live versions in the mesh", new.protocol);
        return Ok(passed("protocol", detail));
    }
    Ok(failed(
        "protocol",
        format!("it reads {}, and {}", new.protocol, incompatible.join(", ")),
        "build it so that it reads the older version of the protocol too, or upgrade the others first",
    ))
}

fn kept(what: &str, active: &AgentVersion, old: &[String], new: &[String]) -> Check {
    let missing: Vec<&str> = old
        .iter()
        .filter(|one| !new.contains(one))
        .map(String::as_str)
        .collect();
    if old.is_empty() {
        return passed(what, format!("{active} declares none"));
    }
    if missing.is_empty() {
        return passed(what, format!("it keeps all {} of {active}", old.len()));
    }
    failed(
        what,
        format!("it lacks {} of {active}", missing.join(", ")),
        format!("declare them in the new version, or start with --force if nobody needs these {what} any more"),
    )
}

async fn kinds(cx: &Context, route: &Route, new: &VersionEntry) -> Result<Check, Error> {
    let queued: BTreeSet<String> = cx.projection.kinds(&route.agent).await?.into_iter().collect();
    let missing: Vec<String> = queued
        .iter()
        .filter(|kind| !new.kinds.is_empty() && !new.kinds.contains(kind))
        .cloned()
        .collect();
    if missing.is_empty() {
        return Ok(passed(
            "kinds",
            match queued.len() {
                0 => "no open work names a kind".to_owned(),
                count => format!("it takes all {count} kinds of which there is open work"),
            },
        ));
    }
    Ok(failed(
        "kinds",
        format!("it does not take {}, of which there is open work", missing.join(", ")),
        "declare these kinds in the new version, or let that work finish first",
    ))
}

/// Replay is optional: an agent that does not offer it may be rolled out like any other.
fn without_replay() -> Check {
    passed(
        "replay",
        "no hop replayed: this agent does not offer replay, which is optional",
    )
}

fn not_replayed(error: &Error) -> Check {
    // Its workers live, as another check says, and none of them listens for replays.
    if let Error::NoWorker { .. } = error {
        return without_replay();
    }
    failed(
        "replay",
        error.to_string(),
        "look at the log of its worker, or leave --replay out: replay is optional",
    )
}

fn replayed(view: &ReplayView, agent: &AgentName, version: &AgentVersion) -> Check {
    let hops = if view.replayed == 1 { "hop" } else { "hops" };
    let detail = format!("{} {hops} replayed, {} with the same outcome", view.replayed, view.same);
    if let Some(refused) = &view.refused {
        return failed(
            "replay",
            format!("its worker does not replay: {refused}"),
            "leave --replay out: replay is optional",
        );
    }
    if view.differences.is_empty() {
        return passed("replay", detail);
    }
    failed(
        "replay",
        format!(
            "{detail}, {} difference{}",
            view.differences.len(),
            if view.differences.len() == 1 { "" } else { "s" }
        ),
        format!("look at the differences; where they are meant, start: baton rollout start {agent} {version} --force"),
    )
}
