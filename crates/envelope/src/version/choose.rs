//! Chooses the version for a piece of work, and says why: a pure look-up in the route.

use std::collections::BTreeMap;
use std::fmt;

use sha2::{Digest as _, Sha256};

use crate::base::ids::IntentId;
use crate::base::names::{AgentName, AgentVersion};
use crate::version::path::PathEntry;
use crate::version::route::Route;
use crate::version::state::VersionState;

/// The bucket of a chain, 0 to 99, from a hash of its root intent. The chain and its children fall on the same side of
/// a canary, and stay there as long as the percentage only grows.
pub fn canary_bucket(root: &IntentId) -> u8 {
    let digest = Sha256::digest(root.as_str().as_bytes());
    let number = digest
        .iter()
        .take(8)
        .fold(0_u64, |sum, byte| (sum << 8) | u64::from(*byte));
    u8::try_from(number % 100).unwrap_or_default()
}

/// The work to route.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// The first intent of the tree.
    pub root: &'a IntentId,
    /// The kind of work.
    pub kind: Option<&'a str>,
    /// The versions that the intent is pinned to, by agent.
    pub pins: &'a BTreeMap<AgentName, AgentVersion>,
    /// The agents and versions that had a turn before.
    pub path: &'a [PathEntry],
}

/// Why a version was chosen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Why {
    /// The intent is pinned to it.
    Pinned,
    /// It had a turn in this intent before.
    SeenBefore,
    /// The chain falls into the canary's share.
    Canary {
        /// The chain's bucket, 0 to 99.
        bucket: u8,
        /// The canary's share in percent; the buckets below it are the canary's.
        percent: u8,
    },
    /// It takes the new work.
    Active {
        /// The chain's bucket, if there is a canary.
        bucket: Option<u8>,
    },
    /// The version chosen first does not take this kind of work.
    TakesTheKind {
        /// The version chosen first.
        instead_of: AgentVersion,
    },
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pinned => f.write_str("the intent is pinned to it"),
            Self::SeenBefore => f.write_str("it has worked on this intent before"),
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
        /// The version that would get the work.
        version: AgentVersion,
        /// The kind.
        kind: String,
        /// The kinds that it takes.
        takes: Vec<String>,
    },
    /// The intent is pinned to an unknown version.
    #[error("the intent is pinned to version {version} of agent \"{agent}\", which nobody has heard of (known: {})", known.join(", "))]
    UnknownPin {
        /// The agent.
        agent: AgentName,
        /// The version.
        version: AgentVersion,
        /// The known versions.
        known: Vec<String>,
    },
    /// The intent is pinned to a version that no longer takes work.
    #[error("the intent is pinned to version {version} of agent \"{agent}\", which is {state}")]
    ClosedPin {
        /// The agent.
        agent: AgentName,
        /// The version.
        version: AgentVersion,
        /// The state of the version: drained or retired.
        state: VersionState,
    },
}

/// Chooses the version of an agent for this work. It decides nothing about an intent that already has its version.
///
/// In this order: a pin; the version that had a turn in this intent before, if it is alive; the canary, for its share
/// of the chains; the active version.
///
/// # Errors
/// When no version takes the kind, or the pin names a version that is unknown, drained or retired.
pub fn choose(route: &Route, asked: &Asked<'_>) -> Result<Choice, Unroutable> {
    let agent = &route.agent;
    let chosen = |version: &AgentVersion, why| {
        Ok(Choice {
            version: version.clone(),
            why,
        })
    };
    if let Some(pinned) = asked.pins.get(agent) {
        // A quarantined version keeps its work, which waits there. A drained one was promised no more work.
        if let Some(state @ (VersionState::Drained | VersionState::Retired)) = route.state(pinned) {
            return Err(Unroutable::ClosedPin {
                agent: agent.clone(),
                version: pinned.clone(),
                state,
            });
        }
        // A route from a 1.0 controller knows only its active version.
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
    // A canary that does not take the kind leaves it to the active version, and vice versa.
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

/// Whether work may still come back to a version. A route from a 1.0 controller has no states; then it may.
fn is_alive(route: &Route, version: &AgentVersion) -> bool {
    route.state(version).is_none_or(|state| state.is_alive())
}

/// Whether a version takes a kind of work; a version that names no kinds takes all.
pub fn takes(route: &Route, version: &AgentVersion, kind: &str) -> bool {
    route
        .versions
        .get(version)
        .is_none_or(|entry| entry.kinds.is_empty() || entry.kinds.iter().any(|taken| taken == kind))
}
