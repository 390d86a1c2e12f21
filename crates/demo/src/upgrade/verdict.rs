//! The result of an upgrade.

use serde::Serialize;

/// The result of an upgrade, counted.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Upgrade {
    /// Everything that is wrong, in words; empty when all is well.
    pub problems: Vec<String>,
    /// How it ended: `promoted` or `rolled_back`.
    pub end: String,
    /// The reason of that decision.
    pub reason: String,
    /// The requested pace, in intents per second.
    pub rate_asked: u32,
    /// The pace that the machine could sustain, in intents per second.
    pub rate_kept: u32,
    /// Intents that were submitted.
    pub submitted: usize,
    /// Intents that ended as `completed`.
    pub completed: usize,
    /// Intents that parked.
    pub parked: usize,
    /// Intents that neither completed nor parked.
    pub lost: usize,
    /// Commits beyond one per hop.
    pub duplicate_commits: usize,
    /// Recorded steps whose effect ran again.
    pub repeated_steps: usize,
    /// Records that may not follow the one before, or follow a terminal one.
    pub illegal_records: usize,
    /// Attempts that failed and were retried.
    pub retries: usize,
    /// Records that gave open work to another version.
    pub moved: usize,
    /// Records by workers of a version that the hop was not routed to.
    pub foreign: usize,
    /// Hops of the agent that were routed.
    pub routed: usize,
    /// Hops routed to a side of the canary that the share in force does not allow.
    pub wrong_side: usize,
    /// Hops routed so close to a change of the share that both sides are right.
    pub near_change: usize,
    /// The decisions on the route, in order.
    pub decisions: Vec<Decision>,
    /// The shares over time, in order.
    pub steps: Vec<UpgradeStep>,
    /// The time from the last share until the version that went out of service was drained, in seconds.
    pub drained_after: Option<f64>,
    /// How often all controllers were killed.
    pub kills: usize,
    /// The duration from the start of the controllers to the end of the last intent, in seconds.
    pub seconds: f64,
}

/// One decision.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Decision {
    /// What was decided.
    pub what: String,
    /// The share of the new version after it, in percent.
    pub share: u8,
    /// The time since the start of the rollout, in seconds.
    pub after: f64,
    /// The reason.
    pub reason: String,
}

/// What happened during one share.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct UpgradeStep {
    /// The share of the new version, in percent.
    pub share: u8,
    /// How long it was in force, in seconds; `None` for the last one.
    pub seconds: Option<f64>,
    /// Hops of the agent that were routed, except those close to its start and its end.
    pub routed: usize,
    /// Those of them that went to the new version.
    pub to_new: usize,
    /// Attempts of the new version behind the decision that ended this share.
    pub attempts: Option<u64>,
    /// Those of them that failed.
    pub failed: Option<u64>,
}

impl Upgrade {
    /// Whether everything is as it should be.
    pub fn is_good(&self) -> bool {
        self.problems.is_empty()
    }
}

impl UpgradeStep {
    /// The observed share of the new version, in percent; `None` without any hop.
    #[expect(clippy::cast_precision_loss, reason = "counts far below 2^52")]
    pub fn share_seen(&self) -> Option<f64> {
        (self.routed > 0).then(|| self.to_new as f64 * 100.0 / self.routed as f64)
    }

    /// Whether the observed share can result from the requested one: it lies within five standard deviations, which
    /// chance exceeds once in two million times.
    #[expect(clippy::cast_precision_loss, reason = "counts far below 2^52")]
    pub fn is_credible(&self) -> bool {
        let (n, p) = (self.routed as f64, f64::from(self.share) / 100.0);
        let deviation = (n * p * (1.0 - p)).sqrt();
        (self.to_new as f64 - n * p).abs() <= 5.0 * deviation
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_credible_within_five_deviations() {
        let step = |share, routed, to_new| UpgradeStep {
            share,
            routed,
            to_new,
            ..UpgradeStep::default()
        };
        assert!(step(10, 100, 10).is_credible() && step(10, 100, 25).is_credible());
        assert!(!step(10, 100, 26).is_credible() && !step(50, 400, 251).is_credible());
        assert!(step(100, 40, 40).is_credible() && !step(100, 40, 39).is_credible());
        assert!(step(0, 0, 0).is_credible());
        assert_eq!(step(50, 0, 0).share_seen(), None);
        assert_eq!(step(50, 4, 1).share_seen(), Some(25.0));
    }
}
