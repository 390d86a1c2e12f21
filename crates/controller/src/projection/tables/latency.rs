//! Durations of attempts: counts by duration, small enough to keep for every second of a day.
//!
//! Durations up to two seconds are exact to the millisecond, longer ones to one part in two thousand. So a second of a
//! busy version takes a few hundred bytes, and adding up any number of seconds loses nothing more.

use std::collections::BTreeMap;

/// How many leading bits of a duration to keep.
const KEPT_BITS: u32 = 11;

/// Counts by duration in milliseconds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::projection) struct Latencies(BTreeMap<u64, u64>);

impl Latencies {
    pub(in crate::projection) fn record(&mut self, millis: u64) {
        *self.0.entry(rounded(millis)).or_default() += 1;
    }

    pub(in crate::projection) fn add(&mut self, other: &Self) {
        for (millis, count) in &other.0 {
            *self.0.entry(*millis).or_default() += count;
        }
    }

    /// The duration that this percentage of the attempts does not exceed.
    pub(in crate::projection) fn percentile(&self, percent: u64) -> Option<f64> {
        let rank = self.0.values().sum::<u64>().saturating_mul(percent).div_ceil(100);
        let mut seen = 0;
        self.0.iter().find_map(|(millis, count)| {
            seen += count;
            (seen >= rank).then_some(*millis as f64)
        })
    }

    /// How many attempts took longer.
    pub(in crate::projection) fn over(&self, millis: f64) -> u64 {
        let slow = self.0.iter().filter(|(value, _)| **value as f64 > millis);
        slow.map(|(_, count)| count).sum()
    }

    /// Encodes pairs of the distance to the previous duration and the count, seven bits per byte.
    pub(in crate::projection) fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.0.len() * 3);
        let mut before = 0;
        for (millis, count) in &self.0 {
            write(&mut bytes, millis - before);
            write(&mut bytes, *count);
            before = *millis;
        }
        bytes
    }

    /// Decodes counts; `None` if the bytes are malformed.
    pub(in crate::projection) fn decode(mut bytes: &[u8]) -> Option<Self> {
        let mut counts = BTreeMap::new();
        let mut before = 0_u64;
        while !bytes.is_empty() {
            before = before.checked_add(read(&mut bytes)?)?;
            counts.insert(before, read(&mut bytes)?);
        }
        Some(Self(counts))
    }
}

/// The middle of the durations that are counted as one. Rounding it again gives the same.
const fn rounded(millis: u64) -> u64 {
    let Some(dropped) = (u64::BITS - millis.leading_zeros()).checked_sub(KEPT_BITS) else {
        return millis;
    };
    if dropped == 0 {
        return millis;
    }
    (millis >> dropped << dropped) | (1 << (dropped - 1))
}

fn write(bytes: &mut Vec<u8>, mut value: u64) {
    loop {
        let low = u8::try_from(value & 0x7f).unwrap_or(0);
        value >>= 7;
        if value == 0 {
            bytes.push(low);
            return;
        }
        bytes.push(low | 0x80);
    }
}

fn read(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..u64::BITS).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f).checked_shl(shift)?;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(values: impl IntoIterator<Item = u64>) -> Latencies {
        let mut latencies = Latencies::default();
        values.into_iter().for_each(|value| latencies.record(value));
        latencies
    }

    #[test]
    fn percentiles_are_of_the_nearest_rank() {
        let latencies = of((1..=100).rev());
        assert_eq!(latencies.percentile(50), Some(50.0));
        assert_eq!(latencies.percentile(95), Some(95.0));
        assert_eq!(latencies.percentile(99), Some(99.0));
        assert_eq!(
            (latencies.over(95.0), latencies.over(95.5), latencies.over(0.0)),
            (5, 5, 100)
        );
        assert_eq!(of([7]).percentile(99), Some(7.0));
        assert_eq!(Latencies::default().percentile(50), None);
    }

    #[test]
    fn what_is_stored_comes_back_and_adds_up() {
        let values = [0, 1, 1, 2047, 2048, 60_000, 86_400_000, u64::MAX];
        let latencies = of(values);
        let mut sum = Latencies::decode(&latencies.encode()).expect("as it was written");
        assert_eq!(sum, latencies);
        sum.add(&of(values));
        assert_eq!(sum, of(values.into_iter().chain(values)));
        assert_eq!(Latencies::decode(&[0x80]), None);
        assert_eq!(Latencies::decode(&[0xff; 40]), None);
    }

    #[test]
    fn a_rounded_duration_is_off_by_less_than_a_thousandth() {
        for value in [2047, 2048, 2049, 99_999, 3_600_001, 86_399_999, u64::MAX] {
            let near = rounded(value);
            assert!(near.abs_diff(value) <= value / 2000, "{value}: {near}");
            assert_eq!(rounded(near), near);
        }
        assert_eq!(rounded(1500), 1500);
    }
}
