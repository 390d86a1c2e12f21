//! When to retry a failed attempt.

use std::time::Duration;

/// How often and when to retry a failed hop.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RetryPolicy {
    /// How many attempts a hop gets before it is parked; a worker that dies during one uses it up.
    pub max_attempts: u32,
    /// The unit of the backoff: the delay after attempt n is `unit × 2^n`, with ±20 % of jitter.
    pub unit: Duration,
    /// The longest delay, before jitter.
    pub longest: Duration,
}

impl Default for RetryPolicy {
    /// Three attempts, with min(2^n, 30) seconds after attempt n.
    fn default() -> Self {
        Self {
            max_attempts: 3,
            unit: Duration::from_secs(1),
            longest: Duration::from_secs(30),
        }
    }
}

impl RetryPolicy {
    /// The delay after a failed attempt; `random` spreads it.
    pub(crate) fn delay(&self, attempt: u32, random: u8) -> Duration {
        let doubled = self.unit.saturating_mul(2_u32.saturating_pow(attempt.min(31)));
        let spread = 0.8 + 0.4 * f64::from(random) / 255.0;
        doubled.min(self.longest).mul_f64(spread)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_up_to_the_longest_within_the_jitter() {
        let policy = RetryPolicy::default();
        assert_eq!(policy.delay(1, 0), Duration::from_millis(1600));
        assert_eq!(policy.delay(1, 255), Duration::from_millis(2400));
        assert_eq!(policy.delay(9, 255), Duration::from_secs(36));
        assert_eq!(policy.delay(u32::MAX, 0), Duration::from_secs(24));
    }
}
