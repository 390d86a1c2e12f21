//! Which version takes a piece of work, and why: a pure look-up in the route.

use std::collections::BTreeMap;
use std::fmt;

use sha2::{Digest as _, Sha256};

use crate::base::ids::IntentId;
use crate::base::names::{AgentName, AgentVersion};
use crate::version::path::PathEntry;
use crate::version::route::Route;
use crate::version::state::VersionState;

/// The bucket of a chain, 0 to 99, by a hash of its root intent: the chain and its children fall on one side of a
/// canary, and stay there while the percentage only grows.
pub fn canary_bucket(root: &IntentId) -> u8 {
    let digest = Sha256::digest(root.as_str().as_bytes());
    let number = digest
        .iter()
        .take(8)
        .fold(0_u64, |sum, byte| (sum << 8) | u64::from(*byte));
    u8::try_from(number % 100).unwrap_or_default()
}

/// What is to be routed.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// The first intent of the tree.
    pub root: &'a IntentId,
    /// The kind of work.
    pub kind: Option<&'a str>,
    /// Versions that the intent is held to.
    pub pins: &'a BTreeMap<AgentName, AgentVersion>,
    /// Who had a turn before.
    pub path: &'a [PathEntry],
}

/// Why a version was chosen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Why {
    /// The intent is held to it.
    Pinned,
    /// It had a turn in this intent before.
    SeenBefore,
    /// The chain falls into the canary's share.
    Canary {
        /// The chain's bucket, 0 to 99.
        bucket: u8,
        /// The canary's share in percent; buckets below it are the canary's.
        percent: u8,
    },
    /// It takes new work.
    Active {
        /// The chain's bucket, where there is a canary.
        bucket: Option<u8>,
    },
    /// The version that would have been chosen does not take this kind of work.
    TakesTheKind {
        /// The version that does not.
        instead_of: AgentVersion,
    },
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pinned => f.write_str("the intent is pinned to it"),
            Self::SeenBefore => f.write_str("it had a turn in this intent before"),
            Self::Canary { bucket, percent } => {
                write!(f, "the chain's bucket {bucket} is below the canary's {percent} %")
            }
            Self::Active { bucket: Some(bucket) } => {
                write!(f, "it is active, and the chain's bucket {bucket} is not the canary's")
            }
            Self::Active { bucket: None } => f.write_str("it is active"),
            Self::TakesTheKind { instead_of } => write!(f, "{instead_of} does not take this kind of work"),
        }
    }
}

/// A version, and why it was chosen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    /// The version.
    pub version: AgentVersion,
    /// Why.
    pub why: Why,
}

/// Work that no version of the agent may take.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unroutable {
    /// No version that gets new work takes the kind.
    #[error("agent \"{agent}\" does not take kind \"{kind}\" (version {version} takes {})", takes.join(", "))]
    Kind {
        /// The agent.
        agent: AgentName,
        /// The version that would get it.
        version: AgentVersion,
        /// The kind.
        kind: String,
        /// What it takes.
        takes: Vec<String>,
    },
    /// The intent is held to a version that nobody has heard of.
    #[error("the intent is pinned to version {version} of agent \"{agent}\", which nobody has heard of (known: {})", known.join(", "))]
    UnknownPin {
        /// The agent.
        agent: AgentName,
        /// The version.
        version: AgentVersion,
        /// The versions that are known.
        known: Vec<String>,
    },
    /// The intent is held to a version that takes no work any more.
    #[error("the intent is pinned to version {version} of agent \"{agent}\", which is {state}")]
    ClosedPin {
        /// The agent.
        agent: AgentName,
        /// The version.
        version: AgentVersion,
        /// Where it stands: drained or retired.
        state: VersionState,
    },
}

/// The version of an agent that takes this work. Decides nothing about an intent that has its version already: that
/// stays where it is.
///
/// In this order: a pin; the version that had a turn in this intent before, while that is alive; the canary, for its
/// share of the chains; the active version.
///
/// # Errors
/// When the kind is not taken, or the pin names a version that is drained or retired.
pub fn choose(route: &Route, asked: &Asked<'_>) -> Result<Choice, Unroutable> {
    let agent = &route.agent;
    let chosen = |version: &AgentVersion, why| {
        Ok(Choice {
            version: version.clone(),
            why,
        })
    };
    if let Some(pinned) = asked.pins.get(agent) {
        // One that is quarantined keeps its work, which waits there. One that is drained was said to get none.
        if let Some(state @ (VersionState::Drained | VersionState::Retired)) = route.state(pinned) {
            return Err(Unroutable::ClosedPin {
                agent: agent.clone(),
                version: pinned.clone(),
                state,
            });
        }
        // A route of a 1.0 controller knows of its active version only.
        if !route.versions.is_empty() && route.state(pinned).is_none() {
            return Err(Unroutable::UnknownPin {
                agent: agent.clone(),
                version: pinned.clone(),
                known: route.versions.keys().map(ToString::to_string).collect(),
            });
        }
        return chosen(pinned, Why::Pinned);
    }
    let seen = asked.path.iter().rev().find(|entry| entry.agent == *agent);
    if let Some(entry) = seen
        && is_alive(route, &entry.version)
    {
        return chosen(&entry.version, Why::SeenBefore);
    }
    let bucket = route.canary.as_ref().map(|_| canary_bucket(asked.root));
    let (first, why) = match (&route.canary, bucket) {
        (Some(canary), Some(bucket)) if bucket < canary.percent.get() => {
            let percent = canary.percent.get();
            (&canary.version, Why::Canary { bucket, percent })
        }
        (Some(_) | None, _) => (&route.active, Why::Active { bucket }),
    };
    let Some(kind) = asked.kind.filter(|kind| !takes(route, first, kind)) else {
        return chosen(first, why);
    };
    // A canary that does not take the kind leaves it to the active version; and the other way round.
    let others = [Some(&route.active), route.canary.as_ref().map(|canary| &canary.version)];
    match others.into_iter().flatten().find(|other| takes(route, other, kind)) {
        Some(other) => chosen(
            other,
            Why::TakesTheKind {
                instead_of: first.clone(),
            },
        ),
        None => Err(Unroutable::Kind {
            agent: agent.clone(),
            version: first.clone(),
            kind: kind.to_owned(),
            takes: route
                .versions
                .get(first)
                .map(|entry| entry.kinds.clone())
                .unwrap_or_default(),
        }),
    }
}

/// Whether work may still come back to a version. A route of a 1.0 controller knows no states: there it may.
fn is_alive(route: &Route, version: &AgentVersion) -> bool {
    route.state(version).is_none_or(|state| state.is_alive())
}

/// Whether a version takes a kind of work; one that names no kinds takes all.
pub fn takes(route: &Route, version: &AgentVersion, kind: &str) -> bool {
    route
        .versions
        .get(version)
        .is_none_or(|entry| entry.kinds.is_empty() || entry.kinds.iter().any(|taken| taken == kind))
}
