//! Readers of argument values, built on the envelope's own types: each says the value and the rule.

use std::fmt;
use std::num::NonZeroU32;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

use baton_envelope::{
    ATTEMPTS_LIMIT, AgentName, AgentVersion, Json, MaxHops, OnExhausted, Percent, Priority, ProtocolRange, Timestamp,
};
use baton_jetstream::{Clock as _, SystemClock};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A length of time as people write it: `20s`, `5m`, `1h30m`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Span(pub(crate) Duration);

/// The seconds of a day.
const DAY: u64 = 24 * 60 * 60;

impl FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        humantime::parse_duration(text)
            .map(Self)
            .map_err(|_| "expected a duration such as 500ms, 20s or 1h30m".to_owned())
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Not in months and years, as humantime does: nobody reads back how many days these are.
        let days = self.0.as_secs() / DAY;
        let rest = self.0.saturating_sub(Duration::from_secs(days * DAY));
        match (days, rest.is_zero()) {
            (0, _) => fmt::Display::fmt(&humantime::format_duration(rest), f),
            (1, true) => f.write_str("1day"),
            (1, false) => write!(f, "1day {}", humantime::format_duration(rest)),
            (days, true) => write!(f, "{days}days"),
            (days, false) => write!(f, "{days}days {}", humantime::format_duration(rest)),
        }
    }
}

impl Serialize for Span {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse()
            .map_err(|problem| serde::de::Error::custom(format!("\"{text}\": {problem}")))
    }
}

impl Span {
    /// In whole milliseconds.
    pub(crate) fn millis(self) -> u64 {
        u64::try_from(self.0.as_millis()).unwrap_or(u64::MAX)
    }

    /// Of so many milliseconds.
    pub(crate) const fn of_millis(millis: u64) -> Self {
        Self(Duration::from_millis(millis))
    }
}

/// What happens to a hop whose attempts are used up.
pub(crate) fn on_exhausted(text: &str) -> Result<OnExhausted, String> {
    let read = serde_json::from_value(text.into());
    match read {
        Ok(OnExhausted::Unknown(_)) | Err(_) => {
            Err("expected park, fail, human, compensate, or escalate:AGENT".to_owned())
        }
        Ok(what) => Ok(what),
    }
}

/// How many attempts a hop gets: 1 to 1000.
pub(crate) fn attempts(text: &str) -> Result<NonZeroU32, String> {
    let count = text.trim().parse().ok().and_then(NonZeroU32::new);
    count
        .filter(|count| count.get() <= ATTEMPTS_LIMIT)
        .ok_or_else(|| format!("expected a whole number from 1 to {ATTEMPTS_LIMIT}"))
}

/// How many hops may run at a time; 0 for no limit.
pub(crate) fn in_flight(text: &str) -> Result<u32, String> {
    text.trim()
        .parse()
        .map_err(|_| "expected a whole number such as 10, or 0 for no limit".to_owned())
}

/// A range of protocol versions as people write it: `1.0.0-1.1.0`, or one version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Range(pub(crate) ProtocolRange);

impl FromStr for Range {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (oldest, newest) = text.split_once('-').unwrap_or((text, text));
        let range = ProtocolRange {
            oldest: oldest.trim().parse()?,
            newest: newest.trim().parse()?,
        };
        if range.oldest <= range.newest {
            Ok(Self(range))
        } else {
            Err("expected OLDEST-NEWEST such as 1.0.0-1.1.0: the older one first".to_owned())
        }
    }
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.0.oldest, self.0.newest)
    }
}

/// A share of the new work in percent, 1 to 100.
pub(crate) fn share(text: &str) -> Result<Percent, String> {
    text.trim()
        .trim_end_matches('%')
        .trim_end()
        .parse()
        .ok()
        .and_then(|number: u64| Percent::new(number).ok())
        .filter(|share| share.get() > 0)
        .ok_or_else(|| "expected a share in whole percent, 1 to 100".to_owned())
}

/// Percentage points, 0 to 100.
pub(crate) fn points(text: &str) -> Result<f64, String> {
    number(text, 0.0..=100.0).ok_or_else(|| "expected percentage points, 0 to 100, such as 1 or 0.5".to_owned())
}

/// A factor of at least 1.
pub(crate) fn factor(text: &str) -> Result<f64, String> {
    number(text, 1.0..=f64::MAX).ok_or_else(|| "expected a factor of at least 1, such as 1.5".to_owned())
}

/// How many tokens a model makes of one of the counter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TokenFactor(
    /// In thousandths, 100 to 10,000.
    pub(crate) u32,
);

impl FromStr for TokenFactor {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (whole, parts) = text.trim().split_once('.').unwrap_or((text.trim(), ""));
        let parts = (parts.len() <= 3).then(|| format!("{parts:0<3}"));
        let thousandths = parts.and_then(|parts| format!("{whole}{parts}").parse().ok());
        thousandths
            .filter(|thousandths| (100..=10_000).contains(thousandths))
            .map(Self)
            .ok_or_else(|| {
                "expected a factor from 0.1 to 10 with at most three digits behind the point, such as 1.6".to_owned()
            })
    }
}

impl fmt::Display for TokenFactor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = format!("{}.{:03}", self.0 / 1_000, self.0 % 1_000);
        f.write_str(text.trim_end_matches('0').trim_end_matches('.'))
    }
}

fn number(text: &str, range: RangeInclusive<f64>) -> Option<f64> {
    text.trim().parse().ok().filter(|number| range.contains(number))
}

/// A priority, 1 to 10.
pub(crate) fn priority(text: &str) -> Result<Priority, String> {
    whole(text, "priority", "1 to 10").and_then(Priority::new)
}

/// A limit on hops, 1 to 64.
pub(crate) fn max_hops(text: &str) -> Result<MaxHops, String> {
    whole(text, "max_hops", "1 to 64").and_then(MaxHops::new)
}

/// A deadline: a time, or a duration from now. The text is kept, because the duration counts from the submit.
pub(crate) fn deadline(text: &str) -> Result<String, String> {
    let at = Timestamp::parse_or_after(text, SystemClock.now())?;
    // The wire takes a duration without end for the end of time; a person who writes one has slipped.
    if text.parse::<Timestamp>().is_err() && at == at.plus(Duration::from_millis(1)) {
        return Err("expected a time before the end of the year 9999".to_owned());
    }
    Ok(text.to_owned())
}

/// A time in the past: as it is, or a duration before now.
pub(crate) fn since(text: &str) -> Result<Timestamp, String> {
    if let Ok(at) = text.parse() {
        return Ok(at);
    }
    let Span(before) = text
        .parse()
        .map_err(|_| "expected a time such as 2026-11-21T05:00:00Z, or a duration before now such as 7d".to_owned())?;
    Ok(SystemClock.now().minus(before))
}

/// Must-carry constraints: one JSON object.
pub(crate) fn constraints(text: &str) -> Result<Json, String> {
    let json = Json::parse(text).map_err(|error| format!("not JSON: {error}"))?;
    if json.get().starts_with('{') {
        Ok(json)
    } else {
        Err("expected a JSON object such as {\"budget\":5}".to_owned())
    }
}

/// What is expected back, as JSON; what it may say is checked with the rest of the work.
pub(crate) fn expects(text: &str) -> Result<Json, String> {
    Json::parse(text).map_err(|error| format!("not JSON: {error}; expected an object such as {{\"format\":\"json\"}}"))
}

/// `AGENT=VERSION`.
pub(crate) fn pin(text: &str) -> Result<(AgentName, AgentVersion), String> {
    let (agent, version) = text
        .split_once('=')
        .ok_or("expected AGENT=VERSION such as code=1.4.0")?;
    let agent = agent
        .parse()
        .map_err(|error: baton_envelope::BadName| error.to_string())?;
    let version = version
        .parse()
        .map_err(|error: baton_envelope::BadVersion| error.to_string())?;
    Ok((agent, version))
}

fn whole(text: &str, what: &str, range: &str) -> Result<i64, String> {
    text.trim()
        .parse()
        .map_err(|_| format!("{what} must be a whole number from {range}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bad_value_is_told_with_its_rule() {
        assert!(priority("11").is_err_and(|e| e.contains("1 to 10")));
        assert!(priority("high").is_err_and(|e| e.contains("whole number")));
        for bad in ["0", "1001", "x", "-1"] {
            assert!(attempts(bad).is_err_and(|e| e.contains("from 1 to 1000")), "{bad}");
        }
        assert!(in_flight("x").is_err_and(|e| e.contains("0 for no limit")));
        assert!(max_hops("65").is_err_and(|e| e.contains("64")));
        assert!(deadline("soon").is_err());
        for late in ["500000years", "9000years"] {
            assert!(deadline(late).is_err_and(|e| e.contains("9999")), "{late}");
        }
        for kept in ["10m", "5000years", "9999-12-31T23:59:59.999Z"] {
            assert_eq!(deadline(kept).as_deref(), Ok(kept));
        }
        for (text, thousandths) in [("1", 1_000), ("1.6", 1_600), ("0.125", 125), ("10", 10_000)] {
            assert_eq!(text.parse(), Ok(TokenFactor(thousandths)), "{text}");
            assert_eq!(
                TokenFactor(thousandths).to_string().parse(),
                Ok(TokenFactor(thousandths))
            );
        }
        for bad in ["", "0", "0.05", "10.001", "1.6666", "-1", "x", "1.-5", "."] {
            assert!(
                bad.parse::<TokenFactor>().is_err_and(|e| e.contains("from 0.1 to 10")),
                "{bad}"
            );
        }
        assert!(constraints("[1]").is_err_and(|e| e.contains("object")));
        assert!(pin("code=1.x").is_err_and(|e| e.contains("1.4.0")));
        assert!(pin("code").is_err_and(|e| e.contains("AGENT=VERSION")));
    }

    #[test]
    fn a_range_of_protocols_reads_what_it_writes() {
        let range: Range = "1.0.0-1.1.0".parse().expect("range");
        assert_eq!(range.to_string().parse(), Ok(range));
        assert_eq!("1.0".parse::<Range>().expect("one").to_string(), "1.0.0-1.0.0");
        assert!("1.1.0-1.0.0".parse::<Range>().is_err_and(|e| e.contains("older")));
        assert!("1.0.0-x".parse::<Range>().is_err_and(|e| e.contains("\"x\"")));
    }

    #[test]
    fn a_span_reads_what_it_writes() {
        let span: Span = "1h 30m".parse().expect("span");
        assert_eq!(span.to_string().parse(), Ok(span));
        for text in ["40days", "1day 2h", "3days 4h 5m", "500ms", "0s"] {
            assert_eq!(text.parse::<Span>().expect("span").to_string(), text);
        }
    }
}
