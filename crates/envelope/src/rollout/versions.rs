//! Decisions about single versions, apart from the steps of a rollout: activate, drain, retire, quarantine, move work
//! away.

use crate::amounts::Amounts;
use crate::base::codes;
use crate::base::names::AgentVersion;
use crate::base::timestamp::Timestamp;
use crate::rollout::act::{Act, Refused, decided, end_rollout, finish, happen, known, make_active, owned};
use crate::version::cap::CAPPED;
use crate::version::limits::AgentLimits;
use crate::version::pinning::Pinning;
use crate::version::rollout::{Phase, Rollout};
use crate::version::route::{Route, VersionEntry};
use crate::version::state::{VersionEvent, VersionState};

/// Gives all new work to a version at once, without a rollout.
///
/// # Errors
/// When a rollout is under way, or the version may not take work.
pub fn activate(route: &Route, version: &AgentVersion, act: &Act) -> Result<Route, Refused> {
    if let Some(running) = route.running() {
        return Err(owned(route, running));
    }
    let mut next = route.clone();
    next.versions.entry(version.clone()).or_insert_with(|| VersionEntry {
        state: if route.active == *version {
            VersionState::Active
        } else {
            VersionState::Declared
        },
        since: Some(act.at),
        ..VersionEntry::default()
    });
    if route.state(version) == Some(VersionState::Retired) {
        happen(&mut next, version, VersionEvent::Revived, act)?;
    }
    make_active(&mut next, version, act)?;
    Ok(decided(next, "set", Some(version), act))
}

/// The route as it was last known, written again: it was removed from the bucket, which is no decision.
pub fn restored(route: &Route, act: &Act) -> Route {
    decided(route.clone(), "restored", None, act)
}

/// Sets how intents of this agent that set no pinning choose versions; `None` if that changes nothing.
pub fn set_pinning(route: &Route, pinning: &Pinning, act: &Act) -> Option<Route> {
    if route.pinning == *pinning {
        return None;
    }
    let next = Route {
        pinning: pinning.clone(),
        ..route.clone()
    };
    Some(decided(next, "pinning", None, act))
}

/// Sets what all workers of this agent may do together; `None` if that changes nothing. A number that is `None` stays as it
/// is, and 0 lifts a limit.
pub fn set_limits(route: &Route, wanted: &AgentLimits, act: &Act) -> Option<Route> {
    fn set<T: Copy + Default + PartialOrd>(limit: &mut Option<T>, wanted: Option<T>) {
        if let Some(wanted) = wanted {
            *limit = Some(wanted).filter(|wanted| *wanted > T::default());
        }
    }
    let present = route.limits.clone().unwrap_or_default();
    let mut limits = present.clone();
    set(&mut limits.in_flight, wanted.in_flight);
    set(&mut limits.rate_per_hour, wanted.rate_per_hour);
    set(&mut limits.per_key, wanted.per_key);
    set(&mut limits.fair, wanted.fair);
    set(&mut limits.key_rate_per_hour, wanted.key_rate_per_hour);
    if let Some(wanted) = &wanted.per_day {
        limits.per_day = with_cap(limits.per_day.as_deref(), wanted);
    }
    if limits == present {
        return None;
    }
    let next = Route {
        limits: Some(limits),
        ..route.clone()
    };
    Some(decided(next, "limited", None, act))
}

/// A cap, changed: a meter that is absent from what is wanted stays as it is, and nothing of one lifts it.
pub fn with_cap(present: Option<&Amounts>, wanted: &Amounts) -> Option<Box<Amounts>> {
    let mut cap = Amounts::NONE;
    for meter in CAPPED {
        let present = present.and_then(|present| present.of(meter));
        if let Some(amount) = wanted.of(meter).or(present).filter(|amount| !amount.is_zero()) {
            cap.set(meter, amount);
        }
    }
    cap.unless_zero().map(Box::new)
}

/// Holds a version's work back while it is moved away, until `until` at the latest; `None` ends that.
///
/// # Errors
/// When the version is unknown.
pub fn moving(route: &Route, version: &AgentVersion, until: Option<Timestamp>, act: &Act) -> Result<Route, Refused> {
    known(route, version)?;
    let mut next = route.clone();
    if let Some(entry) = next.versions.get_mut(version) {
        entry.moving_until = until;
    }
    let what = if until.is_some() { "moving" } else { "moved" };
    Ok(decided(next, what, Some(version), act))
}

/// Records that no open intent names the version any more.
///
/// # Errors
/// When the version is not draining.
pub fn drained(route: &Route, version: &AgentVersion, act: &Act) -> Result<Route, Refused> {
    let mut next = route.clone();
    happen(&mut next, version, VersionEvent::Emptied, act)?;
    let done = |rollout: &Rollout| rollout.phase == Phase::Draining && rollout.from == *version;
    if next.rollout.as_ref().is_some_and(done) {
        finish(&mut next, Phase::Done, act);
    }
    Ok(decided(next, "drained", Some(version), act))
}

/// Takes a version out of service. The caller must make sure that no open intent names it.
///
/// # Errors
/// When it is unknown, takes new work, still drains, or is already retired.
pub fn retire(route: &Route, version: &AgentVersion, act: &Act) -> Result<Route, Refused> {
    known(route, version)?;
    let takes_work = route.active == *version || route.canary.as_ref().is_some_and(|canary| canary.version == *version);
    if takes_work {
        return Err(Refused::new(
            codes::TAKES_WORK,
            format!("{}@{version} takes new work", route.agent),
            format!(
                "roll another version out first: baton rollout start {} VERSION",
                route.agent
            ),
        ));
    }
    let mut next = route.clone();
    happen(&mut next, version, VersionEvent::Retired, act)?;
    Ok(decided(next, "retired", Some(version), act))
}

/// Removes a retired version from the route, so that the number of versions stays bounded. The decision names it, and the
/// earlier revisions keep what it was.
///
/// # Errors
/// When the version is unknown or not retired.
pub fn forget(route: &Route, version: &AgentVersion, act: &Act) -> Result<Route, Refused> {
    known(route, version)?;
    let state = route.state(version).unwrap_or_default();
    if state != VersionState::Retired {
        return Err(Refused::new(
            codes::WRONG_STATE,
            format!(
                "{}@{version} is {state}, and only a retired version can be forgotten",
                route.agent
            ),
            format!("retire it first: baton agents retire {} {version}", route.agent),
        ));
    }
    let mut next = route.clone();
    next.versions.remove(version);
    next.previous = next.previous.filter(|previous| previous != version);
    Ok(decided(next, "forgotten", Some(version), act))
}

/// Quarantines a version as a bad build: it gets nothing new. If it is active, another version takes the new work: in a
/// rollout the one being rolled out, else the previous one. If that one may not take work, new work waits.
///
/// # Errors
/// When the version is unknown, retired, or already quarantined.
pub fn quarantine(route: &Route, version: &AgentVersion, act: &Act) -> Result<Route, Refused> {
    known(route, version)?;
    let mut next = route.clone();
    if route.canary.as_ref().is_some_and(|canary| canary.version == *version) {
        next.canary = None;
        end_rollout(&mut next, Phase::RolledBack, act);
    }
    if route.active == *version {
        let before = match route.running() {
            Some(rollout) => Some(rollout.to.clone()),
            None => route.previous.clone(),
        };
        let able = |version: &AgentVersion| {
            let state = route.state(version);
            state.is_some_and(|state| state.is_alive() || state == VersionState::Drained)
        };
        if let Some(before) = before.filter(|before| before != version && able(before)) {
            make_active(&mut next, &before, act)?;
            end_rollout(&mut next, Phase::Draining, act);
        }
    }
    happen(&mut next, version, VersionEvent::Quarantined, act)?;
    Ok(decided(next, "quarantined", Some(version), act))
}

/// Lifts a quarantine. Open work on the version goes on; new work comes to it only if it is still the active one.
///
/// # Errors
/// When it is not quarantined.
pub fn lift(route: &Route, version: &AgentVersion, act: &Act) -> Result<Route, Refused> {
    known(route, version)?;
    let mut next = route.clone();
    happen(&mut next, version, VersionEvent::Lifted, act)?;
    if next.active == *version {
        happen(&mut next, version, VersionEvent::Activated, act)?;
    }
    Ok(decided(next, "lifted", Some(version), act))
}
