//! Points in time, as the wire writes them.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// A point in time with millisecond precision; RFC 3339 in UTC on the wire (`2026-11-21T05:00:00.123Z`).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(i64);

/// 0000-01-01T00:00:00.000Z and 9999-12-31T23:59:59.999Z: what RFC 3339 can write.
const FIRST: i64 = -62_167_219_200_000;
const LAST: i64 = 253_402_300_799_999;

impl Timestamp {
    /// From milliseconds since the Unix epoch; saturates at the years 0 and 9999, the ends of RFC 3339.
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

    /// This time plus a duration; saturates at the end of time.
    #[must_use]
    pub fn plus(self, duration: Duration) -> Self {
        Self::from_unix_millis(
            self.0
                .saturating_add(i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)),
        )
    }

    /// This time less a duration; saturates at the beginning of time.
    #[must_use]
    pub fn minus(self, duration: Duration) -> Self {
        Self::from_unix_millis(
            self.0
                .saturating_sub(i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)),
        )
    }

    /// How long it is from `earlier` to this time; zero when `earlier` is not earlier.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// Reads RFC 3339, or a duration such as `10m` or `1h30m`, which counts from `now`.
    ///
    /// # Errors
    /// When the text is neither; the text of the error says what is expected.
    pub fn parse_or_after(text: &str, now: Self) -> Result<Self, String> {
        if let Ok(at) = text.parse() {
            return Ok(at);
        }
        humantime::parse_duration(text)
            .map(|duration| now.plus(duration))
            .map_err(|_| "expected RFC 3339 such as 2026-11-21T05:00:00Z, or a duration such as 10m".to_owned())
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = OffsetDateTime::from_unix_timestamp(self.0.div_euclid(1000)).map_err(|_| fmt::Error)?;
        let (year, month, day) = at.to_calendar_date();
        let (hour, minute, second) = at.to_hms();
        let (month, millis) = (u8::from(month), self.0.rem_euclid(1000));
        write!(
            f,
            "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millis:03}Z"
        )
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
        let at = OffsetDateTime::parse(text, &Rfc3339)
            .map_err(|_| "expected RFC 3339 such as 2026-11-21T05:00:00Z".to_owned())?;
        match i64::try_from(at.unix_timestamp_nanos().div_euclid(1_000_000)) {
            // An offset can carry a time past the years that UTC can write.
            Ok(millis) if (FIRST..=LAST).contains(&millis) => Ok(Self(millis)),
            Ok(_) | Err(_) => Err("out of range: expected the years 0 to 9999 in UTC".to_owned()),
        }
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse()
            .map_err(|problem| serde::de::Error::custom(format!("\"{text}\": {problem}")))
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
    fn a_duration_counts_from_now() {
        let now = Timestamp::from_unix_millis(1_000);
        assert_eq!(
            Timestamp::parse_or_after("10m", now),
            Ok(Timestamp::from_unix_millis(601_000))
        );
        assert!(Timestamp::parse_or_after("soon", now).is_err());
    }
}
