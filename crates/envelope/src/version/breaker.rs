//! The breaker of one version of an agent, which all senders share: after three hops in a row whose attempts were used up it
//! opens, and no ticket is written for the version until one intent, the probe, has shown that it works again.
//!
//! Controllers write it, by compare-and-set.

use std::time::Duration;

use crate::base::ids::IntentId;
use crate::base::names::{AgentName, AgentVersion};
use crate::base::timestamp::Timestamp;
use crate::base::wire::wire_object;
use crate::base::wire_enum::wire_enum;

/// How many hops in a row that use up their attempts open a breaker.
pub const BREAKER_AFTER: u32 = 3;
/// How long it stays open before one intent is let through.
pub const BREAKER_OPEN_FOR: Duration = Duration::from_secs(60);

wire_enum! {
    /// The state of a breaker.
    #[derive(Default)]
    pub enum BreakerState {
        /// Tickets are written.
        #[default]
        Closed = "closed",
        /// No ticket is written.
        Open = "open",
        /// The ticket of one intent is written, and no other.
        HalfOpen = "half_open",
    }
}

wire_object! {
    /// The breaker of a version, stored under `<agent>.<version>` in the bucket of breakers.
    pub struct Breaker {
        /// The agent.
        req agent: AgentName,
        /// The version.
        req version: AgentVersion,
        /// The state.
        def state: BreakerState,
        /// When it entered that state.
        req since: Timestamp,
        /// While it is open: when one intent is let through; absent when a person opened it, until a person closes it.
        opt until: Timestamp,
        /// While it is half open: the intent that was let through.
        opt probe: IntentId,
        /// The ledger sequence of the probe's last record when it was let through.
        opt probe_seq: u64,
        /// Who or what made this revision.
        req by: String,
        /// Why, in words.
        opt reason: String,
        /// How often it has opened since it was last closed.
        def opened: u32,
        /// When closed: the ledger sequence up to which tickets that were withheld are still to be written.
        def owed_through: u64,
    }
}

wire_object! {
    /// That tickets of a version are withheld, as the route of its agent tells senders.
    pub struct Withheld {
        /// Since when.
        req since: Timestamp,
        /// When work that would be refused, or go to another agent, is taken again; absent if that is not foreseen.
        opt until: Timestamp,
    }
}

impl Breaker {
    /// Whether tickets of the version are withheld.
    pub fn withholds(&self) -> bool {
        matches!(self.state, BreakerState::Open | BreakerState::HalfOpen)
    }

    /// Whether a person has opened it: it stays open until a person closes it.
    pub fn is_by_hand(&self) -> bool {
        self.state == BreakerState::Open && self.until.is_none()
    }

    /// Whether it is time to let one intent through.
    pub fn is_due(&self, now: Timestamp) -> bool {
        self.state == BreakerState::Open && self.until.is_some_and(|until| until <= now)
    }

    /// What the route tells senders. Who only waits needs no time: then the route stays as it is while the breaker opens and
    /// half opens in turn, and its revisions stay those of decisions on versions.
    pub fn told(&self, known: Option<&Withheld>, with_time: bool, open_for: Duration) -> Option<Withheld> {
        if !self.withholds() {
            return None;
        }
        let until = match self.state {
            BreakerState::HalfOpen => Some(self.since.plus(open_for)),
            BreakerState::Open | BreakerState::Closed | BreakerState::Unknown(_) => self.until,
        };
        Some(Withheld {
            since: known.map_or(self.since, |known| known.since),
            until: until.filter(|_| with_time),
            extra: known.map(|known| known.extra.clone()).unwrap_or_default(),
        })
    }
}

impl Withheld {
    /// Whether new work for the version is to be refused, or to go elsewhere, where the policy says so: until the time at
    /// which one intent may be let through.
    pub fn turns_away(&self, now: Timestamp) -> bool {
        self.until.is_none_or(|until| until > now)
    }
}
