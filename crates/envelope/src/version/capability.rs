//! Chooses the agent for work that names only capabilities: a pure function of routes and loads.

use std::borrow::Borrow;
use std::cmp::{Ordering, Reverse};

use serde::{Deserialize, Serialize};

use crate::base::names::{AgentName, AgentVersion};
use crate::version::choose::{Asked, Choice, Unroutable, choose};
use crate::version::route::Route;

/// The load of a version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Load {
    /// Tickets that no worker holds.
    pub backlog: u64,
    /// Live workers.
    pub workers: u32,
    /// Whether its breaker is open: its last intents parked.
    pub breaker_open: bool,
}

/// An agent that was considered, and what counts for or against it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CapabilityCandidate {
    /// The agent.
    pub agent: AgentName,
    /// The version that would get the work.
    pub version: AgentVersion,
    /// Whether that version has all the needed capabilities.
    pub able: bool,
    /// In words: what it lacks, or its load.
    pub reason: String,
    /// Tickets that no worker holds; 0 if unknown.
    #[serde(default)]
    pub backlog: u64,
    /// Live workers; 0 if unknown.
    #[serde(default)]
    pub workers: u32,
    /// Whether its breaker is open.
    #[serde(default)]
    pub breaker_open: bool,
}

/// The chosen agent, and all that were considered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Picked {
    /// The best agent; `None` when no agent has all the needed capabilities.
    pub best: Option<(AgentName, Choice)>,
    /// All agents: the able ones first, best first, then the others by name.
    pub candidates: Vec<CapabilityCandidate>,
}

/// Picks the agent for work that needs certain capabilities.
///
/// Of each agent only one version counts: the one that [`choose`] gives for this work, including its pins and its path.
/// It is able when it declares every needed capability; nothing makes up for a missing one. Among the able ones, a
/// closed breaker comes before an open one, then the smallest backlog per live worker, then the agent's name. Without a
/// live worker the work would wait, so a version without one comes after all that have one.
pub fn pick<R: Borrow<Route>>(
    routes: &[R],
    needed: &[String],
    asked: &Asked<'_>,
    load: &dyn Fn(&AgentName, &AgentVersion) -> Option<Load>,
) -> Picked {
    let mut considered: Vec<(CapabilityCandidate, Option<Choice>)> = routes
        .iter()
        .map(|route| consider(route.borrow(), needed, asked, load))
        .collect();
    considered.sort_by(|(a, _), (b, _)| order(a, b));
    let best = considered
        .iter()
        .find_map(|(candidate, choice)| Some((candidate.agent.clone(), choice.clone()?)));
    Picked {
        best,
        candidates: considered.into_iter().map(|(candidate, _)| candidate).collect(),
    }
}

/// Considers one agent. Gives the choice of its version if that is able.
fn consider(
    route: &Route,
    needed: &[String],
    asked: &Asked<'_>,
    load: &dyn Fn(&AgentName, &AgentVersion) -> Option<Load>,
) -> (CapabilityCandidate, Option<Choice>) {
    let agent = &route.agent;
    let (version, chosen) = match choose(route, asked) {
        Ok(choice) => (choice.version.clone(), Ok(choice)),
        Err(refused) => match &refused {
            Unroutable::Kind { version, .. }
            | Unroutable::ClosedPin { version, .. }
            | Unroutable::UnknownPin { version, .. } => (version.clone(), Err(refused.to_string())),
        },
    };
    let known = load(agent, &version);
    let Load {
        backlog,
        workers,
        breaker_open,
    } = known.unwrap_or_default();
    let (choice, reason) = match chosen {
        Err(refused) => (None, refused),
        Ok(choice) => {
            let missing = missing(route, &version, needed);
            match (missing.is_empty(), known) {
                (false, _) => (None, format!("lacks {}", missing.join(", "))),
                (true, _) if route.is_manual(&version) => (Some(choice), "its work is done by hand".to_owned()),
                (true, Some(load)) => (Some(choice), describe(load)),
                (true, None) => (Some(choice), "its load is not known".to_owned()),
            }
        }
    };
    let candidate = CapabilityCandidate {
        agent: agent.clone(),
        version,
        able: choice.is_some(),
        reason,
        backlog,
        workers,
        breaker_open,
    };
    (candidate, choice)
}

fn missing<'a>(route: &Route, version: &AgentVersion, needed: &'a [String]) -> Vec<&'a str> {
    let entry = route.versions.get(version);
    let has = |one: &String| entry.is_some_and(|entry| entry.capabilities.contains(one));
    needed.iter().filter(|one| !has(one)).map(String::as_str).collect()
}

fn describe(load: Load) -> String {
    let breaker = if load.breaker_open { "its breaker is open; " } else { "" };
    match load.workers {
        0 => format!("{breaker}{} queued and no live worker", load.backlog),
        1 => format!("{breaker}{} queued for 1 worker", load.backlog),
        workers => format!("{breaker}{} queued for {workers} workers", load.backlog),
    }
}

fn order(a: &CapabilityCandidate, b: &CapabilityCandidate) -> Ordering {
    if !a.able || !b.able {
        return (Reverse(a.able), &a.agent).cmp(&(Reverse(b.able), &b.agent));
    }
    a.breaker_open
        .cmp(&b.breaker_open)
        .then_with(|| (a.workers == 0).cmp(&(b.workers == 0)))
        .then_with(|| match (a.workers, b.workers) {
            (0, 0) => a.backlog.cmp(&b.backlog),
            // Compare fractions by cross-multiplication, so that nothing is rounded.
            (of_a, of_b) => (u128::from(a.backlog) * u128::from(of_b)).cmp(&(u128::from(b.backlog) * u128::from(of_a))),
        })
        .then_with(|| a.agent.cmp(&b.agent))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::base::ids::IntentId;
    use crate::base::timestamp::Timestamp;
    use crate::version::choose::Why;
    use crate::version::percent::Percent;
    use crate::version::route::{Canary, VersionEntry};

    fn version(text: &str) -> AgentVersion {
        text.parse().expect("version")
    }

    fn entry(capabilities: &[&str]) -> VersionEntry {
        VersionEntry {
            capabilities: capabilities.iter().map(|&one| one.to_owned()).collect(),
            ..VersionEntry::default()
        }
    }

    fn route(agent: &str, capabilities: &[&str]) -> Route {
        let active = version("1.0.0");
        let mut route = Route::first(
            agent.parse().expect("name"),
            active.clone(),
            Timestamp::default(),
            "test",
        );
        route.versions.insert(active, entry(capabilities));
        route
    }

    fn asked<'a>(root: &'a IntentId, kind: Option<&'a str>, pins: &'a BTreeMap<AgentName, AgentVersion>) -> Asked<'a> {
        Asked {
            root,
            kind,
            pins,
            path: &[],
        }
    }

    /// Picks with loads given as (agent, backlog, workers, breaker open).
    fn picked(routes: &[Route], needed: &[&str], loads: &[(&str, u64, u32, bool)]) -> Picked {
        let needed: Vec<String> = needed.iter().map(|&one| one.to_owned()).collect();
        let load = |agent: &AgentName, _: &AgentVersion| {
            let found = loads.iter().find(|(name, ..)| *name == agent.as_str())?;
            Some(Load {
                backlog: found.1,
                workers: found.2,
                breaker_open: found.3,
            })
        };
        let (root, pins) = ("r".parse().expect("id"), BTreeMap::new());
        pick(routes, &needed, &asked(&root, None, &pins), &load)
    }

    fn best(picked: &Picked) -> Option<&str> {
        picked.best.as_ref().map(|(agent, _)| agent.as_str())
    }

    #[test]
    fn one_that_lacks_a_capability_is_never_picked_however_idle() {
        let routes = [route("a", &["ocr"]), route("b", &["ocr", "fraktur"])];
        let found = picked(
            &routes,
            &["ocr", "fraktur"],
            &[("a", 0, 9, false), ("b", 1000, 0, true)],
        );
        assert_eq!(best(&found), Some("b"));
        let a = found.candidates.last().expect("two");
        assert!(!a.able && a.reason == "lacks fraktur", "{a:?}");
        let none = picked(&routes, &["ocr", "steno", "dance"], &[]);
        assert_eq!(best(&none), None);
        assert_eq!(none.candidates[0].reason, "lacks steno, dance");
    }

    #[test]
    fn a_closed_breaker_then_the_least_backlog_for_each_worker_then_the_name() {
        let routes: Vec<Route> = ["e", "d", "c", "b", "a"].map(|name| route(name, &["x"])).into();
        let loads = [
            ("a", 0, 4, true),
            ("b", 0, 0, false),
            ("c", 10, 1, false),
            ("d", 30, 4, false),
            ("e", 15, 2, false),
        ];
        let found = picked(&routes, &["x"], &loads);
        let names: Vec<&str> = found.candidates.iter().map(|one| one.agent.as_str()).collect();
        assert_eq!(names, ["d", "e", "c", "b", "a"]);
        assert!(found.candidates.iter().all(|one| one.able));
        assert_eq!(
            best(&picked(&routes, &["x"], &[])),
            Some("a"),
            "nothing is known of any"
        );
    }

    #[test]
    fn huge_backlogs_do_not_overflow() {
        let routes = [route("a", &["x"]), route("b", &["x"])];
        let loads = [("a", u64::MAX, u32::MAX, false), ("b", u64::MAX, 1, false)];
        assert_eq!(best(&picked(&routes, &["x"], &loads)), Some("a"));
    }

    #[test]
    fn the_version_that_would_get_the_work_is_the_one_that_counts() {
        let mut with_canary = route("a", &["x"]);
        with_canary.versions.insert(version("2.0.0"), entry(&[]));
        with_canary.canary = Some(Canary {
            version: version("2.0.0"),
            percent: Percent::ALL,
            extra: crate::base::wire::Extra::new(),
        });
        let found = picked(&[with_canary.clone()], &["x"], &[]);
        assert_eq!((best(&found), &found.candidates[0].version), (None, &version("2.0.0")));
        with_canary.versions.insert(version("2.0.0"), entry(&["x"]));
        let (_, choice) = picked(&[with_canary], &["x"], &[]).best.expect("able");
        assert!(matches!(choice.why, Why::Canary { percent: 100, .. }), "{choice:?}");
    }

    #[test]
    fn a_kind_that_is_not_taken_is_the_reason() {
        let mut picky = route("a", &["x"]);
        picky.versions.get_mut(&version("1.0.0")).expect("entry").kinds = vec!["invoice".to_owned()];
        let (root, pins) = ("r".parse().expect("id"), BTreeMap::new());
        let asked = asked(&root, Some("letter"), &pins);
        let found = pick(&[picky], &["x".to_owned()], &asked, &|_, _| None);
        assert_eq!(found.best, None);
        assert!(found.candidates[0].reason.contains("letter"), "{:?}", found.candidates);
    }

    #[test]
    fn a_version_that_the_work_is_pinned_to_is_the_one_that_must_be_able() {
        let mut both = route("a", &["x"]);
        both.versions.insert(version("0.9.0"), entry(&[]));
        let (root, needed) = ("r".parse().expect("id"), ["x".to_owned()]);
        let pins = BTreeMap::from([("a".parse().expect("name"), version("0.9.0"))]);
        let routes = [both, route("b", &["x"])];
        let found = pick(&routes, &needed, &asked(&root, None, &pins), &|_, _| None);
        assert_eq!(best(&found), Some("b"), "{:?}", found.candidates);
        assert_eq!(found.candidates[1].reason, "lacks x");
    }
}
