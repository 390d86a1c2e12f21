//! What the evidence says about a rollout: go on, wait, or go back.

use crate::base::timestamp::Timestamp;
use crate::rollout::evidence::{FALSE_ALARM, Tally, lower_bound, upper_bound};
use crate::version::rollout::{Phase, Rollout};

/// The number of attempts of the old version below which latency is not judged.
const LATENCY_HOPS: u64 = 50;

/// What the evidence says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// No decision yet; the text says what the rollout waits for.
    Hold(String),
    /// The next step may be taken.
    Advance(String),
    /// The new version is clearly worse.
    RollBack(String),
}

impl Verdict {
    /// The reason, in words.
    pub fn text(&self) -> &str {
        match self {
            Self::Hold(text) | Self::Advance(text) | Self::RollBack(text) => text,
        }
    }
}

/// Judges a rollout. `old` and `new` are the evidence on the two versions since the rollout began, `old_step` and
/// `new_step` since its current step began. In all four, `slow` counts against the p95 allowed for the new version.
///
/// A rollback rests on everything seen since the rollout began, by a test that holds however often it runs. It follows
/// if the share of failed attempts exceeds the old version's by more than the margin, or if the share of attempts
/// slower than that p95 exceeds both 5 % and the old version's share. The rollout advances when the current step has
/// seen enough and the plain figures are within the margins.
pub fn judge(
    rollout: &Rollout,
    old: &Tally,
    new: &Tally,
    old_step: &Tally,
    new_step: &Tally,
    now: Timestamp,
) -> Verdict {
    if let Some(reason) = clearly_worse(rollout, old, new) {
        return Verdict::RollBack(reason);
    }
    if rollout.phase == Phase::Paused {
        return Verdict::Hold("paused".to_owned());
    }
    let margins = &rollout.margins;
    if new_step.hops < margins.min_hops() {
        return Verdict::Hold(format!(
            "{} of {} attempts of {} seen in this step",
            new_step.hops,
            margins.min_hops(),
            rollout.to
        ));
    }
    let held = now.since(rollout.step_since).as_secs();
    if held < rollout.hold_seconds {
        return Verdict::Hold(format!(
            "the step takes at least {} s, and {held} s have passed",
            rollout.hold_seconds
        ));
    }
    // The old version may see little work in a late step; then its figures since the start count.
    let base = if old_step.hops < margins.min_hops() {
        old
    } else {
        old_step
    };
    let (was, is) = (base.failure_rate(), new_step.failure_rate());
    if is > was + margins.failure_margin() {
        return Verdict::Hold(format!(
            "{:.1} % of the attempts of {} failed in this step, and {:.1} % of those of {}: more attempts are needed",
            is * 100.0,
            rollout.to,
            was * 100.0,
            rollout.from
        ));
    }
    if let (Some(was), Some(is), true) = (base.p95_ms, new_step.p95_ms, base.hops >= LATENCY_HOPS) {
        let limit = margins.p95_limit_ms(was);
        if is > limit {
            return Verdict::Hold(format!(
                "p95 of {} is {is:.0} ms in this step, and may be {limit:.0} ms ({} has {was:.0} ms): more attempts are needed",
                rollout.to, rollout.from
            ));
        }
    }
    Verdict::Advance(format!(
        "{} attempts of {} in this step, {:.1} % failed ({:.1} % of {})",
        new_step.hops,
        rollout.to,
        is * 100.0,
        was * 100.0,
        rollout.from
    ))
}

/// Why the new version is clearly worse, if it is.
fn clearly_worse(rollout: &Rollout, old: &Tally, new: &Tally) -> Option<String> {
    // Failures and latency take half each, and each needs two bounds.
    let alpha = FALSE_ALARM / 4.0;
    let least = lower_bound(new.failed(), new.hops, alpha);
    let most = upper_bound(old.failed(), old.hops, alpha) + rollout.margins.failure_margin();
    if least > most {
        return Some(format!(
            "{} of {} attempts of {} failed, so more than {:.1} %; {} of {} of {}, so with the margin less than {:.1} %",
            new.failed(),
            new.hops,
            rollout.to,
            least * 100.0,
            old.failed(),
            old.hops,
            rollout.from,
            most * 100.0
        ));
    }
    if old.hops < LATENCY_HOPS {
        return None;
    }
    let least = lower_bound(new.slow, new.hops, alpha);
    let most = upper_bound(old.slow, old.hops, alpha).max(0.05);
    (least > most).then(|| {
        format!(
            "{} of {} attempts of {} took longer than {:.0} ms, the p95 that it may have ({} of {} of {} did)",
            new.slow,
            new.hops,
            rollout.to,
            rollout.margins.p95_limit_ms(old.p95_ms.unwrap_or_default()),
            old.slow,
            old.hops,
            rollout.from
        )
    })
}
