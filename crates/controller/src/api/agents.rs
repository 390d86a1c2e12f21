//! Agents and their versions: list, quarantine, retire, set the route.

use std::collections::BTreeMap;
use std::time::Duration;

use baton_envelope::codes;
use baton_envelope::control::{
    AddVersion, AgentView, AgentsView, ControlError, ForgetVersion, LiftQuarantine, ListAgents, QuarantineVersion,
    RetireVersion, SetLimits, SetPinning, SetRoute, VersionAct, VersionView,
};
use baton_envelope::rollout::{self, Act, Refused};
use baton_envelope::{
    AgentLimits, AgentName, AgentVersion, Declaration, Extra, Pinning, ProtocolRange, Route, VersionState,
};
use baton_jetstream::Error;

use crate::api::caps;
use crate::context::Context;
use crate::registry;

/// How long the projection may take to catch up. After that the retirement fails.
const CATCH_UP: Duration = Duration::from_secs(5);

pub(super) async fn list(cx: &Context, ListAgents(asked): ListAgents) -> Result<AgentsView, Error> {
    let routes = match asked.agent {
        Some(agent) => vec![cx.route(&agent).await?],
        None => cx.mesh.all_routes().await?,
    };
    let mut declared: BTreeMap<(AgentName, AgentVersion), _> = cx
        .mesh
        .declarations()
        .await?
        .into_iter()
        .map(|one| ((one.agent, one.version), (one.schemas, one.policy)))
        .collect();
    let mut breakers: BTreeMap<(AgentName, AgentVersion), _> = cx
        .mesh
        .breakers()
        .await?
        .into_iter()
        .map(|one| ((one.agent.clone(), one.version.clone()), one))
        .collect();
    let waiting = cx.projection.capped().await?;
    let mut agents = Vec::new();
    for route in routes {
        let waiting = waiting.get(&route.agent).copied().unwrap_or_default();
        let cap = caps::seen(cx, &route, waiting).await?;
        let mut tickets = cx.mesh.agent_counts(&route.agent).await?;
        let mut versions = Vec::new();
        for (version, entry) in &route.versions {
            let agent = &route.agent;
            let counts = tickets.remove(version).unwrap_or_default();
            let holds = cx.hold_views(&route, version).await?;
            let of = (agent.clone(), version.clone());
            let (schemas, policy) = declared.remove(&of).unwrap_or_default();
            versions.push(VersionView {
                version: version.clone(),
                state: entry.state.clone(),
                since: entry.since,
                reason: entry.reason.clone(),
                workers: cx.workers.views(agent, version),
                backlog: counts.backlog,
                in_flight: counts.in_flight,
                open: holds.into_iter().map(|hold| (hold.cause, hold.count)).collect(),
                protocol: entry.protocol,
                capabilities: entry.capabilities.clone(),
                channels: entry.channels.clone(),
                kinds: entry.kinds.clone(),
                schemas,
                breaker_open: entry.withheld.is_some(),
                paused: entry.paused.clone(),
                manual: entry.manual,
                context: entry.context.clone(),
                breaker: breakers.remove(&of),
                policy,
            });
        }
        agents.push(AgentView {
            versions,
            alarms: cx.alarms(&route.agent),
            agent: route.agent,
            active: route.active,
            canary: route.canary,
            previous: route.previous,
            pinning: route.pinning,
            rollout: route.rollout,
            paused: route.paused,
            policy: route.policy,
            cap,
        });
    }
    Ok(AgentsView { agents })
}

/// Makes a version known, with its stream and consumers like any other, and says who does its work. The leader then puts the
/// work that it has before it again, with tickets or without.
pub(super) async fn add(cx: &Context, asked: AddVersion) -> Result<Route, Error> {
    let AddVersion {
        agent,
        version,
        manual,
        capabilities,
        kinds,
        by,
    } = asked;
    let known = cx.mesh.last_route(&agent).await?;
    let entry = known.as_ref().and_then(|route| route.versions.get(&version).cloned());
    let entry = entry.unwrap_or_default();
    if entry.state == VersionState::Retired {
        let fix = format!("roll it out again, or add another version: baton rollout start {agent} {version}");
        return Err(ControlError::new(codes::WRONG_STATE, format!("{agent}@{version} is retired"), fix).into());
    }
    let workers = cx.workers.count(&agent, &version);
    if manual && workers > 0 {
        let message = format!("{agent}@{version} has {workers} live workers, and work by hand is for versions without");
        let fix = "stop them first (`baton agents describe` names them), or add another version";
        return Err(ControlError::new(codes::WRONG_STATE, message, fix).into());
    }
    let or_known = |asked: Vec<String>, known: &Vec<String>| if asked.is_empty() { known.clone() } else { asked };
    let declaration = Declaration {
        capabilities: or_known(capabilities, &entry.capabilities),
        channels: entry.channels.clone(),
        kinds: or_known(kinds, &entry.kinds),
        instance: by.clone(),
        // Controllers write and read for it.
        protocol: if manual {
            ProtocolRange::of_build()
        } else {
            entry.protocol
        },
        schemas: std::collections::BTreeMap::new(),
        concurrency: 0,
        busy: 0,
        stopping: false,
        dropped: 0,
        at: cx.mesh.now(),
        clock_ahead_ms: 0,
        host: String::new(),
        manual,
        policy: None,
        signs: false,
        context: entry.context.clone(),
        extra: Extra::new(),
        agent: agent.clone(),
        version,
    };
    registry::add(cx, &declaration, &by).await?;
    cx.route(&agent).await
}

pub(super) async fn quarantine(cx: &Context, QuarantineVersion(asked): QuarantineVersion) -> Result<Route, Error> {
    change(cx, asked, rollout::quarantine).await
}

pub(super) async fn lift(cx: &Context, LiftQuarantine(asked): LiftQuarantine) -> Result<Route, Error> {
    change(cx, asked, rollout::lift).await
}

pub(super) async fn set_route(cx: &Context, SetRoute(asked): SetRoute) -> Result<Route, Error> {
    let bands = cx.config.bands;
    // Without its stream and consumers the work would have nowhere to wait.
    cx.mesh.ensure_agent(&asked.agent, &asked.version, bands).await?;
    let act = Act::new(asked.by, cx.mesh.now());
    let (agent, version) = (&asked.agent, &asked.version);
    let changed = cx
        .mesh
        .change_route(agent, |route| match route {
            Some(route) => rollout::activate(route, version, &act).map(Some),
            None => Ok(Some(Route::first(agent.clone(), version.clone(), act.at, &*act.by))),
        })
        .await?;
    let Some((route, _)) = changed else {
        return cx.route(agent).await;
    };
    cx.pause_or_resume(&route).await?;
    Ok(route)
}

pub(super) async fn set_pinning(cx: &Context, asked: SetPinning) -> Result<Route, Error> {
    let SetPinning { agent, pinning, by } = asked;
    if let Pinning::Unknown(name) = &pinning {
        let message = format!("\"{name}\" is no way of pinning");
        return Err(ControlError::new(codes::BAD_REQUEST, message, "give hop or chain").into());
    }
    let act = Act::new(by, cx.mesh.now());
    cx.decide(&agent, |present| Ok(rollout::set_pinning(present, &pinning, &act)))
        .await
}

pub(super) async fn set_limits(cx: &Context, asked: SetLimits) -> Result<Route, Error> {
    let SetLimits {
        agent,
        in_flight,
        rate_per_hour,
        by,
        reason,
        per_key,
        fair,
        key_rate_per_hour,
    } = asked;
    let wanted = AgentLimits {
        in_flight,
        rate_per_hour,
        per_key,
        fair,
        key_rate_per_hour,
        ..AgentLimits::default()
    };
    let act = Act {
        reason,
        ..Act::new(by, cx.mesh.now())
    };
    cx.decide(&agent, |present| Ok(rollout::set_limits(present, &wanted, &act)))
        .await
}

/// Takes a version out of service if no open intent names it, up to the end of the ledger.
pub(super) async fn retire(cx: &Context, RetireVersion(asked): RetireVersion) -> Result<Route, Error> {
    let VersionAct {
        agent,
        version,
        by,
        reason,
    } = asked;
    let route = cx.route(&agent).await?;
    let act = Act {
        reason,
        ..Act::new(by, cx.mesh.now())
    };
    // Report what the route alone forbids first: it is the better reason.
    let dry = rollout::retire(&route, &version, &act);
    if let Err(refused) = &dry
        && refused.code != codes::WRONG_STATE
    {
        return Err(refused.clone().into());
    }
    let end = cx.projection.caught_up(CATCH_UP).await?;
    let holds = cx.hold_views(&route, &version).await?;
    if cx.projection.position() < end {
        return Err(ControlError::new(codes::BUSY, "the projection is being rebuilt", "try again in a moment").into());
    }
    if !holds.is_empty() {
        let open: u64 = holds.iter().map(|hold| hold.count).sum();
        let causes: Vec<String> = holds
            .iter()
            .map(|hold| {
                format!(
                    "{} {} (the oldest is {}, since {})",
                    hold.count, hold.cause, hold.oldest, hold.since
                )
            })
            .collect();
        let fix = format!(
            "let it finish, or move it: baton intents move --agent {agent} --from {version} --to {}",
            route.active
        );
        let message = format!("{open} open intents name {agent}@{version}: {}", causes.join(", "));
        return Err(ControlError::new(codes::STILL_OPEN, message, fix).into());
    }
    dry?;
    let after = cx
        .decide(&agent, |present| rollout::retire(present, &version, &act).map(Some))
        .await?;
    cx.pause_or_resume(&after).await?;
    Ok(after)
}

/// Removes a retired version and all that is kept for it. A worker of it would declare it again.
pub(super) async fn forget(cx: &Context, ForgetVersion(asked): ForgetVersion) -> Result<Route, Error> {
    let VersionAct {
        agent,
        version,
        by,
        reason,
    } = asked;
    let act = Act {
        reason,
        ..Act::new(by, cx.mesh.now())
    };
    rollout::forget(&cx.route(&agent).await?, &version, &act)?;
    let workers = cx.workers.count(&agent, &version);
    if workers > 0 {
        return Err(ControlError::new(
            codes::WRONG_STATE,
            format!("{agent}@{version} has {workers} live workers, which would declare it again"),
            "stop them first; `baton agents describe` names them",
        )
        .into());
    }
    cx.mesh.remove_consumers(&agent, &version).await?;
    let after = cx
        .decide(&agent, |present| rollout::forget(present, &version, &act).map(Some))
        .await?;
    cx.mesh.drop_declaration(&agent, &version).await?;
    Ok(after)
}

async fn change(
    cx: &Context,
    asked: VersionAct,
    decide: impl Fn(&Route, &AgentVersion, &Act) -> Result<Route, Refused> + Send + Sync,
) -> Result<Route, Error> {
    let act = Act {
        reason: asked.reason.clone(),
        ..Act::new(asked.by.clone(), cx.mesh.now())
    };
    let route = cx
        .decide(&asked.agent, |present| decide(present, &asked.version, &act).map(Some))
        .await?;
    cx.pause_or_resume(&route).await?;
    Ok(route)
}
