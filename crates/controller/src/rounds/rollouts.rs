//! Automatic rollouts: examines the evidence, then takes the next step or rolls back. The decision is in the route, so
//! the next leader continues after one that dies.

use std::time::Duration;

use baton_envelope::control::EvidenceView;
use baton_envelope::rollout::{self, Act, judge};
use baton_envelope::{Json, Phase, Rollout, Route, Timestamp, Verdict};

use crate::context::Context;
use crate::rounds::each::each;
use crate::rounds::error::RoundError;
use crate::rounds::round::{Period, Round};
use crate::rounds::term::Term;

/// How long the projection may take to catch up before the decision waits for the next round.
const CATCH_UP: Duration = Duration::from_secs(1);
/// How long the new version may have no live worker before it is rolled back.
const WITHOUT_WORKERS: Duration = Duration::from_secs(15);

/// Takes the next step of each rollout, or rolls it back, as the evidence says.
#[derive(Debug)]
pub(crate) struct Rollouts;

impl Round for Rollouts {
    const NAME: &'static str = "rollouts";
    const PERIOD: Period = Period::Observation;

    fn begin(_: &Term) -> Self {
        Self
    }

    async fn round(&mut self, term: &Term) -> Result<(), RoundError> {
        let seen = term.observations()?;
        each(&seen.routes, |route| {
            let to = route.running().map(|rollout| &rollout.to);
            let worked = to.filter(|version| !route.is_manual(version));
            let alone_since = worked.and_then(|version| seen.alone_since(&route.agent, version));
            of_agent(term, route, alone_since)
        })
        .await
    }
}

/// Examines the running rollout of a route, and decides if it may. `alone_since` is when the new version was first seen
/// without a live worker.
async fn of_agent(term: &Term, route: &Route, alone_since: Option<Timestamp>) -> Result<(), RoundError> {
    let cx = &term.cx;
    let Some(rollout) = route.running().filter(|rollout| rollout.auto) else {
        return Ok(());
    };
    // A projection in a rebuild would show part of the evidence as if it were all.
    let end = cx.projection.caught_up(CATCH_UP).await;
    let Some(evidence) = cx.evidence(route).await? else {
        return Ok(());
    };
    let verdict = match alone_since {
        // This needs no evidence, so it does not wait for any.
        Some(since) if cx.mesh.now().since(since) > WITHOUT_WORKERS => {
            Verdict::RollBack(format!("{} has had no live worker since {since}", rollout.to))
        }
        Some(_) | None => {
            // Its rebuild may have begun during the question.
            if cx.projection.position() < end? {
                return Ok(());
            }
            verdict(cx, rollout, &evidence)
        }
    };
    let reason = verdict.text().to_owned();
    let act = Act {
        numbers: Json::of(&evidence).ok(),
        ..cx.act().because(reason.clone())
    };
    // Decide only if the rollout is still at this very step.
    let same = |present: &Route| {
        present
            .running()
            .is_some_and(|now| now.id == rollout.id && now.step == rollout.step && now.phase == rollout.phase)
    };
    let (agent, to) = (&route.agent, &rollout.to);
    match verdict {
        Verdict::Hold(_) => return Ok(()),
        Verdict::Advance(_) => {
            let next = term
                .in_charge()?
                .decide(agent, |present| match same(present) {
                    true => rollout::advance(present, false, &act).map(Some),
                    false => Ok(None),
                })
                .await?;
            let share = next
                .rollout
                .as_ref()
                .map_or_else(String::new, |rollout| rollout.share().to_string());
            tracing::info!(%agent, version = %to, share, "rollout advanced: {reason}");
        }
        Verdict::RollBack(_) => {
            let next = term
                .in_charge()?
                .decide(agent, |present| match same(present) {
                    true => rollout::rollback(present, None, &act).map(Some),
                    false => Ok(None),
                })
                .await?;
            tracing::warn!(%agent, version = %to, active = %next.active, "rolled back: {reason}");
        }
    }
    Ok(())
}

/// What the evidence says about a rollout.
pub(crate) fn verdict(cx: &Context, rollout: &Rollout, evidence: &EvidenceView) -> Verdict {
    if !rollout.phase.is_open() {
        return Verdict::Hold(ended(rollout));
    }
    let EvidenceView {
        from,
        to,
        from_in_step,
        to_in_step,
    } = evidence;
    judge(rollout, from, to, from_in_step, to_in_step, cx.mesh.now())
}

/// The text about a rollout that no longer decides anything.
fn ended(rollout: &Rollout) -> String {
    match rollout.phase {
        Phase::Draining => format!("{} is active, {} drains", rollout.to, rollout.from),
        Phase::Done => format!("{} is active, {} is drained", rollout.to, rollout.from),
        Phase::RolledBack => format!("rolled back to {}", rollout.from),
        Phase::Aborted => format!("aborted; {} keeps the new work", rollout.from),
        Phase::Ramping | Phase::Paused | Phase::Unknown(_) => String::new(),
    }
}
