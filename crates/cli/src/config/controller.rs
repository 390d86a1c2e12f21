//! `[controller]`: the duties of `baton controller`.

use std::num::NonZeroU32;
use std::path::PathBuf;

use baton_controller::BreakerConfig;
use baton_jetstream::Bounds;
use serde::{Deserialize, Serialize};

use super::path;
use crate::parse::Span;

/// `[controller]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct ControllerConfig {
    /// How long from one sweep to the next.
    pub(crate) sweep_interval: Span,
    /// How long after its last record an intent is left alone by the sweep.
    pub(crate) sweep_slack: Span,
    /// How long from one checkpoint to the next, in a mesh that signs.
    pub(crate) checkpoint_interval: Span,
    /// How many raw intents one pull asks for.
    pub(crate) route_batch: NonZeroU32,
    /// How many raw intents are routed at the same time.
    pub(crate) route_slots: NonZeroU32,
    /// How long what is in flight may take when the controller is told to stop.
    pub(crate) drain_timeout: Span,
    /// The largest size of the intake in bytes; 0 for none of its own.
    pub(crate) intake_max_bytes: u64,
    /// The largest size of an agent's work stream in bytes; 0 for none of its own.
    pub(crate) work_max_bytes: u64,
    /// The largest size of the context stream in bytes; 0 for none of its own.
    pub(crate) context_max_bytes: u64,
    /// The largest size of the memory stream in bytes; 0 for none of its own.
    pub(crate) memory_max_bytes: u64,
    /// How many consumers an agent's work stream may have.
    pub(crate) work_max_consumers: NonZeroU32,
    /// How many hops in a row that use up their attempts open the breaker of their version; 0 opens none.
    pub(crate) breaker_after: u32,
    /// How long a breaker stays open before one intent is let through.
    pub(crate) breaker_open_for: Span,
    /// The file of the local projection of the ledger.
    #[serde(with = "path")]
    pub(crate) projection: Option<PathBuf>,
}

impl Default for ControllerConfig {
    fn default() -> Self {
        let (theirs, bounds) = (baton_controller::ControllerConfig::default(), Bounds::default());
        let count = |count: usize| {
            u32::try_from(count)
                .ok()
                .and_then(NonZeroU32::new)
                .unwrap_or(NonZeroU32::MIN)
        };
        Self {
            sweep_interval: Span(theirs.sweep_interval),
            sweep_slack: Span(theirs.sweep_slack),
            checkpoint_interval: Span(theirs.checkpoint_interval),
            route_batch: count(theirs.route_batch),
            route_slots: count(theirs.route_slots),
            drain_timeout: Span(theirs.drain_timeout),
            intake_max_bytes: bounds.intake_bytes,
            work_max_bytes: bounds.work_bytes,
            context_max_bytes: bounds.context_bytes,
            memory_max_bytes: bounds.memory_bytes,
            work_max_consumers: NonZeroU32::new(bounds.work_consumers).unwrap_or(NonZeroU32::MIN),
            breaker_after: theirs.breaker.after,
            breaker_open_for: Span(theirs.breaker.open_for),
            projection: None,
        }
    }
}

impl ControllerConfig {
    /// When breakers open, and for how long.
    pub(crate) fn breaker(&self) -> BreakerConfig {
        BreakerConfig {
            after: self.breaker_after,
            open_for: self.breaker_open_for.0,
        }
    }

    /// The bounds of the streams that a controller makes.
    pub(crate) fn bounds(&self) -> Bounds {
        Bounds {
            intake_bytes: self.intake_max_bytes,
            work_bytes: self.work_max_bytes,
            context_bytes: self.context_max_bytes,
            memory_bytes: self.memory_max_bytes,
            work_consumers: self.work_max_consumers.get(),
        }
    }
}
