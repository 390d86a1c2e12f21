//! An amount of what a meter counts: a decimal that is never negative and never rounded.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::base::json::Json;
use crate::base::text::quoted;

/// The parts of one.
const PARTS: i128 = 1_000_000_000;
/// How many digits may stand before the point, and how many behind it.
const WHOLE_DIGITS: usize = 18;
const PART_DIGITS: usize = 9;
/// How many characters of a bad amount its error quotes.
const QUOTED: usize = 60;

/// An amount: at most 18 digits before the point and 9 behind it. In JSON it is a number; a string of the same text is read, too.
///
/// Sums stay exact, as no binary fraction is ever made of one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Amount(i128);

/// A text that is no amount.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "\"{value}\" is no amount: {problem}; fix: give digits such as 1200 or 0.02, at most 18 before the point and 9 behind it"
)]
pub struct BadAmount {
    /// The text.
    pub value: String,
    /// What is wrong.
    pub problem: &'static str,
}

impl Amount {
    /// Nothing.
    pub const ZERO: Self = Self(0);
    /// The largest amount.
    pub const MAX: Self = Self(1_000_000_000_000_000_000 * PARTS - 1);

    /// So many whole units. More than can be written becomes the largest amount.
    pub fn whole(units: u64) -> Self {
        Self(i128::from(units).saturating_mul(PARTS)).bounded()
    }

    /// Milliseconds as seconds.
    pub fn of_millis(millis: u64) -> Self {
        Self(i128::from(millis).saturating_mul(PARTS / 1_000)).bounded()
    }

    /// The amount that a binary fraction stands for, by its shortest text; what is smaller than can be written is rounded up, as it
    /// was spent. `None` for what is negative, no number or too large.
    pub fn of_float(value: f64) -> Option<Self> {
        if !value.is_finite() || value.is_sign_negative() && value != 0.0 {
            return None;
        }
        let text = format!("{}", value.abs());
        let cut = match text.split_once('.') {
            Some((whole, parts)) if parts.len() > PART_DIGITS => format!("{whole}.{}", parts.get(..PART_DIGITS)?),
            Some(_) | None => return text.parse().ok(),
        };
        let floor: Self = cut.parse().ok()?;
        Some(Self(floor.0.saturating_add(1)).bounded())
    }

    /// Whether it is nothing.
    pub const fn is_zero(self) -> bool {
        self.0 == 0
    }

    /// The sum. One that could not be written is the largest amount.
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0)).bounded()
    }

    /// The sum, where it can be written.
    pub fn checked_plus(self, other: Self) -> Option<Self> {
        let sum = Self(self.0.saturating_add(other.0));
        (sum <= Self::MAX).then_some(sum)
    }

    /// What is left when the other is taken away, at least nothing.
    #[must_use]
    pub const fn less(self, other: Self) -> Self {
        match self.0.saturating_sub(other.0) {
            left if left > 0 => Self(left),
            _ => Self::ZERO,
        }
    }

    /// One of so many equal parts, rounded down.
    #[must_use]
    pub fn divided_by(self, count: u32) -> Self {
        Self(self.0 / i128::from(count.max(1)))
    }

    /// Without what stands behind the point.
    #[must_use]
    pub const fn rounded_down(self) -> Self {
        Self(self.0 - self.0 % PARTS)
    }

    /// So many times.
    #[must_use]
    pub fn times(self, count: u32) -> Self {
        Self(self.0.saturating_mul(i128::from(count))).bounded()
    }

    /// Reads a JSON number or a string.
    ///
    /// # Errors
    /// Names the value, and what is wrong with it.
    pub fn of_json(json: &Json) -> Result<Self, BadAmount> {
        let text = json.get();
        match text.starts_with('"') {
            true => json
                .read::<String>()
                .map_or_else(|_| bad(text, "it is no text"), |text| text.parse()),
            false => text.parse(),
        }
    }

    /// As a JSON number.
    pub fn to_json(self) -> Json {
        Json::parse(&self.to_string()).unwrap_or_default()
    }

    const fn bounded(self) -> Self {
        if self.0 > Self::MAX.0 { Self::MAX } else { self }
    }
}

fn bad<T>(value: &str, problem: &'static str) -> Result<T, BadAmount> {
    Err(BadAmount {
        value: quoted(value, QUOTED),
        problem,
    })
}

impl FromStr for Amount {
    type Err = BadAmount;

    fn from_str(text: &str) -> Result<Self, BadAmount> {
        let (whole, parts) = text
            .split_once('.')
            .map_or((text, None), |(whole, parts)| (whole, Some(parts)));
        let is_digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        if text.starts_with('-') {
            return bad(text, "it is negative");
        }
        // `1e-7`, and not `1 EUR`.
        let is_number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit() || b".+-".contains(&byte));
        if text
            .split_once(['e', 'E'])
            .is_some_and(|(number, exponent)| is_number(number) && is_number(exponent))
        {
            return bad(text, "it has an exponent");
        }
        if !is_digits(whole) || parts.is_some_and(|parts| !is_digits(parts)) {
            return bad(text, "it is no decimal number");
        }
        let whole = whole.trim_start_matches('0');
        let parts = parts.unwrap_or_default().trim_end_matches('0');
        if whole.len() > WHOLE_DIGITS {
            return bad(text, "it has more than 18 digits before the point");
        }
        if parts.len() > PART_DIGITS {
            return bad(text, "it has more than 9 digits behind the point");
        }
        let digits = whole
            .bytes()
            .chain(parts.bytes())
            .chain(std::iter::repeat_n(b'0', PART_DIGITS - parts.len()));
        let sum = digits.fold(0_i128, |sum, digit| sum * 10 + i128::from(digit - b'0'));
        Ok(Self(sum))
    }
}

impl fmt::Display for Amount {
    /// Without a zero that says nothing: `0`, `1200`, `0.02`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, parts) = (self.0 / PARTS, self.0 % PARTS);
        match parts {
            0 => write!(f, "{whole}"),
            parts => write!(f, "{whole}.{}", format!("{parts:09}").trim_end_matches('0')),
        }
    }
}

impl fmt::Debug for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Amount {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.to_json().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Amount {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::of_json(&Json::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}
