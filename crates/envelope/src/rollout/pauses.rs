//! Stops the deliveries of an agent or of one of its versions, and starts them again; a kill also has what runs fenced
//! out. Consumers follow the record that stands in the route, whoever makes them.

use crate::base::codes;
use crate::base::json::Json;
use crate::base::names::AgentVersion;
use crate::base::wire::Extra;
use crate::rollout::act::{Act, Refused, decided, known};
use crate::version::route::{Pause, Route, VersionEntry};

/// Stops the deliveries of a version, or of the whole agent.
///
/// # Errors
/// When the version is unknown, or is paused already: the error says by whom.
pub fn pause_work(route: &Route, version: Option<&AgentVersion>, act: &Act) -> Result<Route, Refused> {
    if let Some(pause) = present(route, version)? {
        let (by, at) = (&pause.by, pause.at);
        let reason = pause.reason.as_deref().unwrap_or("no reason was given");
        let stands = match pause.kill {
            true => "is killed, and what it does is stopped already",
            false => "is paused, and cannot be paused again",
        };
        return Err(Refused::new(
            codes::WRONG_STATE,
            format!("{} {stands}: by {by} since {at} ({reason})", name(route, version)),
            format!("let its work go on: {}", command(route, version)),
        ));
    }
    stop(route, version, "agent_paused", false, act)
}

/// Stops the deliveries, and orders that what runs is fenced out. A pause that was there before becomes part of it. A kill
/// that is not done goes on as it is.
///
/// # Errors
/// When the version is unknown, or was killed already: the error says by whom.
pub fn kill_work(route: &Route, version: Option<&AgentVersion>, act: &Act) -> Result<Option<Route>, Refused> {
    match present(route, version)? {
        Some(pause) if pause.is_killing() => Ok(None),
        Some(pause) if pause.kill => Err(Refused::new(
            codes::WRONG_STATE,
            format!(
                "{} is killed, and cannot be killed again: by {} since {} ({})",
                name(route, version),
                pause.by,
                pause.at,
                pause.reason.as_deref().unwrap_or("no reason was given")
            ),
            format!("let its work go on: {}", command(route, version)),
        )),
        Some(_) | None => stop(route, version, "killed", true, act).map(Some),
    }
}

/// Records that all that ran at a kill is fenced out; `None` if nobody waits for that.
pub fn work_killed(route: &Route, version: Option<&AgentVersion>, fenced: u64, act: &Act) -> Option<Route> {
    let mut next = route.clone();
    let pause = match version {
        Some(version) => next.versions.get_mut(version).and_then(|entry| entry.paused.as_mut()),
        None => next.paused.as_mut(),
    };
    let pause = pause.filter(|pause| pause.is_killing())?;
    pause.killed_at = Some(act.at);
    pause.fenced = fenced;
    let act = Act {
        numbers: Json::of(&std::collections::BTreeMap::from([("fenced", fenced)])).ok(),
        ..act.clone()
    };
    Some(decided(next, "kill_done", version, &act))
}

/// Starts the deliveries again.
///
/// # Errors
/// When the version is unknown or not paused, or when a kill is not done.
pub fn resume_work(route: &Route, version: Option<&AgentVersion>, act: &Act) -> Result<Route, Refused> {
    let Some(pause) = present(route, version)? else {
        return Err(not_paused(route, version));
    };
    if pause.is_killing() {
        return Err(Refused::new(
            codes::WRONG_STATE,
            format!(
                "{} is being killed by {} since {}, and cannot be resumed before that is done",
                name(route, version),
                pause.by,
                pause.at
            ),
            "try again in a moment: the leading controller finishes it",
        ));
    }
    let mut next = route.clone();
    match version {
        Some(version) => {
            if let Some(entry) = next.versions.get_mut(version) {
                entry.paused = None;
            }
        }
        None => next.paused = None,
    }
    Ok(decided(next, "agent_resumed", version, act))
}

fn stop(route: &Route, version: Option<&AgentVersion>, what: &str, kill: bool, act: &Act) -> Result<Route, Refused> {
    let pause = Pause {
        by: act.by.clone(),
        at: act.at,
        reason: act.reason.clone(),
        kill,
        killed_at: None,
        fenced: 0,
        extra: Extra::new(),
    };
    let mut next = route.clone();
    match version {
        Some(version) => {
            // The route of a 1.0 controller knows its active version by name alone.
            let entry = next.versions.entry(version.clone()).or_insert_with(|| VersionEntry {
                state: route.state(version).unwrap_or_default(),
                ..VersionEntry::default()
            });
            entry.paused = Some(pause);
        }
        None => next.paused = Some(pause),
    }
    Ok(decided(next, what, version, act))
}

/// The pause that stands for this version, or for the whole agent.
fn present<'r>(route: &'r Route, version: Option<&AgentVersion>) -> Result<Option<&'r Pause>, Refused> {
    match version {
        Some(version) => {
            known(route, version)?;
            let entry = route.versions.get(version);
            Ok(entry.and_then(|entry| entry.paused.as_ref()))
        }
        None => Ok(route.paused.as_ref()),
    }
}

fn not_paused(route: &Route, version: Option<&AgentVersion>) -> Refused {
    let paused = |entry: &VersionEntry| entry.paused.is_some();
    let own = route
        .versions
        .iter()
        .find(|(_, entry)| paused(entry))
        .map(|(version, _)| version);
    let fix = match (version, own) {
        (None, Some(own)) => format!("version {own} is paused on its own: {}", command(route, Some(own))),
        (Some(_), _) if route.paused.is_some() => format!("the whole agent is: {}", command(route, None)),
        (_, _) => "`baton agents list` shows what is paused".to_owned(),
    };
    Refused::new(
        codes::WRONG_STATE,
        format!("{} is not paused, and cannot be resumed", name(route, version)),
        fix,
    )
}

fn name(route: &Route, version: Option<&AgentVersion>) -> String {
    match version {
        Some(version) => format!("{}@{version}", route.agent),
        None => route.agent.to_string(),
    }
}

fn command(route: &Route, version: Option<&AgentVersion>) -> String {
    let version = version.map(|version| format!(" {version}")).unwrap_or_default();
    format!("baton agents resume {}{version}", route.agent)
}
