//! Readers of argument values, built on the envelope's own types: each says the value and the rule.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use baton_envelope::{AgentName, AgentVersion, Json, MaxHops, Priority, Timestamp};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A length of time as people write it: `20s`, `5m`, `1h30m`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Span(pub(crate) Duration);

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
        fmt::Display::fmt(&humantime::format_duration(self.0), f)
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
    Timestamp::parse_or_after(text, Timestamp::default()).map(|_| text.to_owned())
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
        assert!(max_hops("65").is_err_and(|e| e.contains("64")));
        assert!(deadline("soon").is_err());
        assert!(constraints("[1]").is_err_and(|e| e.contains("object")));
        assert!(pin("code=1.x").is_err_and(|e| e.contains("1.4.0")));
        assert!(pin("code").is_err_and(|e| e.contains("AGENT=VERSION")));
    }

    #[test]
    fn a_span_reads_what_it_writes() {
        let span: Span = "1h 30m".parse().expect("span");
        assert_eq!(span.to_string().parse(), Ok(span));
    }
}
