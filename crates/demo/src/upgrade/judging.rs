//! Judges an upgrade by the histories of all intents, the revisions of the route, and the lines of the effects.

use baton_envelope::{AgentName, AgentVersion, IntentId, Route, Status};
use baton_jetstream::Head;

use crate::check::judge;
use crate::upgrade::rollout::{evidence, share};
use crate::upgrade::routed::{Hops, Rule, Side, is_within, side};
use crate::upgrade::verdict::{Decision, Upgrade, UpgradeStep};

/// A bad version must be rolled back before it has had this many attempts.
const NOTICED: u64 = 200;

/// What to judge.
#[derive(Debug)]
pub(super) struct Run<'a> {
    pub(super) asked: u32,
    pub(super) rate: u32,
    pub(super) bad: bool,
    pub(super) kills: usize,
    pub(super) seconds: f64,
    pub(super) agent: &'a AgentName,
    pub(super) from: &'a AgentVersion,
    pub(super) to: &'a AgentVersion,
    pub(super) histories: &'a [(IntentId, Vec<Head>)],
    pub(super) decisions: &'a [Route],
    pub(super) effects: &'a str,
}

pub(super) fn judge_upgrade(run: &Run<'_>) -> Upgrade {
    let seen = judge(run.histories, run.effects);
    let hops = Hops::of(run.agent, run.histories);
    let is_parked = |history: &Vec<Head>| {
        let last = history.last().map(|head| &head.record.snapshot.status);
        matches!(last, Some(Status::Parked { .. }))
    };
    let parked = run.histories.iter().filter(|(_, history)| is_parked(history)).count();
    let decided: Vec<&Route> = run.decisions.iter().filter(|route| is_of_rollout(route)).collect();
    let rules: Vec<Rule> = std::iter::once(Rule::before(run.from))
        .chain(decided.iter().map(|route| Rule::of(route)))
        .collect();
    let sides: Vec<Side> = hops.routed.iter().map(|hop| side(&rules, hop)).collect();
    let count = |wanted| sides.iter().filter(|side| **side == wanted).count();
    let acts = decisions_of(&decided);
    let end = acts
        .iter()
        .find(|act| ["promoted", "rolled_back"].contains(&&*act.what));
    let drained = acts.iter().find(|act| act.what == "drained");
    let mut upgrade = Upgrade {
        problems: Vec::new(),
        end: end.map(|act| act.what.clone()).unwrap_or_default(),
        reason: end.map(|act| act.reason.clone()).unwrap_or_default(),
        rate_asked: run.asked,
        rate_kept: run.rate,
        submitted: seen.submitted,
        completed: seen.completed,
        parked,
        lost: seen.lost.saturating_sub(parked),
        duplicate_commits: seen.duplicate_commits,
        repeated_steps: seen.repeated_steps,
        illegal_records: seen.illegal_records,
        retries: hops.retries,
        moved: hops.moved,
        foreign: hops.foreign,
        routed: hops.routed.len(),
        wrong_side: count(Side::Wrong),
        near_change: count(Side::Near),
        steps: steps(run, &decided, &hops),
        drained_after: drained.zip(end).map(|(drained, end)| drained.after - end.after),
        kills: run.kills,
        seconds: run.seconds,
        decisions: acts,
    };
    upgrade.problems = problems(run, &upgrade, &decided);
    upgrade
}

/// Whether the rollout made a revision, and not a worker that came or went.
fn is_of_rollout(route: &Route) -> bool {
    let what = route.decision.as_ref().map(|decision| decision.what.as_str());
    what.is_some_and(|what| !["declared", "silent"].contains(&what))
}

fn decisions_of(decided: &[&Route]) -> Vec<Decision> {
    let made = decided.iter().filter_map(|route| {
        let (decision, rollout) = (route.decision.as_ref()?, route.rollout.as_ref()?);
        Some(Decision {
            what: decision.what.clone(),
            share: share(route),
            after: decision.at.since(rollout.started_at).as_secs_f64(),
            reason: decision.reason.clone().unwrap_or_default(),
        })
    });
    made.collect()
}

/// The shares over time, each from the decision that set it to the one that ended it.
fn steps(run: &Run<'_>, decided: &[&Route], hops: &Hops) -> Vec<UpgradeStep> {
    let mut steps: Vec<UpgradeStep> = Vec::new();
    for (n, route) in decided.iter().enumerate() {
        let begins = n == 0 || decided.get(n - 1).is_some_and(|before| share(before) != share(route));
        if !begins {
            continue;
        }
        let end = decided.iter().skip(n + 1).find(|next| share(next) != share(route));
        let until = end.map(|end| end.updated_at);
        let within = |hop: &&crate::upgrade::routed::Hop| is_within(hop, route.updated_at, until);
        let seen = end.and_then(|end| evidence(end.decision.as_ref()?.numbers.as_ref()));
        steps.push(UpgradeStep {
            share: share(route),
            seconds: until.map(|until| until.since(route.updated_at).as_secs_f64()),
            routed: hops.routed.iter().filter(within).count(),
            to_new: hops
                .routed
                .iter()
                .filter(within)
                .filter(|hop| hop.version == *run.to)
                .count(),
            attempts: seen.as_ref().map(|seen| seen.to_in_step.hops),
            failed: seen.as_ref().map(|seen| seen.to_in_step.failed()),
        });
    }
    steps
}

/// Everything that is wrong.
fn problems(run: &Run<'_>, upgrade: &Upgrade, decided: &[&Route]) -> Vec<String> {
    let mut problems = Vec::new();
    for (count, what) in [
        (upgrade.lost, "intents were lost"),
        (upgrade.duplicate_commits, "hops were committed twice"),
        (upgrade.repeated_steps, "recorded steps ran again"),
        (upgrade.illegal_records, "records may not stand where they stand"),
        (upgrade.moved, "hops were given to another version"),
        (
            upgrade.foreign,
            "records are by a version that the hop was not routed to",
        ),
        (upgrade.wrong_side, "chains went to the other side of the canary"),
    ] {
        if count > 0 {
            problems.push(format!("{count} {what}"));
        }
    }
    if upgrade.parked > 0 && !run.bad {
        problems.push(format!("{} intents were parked", upgrade.parked));
    }
    for step in upgrade.steps.iter().filter(|step| !step.is_credible()) {
        problems.push(format!(
            "{} of {} chains went to {} while its share was {} %",
            step.to_new, step.routed, run.to, step.share
        ));
    }
    let expected: &[(&str, u8)] = match run.bad {
        false => &[
            ("started", 10),
            ("advanced", 25),
            ("advanced", 50),
            ("promoted", 100),
            ("drained", 100),
            ("retired", 100),
        ],
        true => &[("started", 10), ("rolled_back", 0), ("drained", 0), ("retired", 0)],
    };
    let made: Vec<(&str, u8)> = upgrade
        .decisions
        .iter()
        .map(|act| (act.what.as_str(), act.share))
        .collect();
    if made != expected {
        problems.push(format!(
            "the decisions were {made:?}, and should have been {expected:?}"
        ));
    }
    let rolled_back = decided
        .iter()
        .filter_map(|route| route.decision.as_ref())
        .find(|decision| decision.what == "rolled_back");
    let seen = rolled_back.and_then(|decision| evidence(decision.numbers.as_ref()));
    if let Some(seen) = seen.filter(|seen| seen.to.hops >= NOTICED) {
        problems.push(format!(
            "{} was rolled back only after {} attempts",
            run.to, seen.to.hops
        ));
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rollout_that_never_came_and_an_intent_that_was_lost_are_problems() {
        let (agent, from, to) = ("code".parse(), "1.0.0".parse(), "2.0.0".parse());
        let run = Run {
            asked: 1,
            rate: 1,
            bad: false,
            kills: 0,
            seconds: 1.0,
            agent: &agent.expect("agent"),
            from: &from.expect("version"),
            to: &to.expect("version"),
            histories: &[("lost".parse().expect("id"), Vec::new())],
            decisions: &[],
            effects: "",
        };
        let upgrade = judge_upgrade(&run);
        let [lost, decisions] = &*upgrade.problems else {
            panic!("{:?}", upgrade.problems)
        };
        assert_eq!(lost, "1 intents were lost");
        assert!(decisions.contains("should have been [(\"started\", 10)"), "{decisions}");
    }
}
