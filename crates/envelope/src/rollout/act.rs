//! Decisions on a route. Each takes one revision and returns the next, or a refusal.

use crate::base::codes;
use crate::base::json::Json;
use crate::base::names::{AgentName, AgentVersion};
use crate::base::timestamp::Timestamp;
use crate::base::wire::Extra;
use crate::version::percent::Percent;
use crate::version::rollout::{Margins, Phase, Rollout};
use crate::version::route::{Canary, Decision, Declaration, Route, VersionEntry};
use crate::version::state::{VersionEvent, VersionState};

/// Who decides, when, and why.
#[derive(Debug, Clone)]
pub struct Act {
    /// Who decides: a person, or a part of Baton.
    pub by: String,
    /// When.
    pub at: Timestamp,
    /// Why, in words.
    pub reason: Option<String>,
    /// The numbers behind the decision.
    pub numbers: Option<Json>,
    /// Act even if somebody else owns the rollout.
    pub take_over: bool,
}

impl Act {
    /// A decision without a reason or numbers.
    pub fn new(by: impl Into<String>, at: Timestamp) -> Self {
        Self {
            by: by.into(),
            at,
            reason: None,
            numbers: None,
            take_over: false,
        }
    }

    /// Sets the reason.
    #[must_use]
    pub fn because(mut self, reason: impl Into<String>) -> Self {
        self.reason = Some(reason.into());
        self
    }
}

/// A decision that the route does not allow.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Refused {
    /// What programs branch on, such as `ROLLOUT_OWNED`.
    pub code: &'static str,
    /// What people read.
    pub message: String,
    /// What to do about it.
    pub fix: String,
}

impl Refused {
    /// Makes a refusal.
    pub fn new(code: &'static str, message: impl Into<String>, fix: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            fix: fix.into(),
        }
    }
}

/// The plan of a rollout.
#[derive(Debug, Clone)]
pub struct StartPlan {
    /// Its id.
    pub id: String,
    /// The version to roll out.
    pub version: AgentVersion,
    /// The shares of the new work, in order.
    pub steps: Vec<Percent>,
    /// The shortest time that a step takes, in seconds.
    pub hold_seconds: u64,
    /// Whether the evidence takes the steps; otherwise a person does.
    pub auto: bool,
    /// Whether the new version gets all new work at once.
    pub at_once: bool,
    /// The limits for the evidence.
    pub margins: Margins,
}

/// Applies a worker's declaration to the route; `None` if it changes nothing.
pub fn declare(route: Option<&Route>, declared: &Declaration, act: &Act) -> Option<Route> {
    let version = &declared.version;
    let Some(route) = route else {
        let mut first = Route::first(declared.agent.clone(), version.clone(), act.at, &*act.by);
        describe(first.versions.entry(version.clone()).or_default(), declared);
        return Some(decided(first, "declared", Some(version), act));
    };
    let mut next = route.clone();
    let is_new = !route.versions.contains_key(version);
    let state = route.state(version).unwrap_or_default();
    let entry = next.versions.entry(version.clone()).or_default();
    if is_new {
        entry.state = state.clone();
        entry.since = Some(act.at);
    }
    describe(entry, declared);
    if state == VersionState::Declared {
        entry.state = VersionState::Ready;
        entry.since = Some(act.at);
    }
    if next.versions == route.versions {
        return None;
    }
    Some(decided(next, "declared", Some(version), act))
}

fn describe(entry: &mut VersionEntry, declared: &Declaration) {
    entry.capabilities.clone_from(&declared.capabilities);
    entry.channels.clone_from(&declared.channels);
    entry.kinds.clone_from(&declared.kinds);
    entry.protocol = declared.protocol;
    entry.manual = declared.manual;
    entry.context.clone_from(&declared.context);
}

/// Records that the last worker of a version is gone; `None` if that changes nothing. It changes only a version that
/// takes no work.
pub fn silent(route: &Route, version: &AgentVersion, act: &Act) -> Option<Route> {
    let mut next = route.clone();
    happen(&mut next, version, VersionEvent::Silent, act).ok()?;
    Some(decided(next, "silent", Some(version), act))
}

/// Starts a rollout.
///
/// # Errors
/// When another one is under way, or the version may not take work.
pub fn start(route: &Route, plan: StartPlan, act: &Act) -> Result<Route, Refused> {
    if let Some(running) = route.running() {
        return Err(owned(route, running));
    }
    let version = &plan.version;
    known(route, version)?;
    if route.active == *version {
        return Err(Refused::new(
            codes::ALREADY_ACTIVE,
            format!("{}@{version} is active already", route.agent),
            "nothing needs to be done",
        ));
    }
    let mut next = route.clone();
    if route.state(version) == Some(VersionState::Retired) {
        happen(&mut next, version, VersionEvent::Revived, act)?;
        happen(&mut next, version, VersionEvent::Heard, act)?;
    }
    let mut steps: Vec<Percent> = plan.steps.into_iter().filter(|step| step.get() > 0).collect();
    steps.push(Percent::ALL);
    steps.sort_unstable();
    steps.dedup();
    let first = steps.first().copied().unwrap_or(Percent::ALL);
    next.rollout = Some(Rollout {
        id: plan.id,
        from: route.active.clone(),
        to: version.clone(),
        owner: act.by.clone(),
        started_at: act.at,
        step: 0,
        step_since: act.at,
        hold_seconds: plan.hold_seconds,
        auto: plan.auto,
        phase: Phase::Ramping,
        margins: plan.margins,
        ended_at: None,
        steps,
        extra: Extra::new(),
    });
    if plan.at_once || first == Percent::ALL {
        return promote(next, "started", act);
    }
    happen(&mut next, version, VersionEvent::CanaryStarted, act)?;
    next.canary = Some(Canary {
        version: version.clone(),
        percent: first,
        extra: Extra::new(),
    });
    Ok(decided(next, "started", Some(version), act))
}

/// Takes the next step of the rollout; after the last one the new version is active. `to_end` takes all steps at once.
///
/// # Errors
/// When no rollout is under way, or another person's is.
pub fn advance(route: &Route, to_end: bool, act: &Act) -> Result<Route, Refused> {
    let rollout = running(route, act)?;
    let share = rollout.next_share();
    let mut next = route.clone();
    if to_end || share == Percent::ALL {
        return promote(next, "promoted", act);
    }
    if let Some(rollout) = &mut next.rollout {
        rollout.step += 1;
        rollout.step_since = act.at;
        next.canary = Some(Canary {
            version: rollout.to.clone(),
            percent: share,
            extra: Extra::new(),
        });
    }
    Ok(decided(next, "advanced", Some(&rollout.to), act))
}

/// Pauses the rollout at its current step.
///
/// # Errors
/// When no rollout is under way, or another person's is.
pub fn pause(route: &Route, act: &Act) -> Result<Route, Refused> {
    let to = &running(route, act)?.to;
    Ok(decided(with_phase(route, Phase::Paused), "paused", Some(to), act))
}

/// Resumes a paused rollout. Its current step starts over.
///
/// # Errors
/// When no rollout is under way, or another person's is.
pub fn resume(route: &Route, act: &Act) -> Result<Route, Refused> {
    let to = &running(route, act)?.to;
    let mut next = with_phase(route, Phase::Ramping);
    if let Some(rollout) = &mut next.rollout {
        rollout.step_since = act.at;
    }
    Ok(decided(next, "resumed", Some(to), act))
}

/// Ends the rollout. The old version keeps the new work; the new version finishes what it has.
///
/// # Errors
/// When no rollout is under way, or another person's is.
pub fn abort(route: &Route, act: &Act) -> Result<Route, Refused> {
    let to = &running(route, act)?.to;
    let mut next = with_phase(route, Phase::Aborted);
    end_canary(&mut next, act)?;
    end_rollout(&mut next, Phase::Aborted, act);
    Ok(decided(next, "aborted", Some(to), act))
}

/// Returns the new work to an older version: the one the rollout began with, or the previous one. This needs no owner.
///
/// # Errors
/// When there is no version to go back to, or that version may not take work.
pub fn rollback(route: &Route, to: Option<&AgentVersion>, act: &Act) -> Result<Route, Refused> {
    let target = match (to, route.running()) {
        (Some(version), _) => version.clone(),
        (None, Some(rollout)) => rollout.from.clone(),
        // A second rollback would go to an even older version, or back to the bad one.
        (None, None) if was_rolled_back(route) => {
            return Err(Refused::new(
                codes::ALREADY_ROLLED_BACK,
                format!("{} was rolled back to {} already", route.agent, route.active),
                "name a version with --to to go to another one",
            ));
        }
        (None, None) => route.previous.clone().ok_or_else(|| {
            Refused::new(
                codes::NOTHING_BEFORE,
                format!("no version of {} was active before {}", route.agent, route.active),
                "name the version with --to",
            )
        })?,
    };
    known(route, &target)?;
    if route.active == target && route.canary.is_none() {
        return Err(Refused::new(
            codes::ALREADY_ACTIVE,
            format!("{}@{target} has all of the new work already", route.agent),
            "nothing needs to be done; name another version with --to",
        ));
    }
    let mut next = route.clone();
    if route.state(&target) == Some(VersionState::Retired) {
        happen(&mut next, &target, VersionEvent::Revived, act)?;
    }
    make_active(&mut next, &target, act)?;
    // The next bare rollback has no version that a person could mean.
    next.previous = None;
    // This also undoes a rollout that was over, if its version loses the new work.
    if next.rollout.as_ref().is_some_and(|rollout| rollout.to == route.active) {
        finish(&mut next, Phase::RolledBack, act);
    }
    end_rollout(&mut next, Phase::RolledBack, act);
    Ok(decided(next, "rolled_back", Some(&target), act))
}

// --- shared by the decisions --------------------------------------------------------------------------------------

fn promote(mut next: Route, what: &str, act: &Act) -> Result<Route, Refused> {
    let Some(to) = next.rollout.as_ref().map(|rollout| rollout.to.clone()) else {
        return Err(no_rollout(&next));
    };
    make_active(&mut next, &to, act)?;
    if let Some(rollout) = &mut next.rollout {
        rollout.step = u32::try_from(rollout.steps.len().saturating_sub(1)).unwrap_or(u32::MAX);
        rollout.step_since = act.at;
        rollout.phase = Phase::Draining;
    }
    Ok(decided(next, what, Some(&to), act))
}

/// Makes a version the active one. The former active version drains, and so does a canary that is another version.
pub(super) fn make_active(next: &mut Route, version: &AgentVersion, act: &Act) -> Result<(), Refused> {
    let was = next.active.clone();
    let canary = next.canary.take().map(|canary| canary.version);
    if was != *version {
        next.versions.entry(was.clone()).or_insert_with(|| VersionEntry {
            state: VersionState::Active,
            ..VersionEntry::default()
        });
        happen(next, version, VersionEvent::Activated, act)?;
        // If it is quarantined, it stays so.
        if next.state(&was) == Some(VersionState::Active) {
            happen(next, &was, VersionEvent::Superseded, act)?;
        }
        next.previous = Some(was);
        next.active = version.clone();
    }
    if let Some(canary) = canary.filter(|canary| canary != version) {
        happen(next, &canary, VersionEvent::Superseded, act)?;
    }
    Ok(())
}

fn end_canary(next: &mut Route, act: &Act) -> Result<(), Refused> {
    match next.canary.take() {
        Some(canary) => happen(next, &canary.version, VersionEvent::Superseded, act),
        None => Ok(()),
    }
}

/// Ends the rollout if it still decides over the route, or still drains its old version.
pub(super) fn end_rollout(next: &mut Route, phase: Phase, act: &Act) {
    let lives = |rollout: &Rollout| {
        !matches!(rollout.phase, Phase::Done | Phase::RolledBack | Phase::Aborted) || rollout.ended_at.is_none()
    };
    if next.rollout.as_ref().is_some_and(lives) {
        finish(next, phase, act);
    }
}

pub(super) fn finish(next: &mut Route, phase: Phase, act: &Act) {
    if let Some(rollout) = &mut next.rollout {
        rollout.phase = phase;
        rollout.ended_at = Some(act.at);
    }
}

fn with_phase(route: &Route, phase: Phase) -> Route {
    let mut next = route.clone();
    if let Some(rollout) = &mut next.rollout {
        rollout.phase = phase;
    }
    next
}

fn running<'a>(route: &'a Route, act: &Act) -> Result<&'a Rollout, Refused> {
    let rollout = route.running().ok_or_else(|| no_rollout(route))?;
    if is_owner(&rollout.owner, &act.by) || act.take_over {
        Ok(rollout)
    } else {
        Err(owned(route, rollout))
    }
}

/// Whether a rollout is somebody's own. Before protocol 1.5 the `baton` of a user whom the environment did not name wrote
/// `cli` at its host: that was anybody there.
fn is_owner(owner: &str, by: &str) -> bool {
    let host = |name: &str| name.split_once('@').map(|(_, host)| host.to_owned());
    owner == by || owner.starts_with("cli@") && host(owner) == host(by)
}

fn no_rollout(route: &Route) -> Refused {
    Refused::new(
        codes::NO_ROLLOUT,
        format!("no rollout of {} is under way", route.agent),
        format!("start one: baton rollout start {} VERSION", route.agent),
    )
}

pub(super) fn owned(route: &Route, rollout: &Rollout) -> Refused {
    let Rollout {
        from,
        to,
        owner,
        started_at,
        ..
    } = rollout;
    Refused::new(
        codes::ROLLOUT_OWNED,
        format!(
            "{} is being rolled out from {from} to {to} by {owner} since {started_at}",
            route.agent
        ),
        format!(
            "see baton rollout status {agent}; talk to {owner}, or take the rollout over with --take-over (a rollback needs \
             no owner)",
            agent = route.agent
        ),
    )
}

/// Refuses a version that nobody has heard of.
///
/// # Errors
/// When the route does not know it.
pub fn known(route: &Route, version: &AgentVersion) -> Result<(), Refused> {
    if route.state(version).is_some() {
        return Ok(());
    }
    let known: Vec<String> = route.versions.keys().map(ToString::to_string).collect();
    Err(Refused::new(
        codes::UNKNOWN_VERSION,
        format!(
            "no worker of {}@{version} was ever heard of (known: {})",
            route.agent,
            known.join(", ")
        ),
        "start a worker of that version, or correct the version",
    ))
}

pub(super) fn happen(next: &mut Route, version: &AgentVersion, event: VersionEvent, act: &Act) -> Result<(), Refused> {
    let agent = next.agent.clone();
    let state = next.state(version).unwrap_or_default();
    let after = state.next(event).map_err(|_| {
        let (problem, fix) = why_not(&agent, version, &state, event);
        Refused::new(
            codes::WRONG_STATE,
            format!("{agent}@{version} is {state}: {problem}"),
            fix,
        )
    })?;
    let entry = next.versions.entry(version.clone()).or_default();
    entry.state = after;
    entry.since = Some(act.at);
    entry.reason.clone_from(&act.reason);
    Ok(())
}

/// Whether the last decision about versions was a rollback. Declarations and drains may have followed it.
fn was_rolled_back(route: &Route) -> bool {
    let rollout = route.rollout.as_ref();
    route.previous.is_none() && rollout.is_some_and(|rollout| rollout.phase == Phase::RolledBack)
}

/// Why an event may not happen to a version, and what to do.
fn why_not(
    agent: &AgentName,
    version: &AgentVersion,
    state: &VersionState,
    event: VersionEvent,
) -> (&'static str, String) {
    let problem = match event {
        VersionEvent::CanaryStarted if *state == VersionState::Declared => "it has no live worker",
        VersionEvent::CanaryStarted | VersionEvent::Activated => "it may not take new work",
        VersionEvent::Retired if *state == VersionState::Retired => "nothing is left to do",
        VersionEvent::Retired => "it cannot be retired yet",
        VersionEvent::Quarantined => "it cannot be set aside",
        VersionEvent::Lifted => "there is no quarantine to lift",
        VersionEvent::Emptied => "it does not drain",
        VersionEvent::Heard | VersionEvent::Silent | VersionEvent::Superseded | VersionEvent::Revived => {
            "that may not happen to it"
        }
    };
    let fix = match (state, event) {
        (VersionState::Declared, VersionEvent::CanaryStarted) => "start a worker of it, then try again".to_owned(),
        (VersionState::Quarantined, VersionEvent::CanaryStarted | VersionEvent::Activated) => {
            format!("lift it first: baton agents quarantine {agent} {version} --lift")
        }
        (VersionState::Draining, VersionEvent::Retired) => {
            format!("wait until it is drained, or move its work: baton rollout status {agent}")
        }
        (_, _) => format!("see baton agents describe {agent}"),
    };
    (problem, fix)
}

pub(super) fn decided(mut route: Route, what: &str, version: Option<&AgentVersion>, act: &Act) -> Route {
    route.updated_at = act.at;
    route.updated_by.clone_from(&act.by);
    route.decision = Some(Decision {
        what: what.to_owned(),
        by: act.by.clone(),
        at: act.at,
        version: version.cloned(),
        reason: act.reason.clone(),
        numbers: act.numbers.clone(),
        extra: Extra::new(),
    });
    route
}
