//! Rollouts: start, steer, show.

use std::time::Duration;

use baton_envelope::codes;
use baton_envelope::control::{
    AbortRollout, AboutAgent, ControlError, DecisionView, HistoryView, ListDecisions, PauseRollout, PlanRollout,
    PromoteRollout, ResumeRollout, RollBack, RolloutAct, ShowRollout, StartRollout, StatusView,
};
use baton_envelope::rollout::{self, Act, Refused, StartPlan};
use baton_envelope::{Json, Route, VersionState};
use baton_jetstream::Error;

use crate::api::preflight;
use crate::context::Context;
use crate::rounds::verdict;

/// How long a person's decision waits for the evidence to record with it.
const NUMBERS: Duration = Duration::from_millis(200);

pub(super) async fn start(cx: &Context, asked: StartRollout) -> Result<StatusView, Error> {
    let StartRollout { agent, version, by, .. } = asked.clone();
    let route = cx.route(&agent).await?;
    // The answer to this question was lost; the repeat means the same rollout.
    if route.rollout.as_ref().is_some_and(|known| known.id == asked.id) {
        return view(cx, &route).await;
    }
    let plan = StartPlan {
        id: asked.id,
        version: version.clone(),
        steps: asked.steps,
        hold_seconds: asked.hold_seconds,
        auto: asked.auto,
        at_once: asked.at_once,
        margins: asked.margins,
    };
    let act = Act::new(by, cx.mesh.now());
    // What the route alone forbids is a better reason than a failed check.
    rollout::start(&route, plan.clone(), &act)?;
    let question = PlanRollout {
        agent: agent.clone(),
        version: version.clone(),
        replay: 0,
    };
    let checks = Box::pin(preflight::plan(cx, question)).await?;
    if !checks.passed && !asked.force {
        let failed: Vec<String> = checks
            .checks
            .iter()
            .filter(|check| !check.passed)
            .map(|check| format!("{}: {}", check.name, check.detail))
            .collect();
        return Err(ControlError::new(
            codes::PREFLIGHT,
            format!("{agent}@{version} may not be rolled out: {}", failed.join("; ")),
            format!("baton rollout plan {agent} {version} says what to do about each; --force starts it all the same"),
        )
        .into());
    }
    let act = Act {
        numbers: Json::of(&checks.checks).ok(),
        ..act
    };
    let after = cx
        .decide(&agent, |present| rollout::start(present, plan.clone(), &act).map(Some))
        .await?;
    settle(cx, &after).await
}

pub(super) async fn promote(cx: &Context, PromoteRollout(asked): PromoteRollout) -> Result<StatusView, Error> {
    let to_end = asked.to_end;
    steer(cx, asked, |route, act| rollout::advance(route, to_end, act)).await
}

pub(super) async fn pause(cx: &Context, PauseRollout(asked): PauseRollout) -> Result<StatusView, Error> {
    steer(cx, asked, rollout::pause).await
}

pub(super) async fn resume(cx: &Context, ResumeRollout(asked): ResumeRollout) -> Result<StatusView, Error> {
    steer(cx, asked, rollout::resume).await
}

pub(super) async fn abort(cx: &Context, AbortRollout(asked): AbortRollout) -> Result<StatusView, Error> {
    steer(cx, asked, rollout::abort).await
}

pub(super) async fn rollback(cx: &Context, asked: RollBack) -> Result<StatusView, Error> {
    let act = Act {
        reason: asked.reason,
        ..Act::new(asked.by, cx.mesh.now())
    };
    let act = with_numbers(cx, &asked.agent, act).await;
    let after = cx
        .decide(&asked.agent, |present| {
            rollout::rollback(present, asked.to.as_ref(), &act).map(Some)
        })
        .await?;
    settle(cx, &after).await
}

pub(super) async fn status(cx: &Context, ShowRollout(asked): ShowRollout) -> Result<StatusView, Error> {
    let route = cx.route(&named(asked)?).await?;
    view(cx, &route).await
}

pub(super) async fn history(cx: &Context, ListDecisions(asked): ListDecisions) -> Result<HistoryView, Error> {
    let agent = named(asked)?;
    cx.route(&agent).await?;
    let decisions = cx
        .mesh
        .route_history(&agent)
        .await?
        .into_iter()
        .filter_map(|(revision, route)| {
            Some(DecisionView {
                revision,
                decision: route.decision?,
                active: route.active,
                canary: route.canary,
            })
        })
        .collect();
    Ok(HistoryView { agent, decisions })
}

fn named(asked: AboutAgent) -> Result<baton_envelope::AgentName, Error> {
    asked.agent.ok_or_else(|| {
        ControlError::new(
            codes::BAD_REQUEST,
            "no agent was named",
            "name one in the field `agent`",
        )
        .into()
    })
}

async fn steer(
    cx: &Context,
    asked: RolloutAct,
    decide: impl Fn(&Route, &Act) -> Result<Route, Refused> + Send + Sync,
) -> Result<StatusView, Error> {
    let act = Act {
        take_over: asked.take_over,
        reason: asked.reason,
        ..with_numbers(cx, &asked.agent, Act::new(asked.by, cx.mesh.now())).await
    };
    let after = cx
        .decide(&asked.agent, |present| decide(present, &act).map(Some))
        .await?;
    settle(cx, &after).await
}

/// Adds the evidence of the moment to a person's decision.
async fn with_numbers(cx: &Context, agent: &baton_envelope::AgentName, mut act: Act) -> Act {
    let asked = async {
        let route = cx.mesh.route_of(agent).await?;
        cx.evidence(&route).await
    };
    // A rollback does not wait for numbers.
    if let Ok(Ok(Some(evidence))) = tokio::time::timeout(NUMBERS, asked).await {
        act.numbers = Json::of(&evidence).ok();
    }
    act
}

/// The route is written; now the consumers follow.
async fn settle(cx: &Context, route: &Route) -> Result<StatusView, Error> {
    cx.pause_or_resume(route).await?;
    view(cx, route).await
}

/// The rollout, its evidence, and what holds the versions that take nothing new.
async fn view(cx: &Context, route: &Route) -> Result<StatusView, Error> {
    let mut tickets = cx.mesh.agent_counts(&route.agent).await?;
    let mut drains = Vec::new();
    for (version, entry) in &route.versions {
        if let VersionState::Draining | VersionState::Drained | VersionState::Quarantined = entry.state {
            let counts = tickets.remove(version).unwrap_or_default();
            drains.push(cx.drain_view(route, version, counts).await?);
        }
    }
    let evidence = cx.evidence(route).await?;
    let verdict = match (&route.rollout, &evidence) {
        (Some(rollout), Some(evidence)) => Some(verdict(cx, rollout, evidence).text().to_owned()),
        (_, _) => None,
    };
    Ok(StatusView {
        agent: route.agent.clone(),
        active: route.active.clone(),
        canary: route.canary.clone(),
        rollout: route.rollout.clone(),
        evidence,
        verdict,
        drains,
        alarms: cx.alarms(&route.agent),
        behind: cx.projection.behind().await?,
    })
}
