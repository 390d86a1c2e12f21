//! Points in time, as the wire writes them.

use std::fmt;
use std::ops::Range;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use time::format_description::well_known::Rfc3339;
use time::{Date, OffsetDateTime};

use crate::base::wire::Text;

/// A point in time with millisecond precision; RFC 3339 in UTC on the wire (`2026-11-21T05:00:00.123Z`).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(i64);

/// The range of RFC 3339: 0000-01-01T00:00:00.000Z to 9999-12-31T23:59:59.999Z.
const FIRST: i64 = -62_167_219_200_000;
const LAST: i64 = 253_402_300_799_999;

/// The layout of a time, with `0` for every digit.
const FORM: [u8; WIDTH] = *b"0000-00-00T00:00:00.000Z";
const WIDTH: usize = 24;
/// The places of year, month, day, hour, minute, second and millisecond in [`FORM`].
const PARTS: [Range<usize>; 7] = [0..4, 5..7, 8..10, 11..13, 14..16, 17..19, 20..23];

impl Timestamp {
    /// Takes milliseconds since the Unix epoch; saturates at the years 0 and 9999, the ends of RFC 3339.
    pub const fn from_unix_millis(millis: i64) -> Self {
        if millis < FIRST {
            Self(FIRST)
        } else if millis > LAST {
            Self(LAST)
        } else {
            Self(millis)
        }
    }

    /// Milliseconds since the Unix epoch.
    pub const fn unix_millis(self) -> i64 {
        self.0
    }

    /// This time plus a duration; saturates at the year 9999.
    #[must_use]
    pub fn plus(self, duration: Duration) -> Self {
        Self::from_unix_millis(
            self.0
                .saturating_add(i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)),
        )
    }

    /// This time minus a duration; saturates at the year 0.
    #[must_use]
    pub fn minus(self, duration: Duration) -> Self {
        Self::from_unix_millis(
            self.0
                .saturating_sub(i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)),
        )
    }

    /// The time from `earlier` to this time; zero when `earlier` is later.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// Reads RFC 3339, or a duration such as `10m` or `1h30m` that counts from `now`.
    ///
    /// # Errors
    /// When the text is neither; the error says what is expected.
    pub fn parse_or_after(text: &str, now: Self) -> Result<Self, String> {
        if let Ok(at) = text.parse() {
            return Ok(at);
        }
        humantime::parse_duration(text)
            .map(|duration| now.plus(duration))
            .map_err(|_| "expected RFC 3339 such as 2026-11-21T05:00:00Z, or a duration such as 10m".to_owned())
    }
}

impl Timestamp {
    /// The wire form. Written by hand, like [`Timestamp::read`]: each record has three or four times, and interpreting
    /// a format description costs several times as much as the digits.
    fn text(self) -> Option<[u8; WIDTH]> {
        let at = OffsetDateTime::from_unix_timestamp(self.0.div_euclid(1000)).ok()?;
        let (year, month, day) = at.to_calendar_date();
        let (hour, minute, second) = at.to_hms();
        let millis = u32::try_from(self.0.rem_euclid(1000)).ok()?;
        let parts = [
            u32::try_from(year).ok()?,
            u32::from(u8::from(month)),
            day.into(),
            hour.into(),
            minute.into(),
            second.into(),
            millis,
        ];
        let mut text = FORM;
        for (range, mut number) in PARTS.into_iter().zip(parts) {
            for place in text.get_mut(range)?.iter_mut().rev() {
                *place = b'0' + u8::try_from(number % 10).ok()?;
                number /= 10;
            }
        }
        Some(text)
    }

    /// Reads exactly what [`Timestamp::text`] writes; `None` for any other spelling, valid or not.
    fn read(text: &str) -> Option<Self> {
        let text: &[u8; WIDTH] = text.as_bytes().try_into().ok()?;
        let mut pairs = text.iter().zip(FORM);
        if !pairs.all(|(byte, form)| *byte == form || (form == b'0' && byte.is_ascii_digit())) {
            return None;
        }
        let mut parts = [0_u32; PARTS.len()];
        for (part, range) in parts.iter_mut().zip(PARTS) {
            for digit in text.get(range)? {
                *part = *part * 10 + char::from(*digit).to_digit(10)?;
            }
        }
        let [year, month, day, hour, minute, second, millis] = parts;
        let small = |number: u32| u8::try_from(number).ok();
        let month = small(month)?.try_into().ok()?;
        let date = Date::from_calendar_date(i32::try_from(year).ok()?, month, small(day)?).ok()?;
        let (hour, minute, second) = (small(hour)?, small(minute)?, small(second)?);
        let at = date.with_hms(hour, minute, second).ok()?.assume_utc();
        Some(Self(at.unix_timestamp() * 1000 + i64::from(millis)))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.text().ok_or(fmt::Error)?;
        f.write_str(std::str::from_utf8(&text).map_err(|_| fmt::Error)?)
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Timestamp {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Some(read) = Self::read(text) {
            return Ok(read);
        }
        let at = OffsetDateTime::parse(text, &Rfc3339)
            .map_err(|_| "expected RFC 3339 such as 2026-11-21T05:00:00Z".to_owned())?;
        match i64::try_from(at.unix_timestamp_nanos().div_euclid(1_000_000)) {
            // An offset can move a time beyond the years that UTC can express.
            Ok(millis) if (FIRST..=LAST).contains(&millis) => Ok(Self(millis)),
            Ok(_) | Err(_) => Err("out of range: expected the years 0 to 9999 in UTC".to_owned()),
        }
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let text = self.text();
        let text = text.as_ref().and_then(|text| std::str::from_utf8(text).ok());
        serializer.serialize_str(text.ok_or_else(|| serde::ser::Error::custom("a time past the year 9999"))?)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Text::deserialize(deserializer)?;
        text.parse()
            .map_err(|problem| serde::de::Error::custom(format!("\"{}\": {problem}", &*text)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc3339_round_trips_to_the_millisecond() {
        let at = Timestamp::from_unix_millis(1_795_237_200_123);
        assert_eq!(at.to_string().parse::<Timestamp>(), Ok(at));
        assert_eq!(
            "1969-12-31T23:59:59.999Z".parse::<Timestamp>(),
            Ok(Timestamp::from_unix_millis(-1))
        );
        assert_eq!(Timestamp::from_unix_millis(-1).to_string(), "1969-12-31T23:59:59.999Z");
    }

    #[test]
    fn what_is_written_is_read_as_every_other_spelling_is() {
        let slow = |text: &str| {
            let at = OffsetDateTime::parse(text, &Rfc3339).ok()?;
            i64::try_from(at.unix_timestamp_nanos().div_euclid(1_000_000)).ok()
        };
        // Times some 180 days apart, over the whole range. The number of steps is prime, so the times of day differ.
        let step = (LAST - FIRST) / 20_011;
        for millis in (FIRST..=LAST)
            .step_by(usize::try_from(step).expect("positive"))
            .chain([FIRST, LAST])
        {
            let at = Timestamp::from_unix_millis(millis);
            let text = at.to_string();
            assert_eq!(Timestamp::read(&text), Some(at), "{text}");
            assert_eq!(slow(&text), Some(millis), "{text}");
        }
        for other in [
            "2026-11-21T05:00:00Z",
            "2026-11-21T05:00:00.000+00:00",
            "2026-11-21 05:00:00.000Z",
            "2026-02-29T05:00:00.000Z",
            "2026-11-21T24:00:00.000Z",
            "2026-11-21T05:00:60.000Z",
            "2026-11-21T05:00:00.0éZ",
            "2026-11-21t05:00:00.000z",
            "2026/11/21T05:00:00.000Z",
            "2026-00-21T05:00:00.000Z",
            "2026-13-21T05:00:00.000Z",
            "2026-11-00T05:00:00.000Z",
            "+026-11-21T05:00:00.000Z",
            "",
        ] {
            assert_eq!(Timestamp::read(other), None, "{other}");
            assert_eq!(other.parse().ok(), slow(other).map(Timestamp), "{other}");
        }
    }

    #[test]
    fn a_duration_counts_from_now() {
        let now = Timestamp::from_unix_millis(1_000);
        assert_eq!(
            Timestamp::parse_or_after("10m", now),
            Ok(Timestamp::from_unix_millis(601_000))
        );
        assert!(Timestamp::parse_or_after("soon", now).is_err());
    }
}
