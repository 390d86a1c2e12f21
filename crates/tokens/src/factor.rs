//! By how much a model counts more than the counter does.

use std::num::NonZeroU32;

/// A factor in thousandths: 1,000 changes nothing, 1,300 adds three tenths. Never 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Factor(NonZeroU32);

impl Factor {
    /// The factor of a model that counts as the counter does.
    pub const ONE: Self = match NonZeroU32::new(1_000) {
        Some(one) => Self(one),
        None => Self(NonZeroU32::MIN),
    };

    /// So many thousandths, or `None` for 0: with it everything would fit.
    pub const fn from_thousandths(thousandths: u32) -> Option<Self> {
        match NonZeroU32::new(thousandths) {
            Some(thousandths) => Some(Self(thousandths)),
            None => None,
        }
    }

    /// The factor in thousandths.
    pub const fn thousandths(self) -> u32 {
        self.0.get()
    }

    /// So many times this count, rounded up. What is too large for a `u64` is its largest value.
    pub fn of(self, count: u64) -> u64 {
        let product = u128::from(count) * u128::from(self.0.get());
        u64::try_from(product.div_ceil(1_000)).unwrap_or(u64::MAX)
    }
}

impl Default for Factor {
    fn default() -> Self {
        Self::ONE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn factor(thousandths: u32) -> Factor {
        Factor::from_thousandths(thousandths).unwrap()
    }

    #[test]
    fn a_count_times_a_factor_is_rounded_up() {
        assert_eq!(Factor::ONE.of(3_247), 3_247);
        assert_eq!(factor(1_300).of(8), 11, "10.4");
        assert_eq!(factor(1_600).of(5), 8, "8 exactly");
        assert_eq!(factor(1).of(1), 1, "a thousandth of a token");
        assert_eq!(factor(u32::MAX).of(0), 0);
    }

    #[test]
    fn a_product_that_is_too_large_is_the_largest_count() {
        assert_eq!(factor(1_001).of(u64::MAX), u64::MAX);
        assert_eq!(Factor::ONE.of(u64::MAX), u64::MAX);
        assert_eq!(factor(999).of(u64::MAX), 18_428_297_329_635_842_064);
    }

    #[test]
    fn nothing_is_counted_as_nothing_by_a_factor() {
        assert_eq!(Factor::from_thousandths(0), None);
        assert_eq!(Factor::default().thousandths(), 1_000);
    }
}
