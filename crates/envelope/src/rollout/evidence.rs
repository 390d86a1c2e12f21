//! What Baton has observed of a version, and what that proves.
//!
//! The evidence is examined again and again while it grows, so a fixed-size test would sooner or later roll back a good
//! version. The bounds here hold at all times at once: they are confidence sequences from the uniform mixture of
//! binomial likelihoods (Robbins 1970; Howard, Ramdas, McAuliffe and Sekhon 2021, section 3). For a share `p` the
//! process `B(k+1, n-k+1) / (p^k (1-p)^(n-k))` is a martingale with mean 1, so by Ville's inequality the probability
//! that it ever exceeds `1/alpha` is at most `alpha`. The sequence consists of the values of `p` at which it has not.

use serde::{Deserialize, Serialize};

/// The highest probability that the evidence rolls back a version within the margins, however long and however often it
/// is examined. Failures and latency take half of it each.
pub const FALSE_ALARM: f64 = 0.005;

/// The ended attempts of one version in a window, by outcome.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Tally {
    /// Attempts that ended, including declined ones.
    pub hops: u64,
    /// Attempts that failed and will be retried.
    pub retryable: u64,
    /// Attempts that failed permanently, or parked the intent.
    pub terminal: u64,
    /// Attempts in which the agent declined; no failure.
    pub declined: u64,
    /// Attempts that took longer than the p95 allowed for the new version.
    pub slow: u64,
    /// Median duration of an attempt, in milliseconds.
    pub p50_ms: Option<f64>,
    /// 95th percentile of the duration, in milliseconds.
    pub p95_ms: Option<f64>,
    /// 99th percentile of the duration, in milliseconds.
    pub p99_ms: Option<f64>,
    /// Total cost of the attempts that reported one.
    pub cost: Option<f64>,
}

impl Tally {
    /// Attempts that failed.
    pub const fn failed(&self) -> u64 {
        self.retryable.saturating_add(self.terminal)
    }

    /// The share of attempts that failed; 0 if there are none.
    pub fn failure_rate(&self) -> f64 {
        share(self.failed(), self.hops)
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts far below 2^52")]
fn share(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

/// A one-sided bound on a share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bound {
    /// The share is above it.
    Lower,
    /// The share is below it.
    Upper,
}

/// The lower bound on the share of `hits` among `of`. It holds at all times at once, except with probability `alpha`.
pub fn lower_bound(hits: u64, of: u64, alpha: f64) -> f64 {
    bound(Bound::Lower, hits, of, alpha)
}

/// The upper bound on the share of `hits` among `of`. It holds at all times at once, except with probability `alpha`.
pub fn upper_bound(hits: u64, of: u64, alpha: f64) -> f64 {
    bound(Bound::Upper, hits, of, alpha)
}

#[expect(clippy::cast_precision_loss, reason = "counts far below 2^52")]
fn bound(side: Bound, hits: u64, of: u64, alpha: f64) -> f64 {
    let (k, n) = (hits.min(of) as f64, of as f64);
    let edge = match side {
        Bound::Lower => 0.0,
        Bound::Upper => 1.0,
    };
    if of == 0 || (side == Bound::Lower && hits == 0) || (side == Bound::Upper && hits >= of) {
        return edge;
    }
    // The logarithm of the martingale. It falls from infinity at the edge to its minimum at k/n.
    let ln_beta = ln_factorial(k) + ln_factorial(n - k) - ln_factorial(n + 1.0);
    let height = |p: f64| {
        let ln = |count: f64, share: f64| if count == 0.0 { 0.0 } else { count * share.ln() };
        ln_beta - ln(k, p) - ln(n - k, 1.0 - p)
    };
    let limit = -alpha.ln();
    let (mut outside, mut inside) = (edge, k / n);
    for _ in 0..60 {
        let middle = f64::midpoint(outside, inside);
        if height(middle) >= limit {
            outside = middle;
        } else {
            inside = middle;
        }
    }
    outside
}

/// The natural logarithm of `n!`: by Stirling's series from 10 on, exact to 1e-9; by summation below.
fn ln_factorial(n: f64) -> f64 {
    if n < 10.0 {
        let mut sum = 0.0;
        let mut i = 2.0;
        while i <= n + 0.5 {
            sum += f64::ln(i);
            i += 1.0;
        }
        return sum;
    }
    let inverse = 1.0 / n;
    n * n.ln() - n + 0.5 * (std::f64::consts::TAU * n).ln() + inverse / 12.0 - inverse.powi(3) / 360.0
        + inverse.powi(5) / 1260.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_logarithm_of_a_factorial_is_right() {
        for (n, expected) in [(0.0, 0.0), (1.0, 0.0), (5.0, 120_f64.ln()), (10.0, 3_628_800_f64.ln())] {
            assert!((ln_factorial(n) - expected).abs() < 1e-8, "{n}");
        }
        assert!((ln_factorial(50.0) - 148.477_766_951_773).abs() < 1e-8);
    }

    #[test]
    fn bounds_close_in_on_the_share() {
        let mut last = 1.0;
        for n in [10, 100, 1_000, 100_000] {
            let (low, high) = (lower_bound(n / 5, n, 0.01), upper_bound(n / 5, n, 0.01));
            assert!(low < 0.2 && 0.2 < high, "{n}: {low} {high}");
            assert!(high - low < last, "{n}");
            last = high - low;
        }
        assert!(last < 0.02, "{last}");
        assert_eq!((lower_bound(0, 50, 0.01), upper_bound(50, 50, 0.01)), (0.0, 1.0));
        assert_eq!((lower_bound(0, 0, 0.01), upper_bound(0, 0, 0.01)), (0.0, 1.0));
    }
}
