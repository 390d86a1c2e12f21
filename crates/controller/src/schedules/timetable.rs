//! The times at which a schedule fires: a function of its expression, its time zone and a time.
//!
//! The time zones are compiled in, so that all controllers of one build agree, wherever they run. A fixed time of the day
//! that comes twice fires at the first, and one that is missing fires where the clock goes on. What repeats within an hour
//! goes by the time that passes.

use std::str::FromStr as _;

use baton_envelope::control::ControlError;
use baton_envelope::schedule::Schedule;
use baton_envelope::{Timestamp, codes};
use croner::Cron;
use jiff::Zoned;
use jiff::tz::TimeZone;

/// The longest expression, in bytes.
const LONGEST: usize = 256;
/// The zone of an expression that names none.
const UTC: &str = "UTC";

/// When a schedule fires.
#[derive(Debug, Clone)]
pub(crate) struct Timetable {
    rule: Rule,
    until: Option<Timestamp>,
}

#[derive(Debug, Clone)]
enum Rule {
    Cron { cron: Box<Cron>, zone: TimeZone },
    Every { millis: i64, from: Timestamp },
}

impl Timetable {
    /// Reads the times of a schedule.
    ///
    /// # Errors
    /// `BAD_SCHEDULE` or `UNKNOWN_ZONE`, with what is wrong and the fix.
    pub(crate) fn of(schedule: &Schedule) -> Result<Self, ControlError> {
        let rule = match (&schedule.cron, schedule.every_ms) {
            (Some(text), None) => {
                let zone = zone(schedule.tz.as_deref().unwrap_or(UTC))?;
                Rule::Cron {
                    cron: cron(text)?,
                    zone,
                }
            }
            (None, Some(millis)) => {
                let millis = i64::try_from(millis).ok().filter(|millis| *millis > 0);
                let millis = millis.ok_or_else(|| bad("every_ms (--every) is 0 or too long", "give at least 1s"))?;
                let from = schedule.created_at;
                Rule::Every { millis, from }
            }
            (Some(_), Some(_)) => return Err(bad("it has both cron and every_ms (--every)", "give one of them")),
            (None, None) => return Err(bad("it has neither cron nor every_ms (--every)", "give one of them")),
        };
        let until = schedule.until;
        Ok(Self { rule, until })
    }

    /// The first time after this one; `None` when it fires no more.
    pub(crate) fn after(&self, at: Timestamp) -> Option<Timestamp> {
        let next = match &self.rule {
            Rule::Every { millis, from } => {
                let passed = at.unix_millis().checked_sub(from.unix_millis())?.div_euclid(*millis);
                nth(*from, *millis, passed.checked_add(1)?)?
            }
            Rule::Cron { cron, zone } => {
                let next = cron.find_next_occurrence(&zoned(at, zone)?, false).ok()?;
                // Never twice the same, whatever the clocks there do.
                time(&next).filter(|next| *next > at)?
            }
        };
        (self.until.is_none_or(|until| next <= until)).then_some(next)
    }

    /// The last time up to this one; `None` when there was none since the year 1.
    pub(crate) fn by(&self, at: Timestamp) -> Option<Timestamp> {
        let at = self.until.map_or(at, |until| at.min(until));
        match &self.rule {
            Rule::Every { millis, from } => {
                let passed = at.unix_millis().checked_sub(from.unix_millis())?.div_euclid(*millis);
                nth(*from, *millis, passed)
            }
            Rule::Cron { cron, zone } => {
                let last = cron.find_previous_occurrence(&zoned(at, zone)?, true).ok()?;
                time(&last).filter(|last| *last <= at)
            }
        }
    }

    /// The next times, at most `count`.
    pub(crate) fn next(&self, mut after: Timestamp, count: usize) -> Vec<Timestamp> {
        let mut found = Vec::new();
        while found.len() < count
            && let Some(next) = self.after(after)
        {
            found.push(next);
            after = next;
        }
        found
    }
}

fn nth(from: Timestamp, millis: i64, n: i64) -> Option<Timestamp> {
    let at = from.unix_millis().checked_add(millis.checked_mul(n)?)?;
    let there = Timestamp::from_unix_millis(at);
    // Beyond the years that can be written.
    (there.unix_millis() == at).then_some(there)
}

fn zoned(at: Timestamp, zone: &TimeZone) -> Option<Zoned> {
    let at = jiff::Timestamp::from_millisecond(at.unix_millis()).ok()?;
    Some(at.to_zoned(zone.clone()))
}

fn time(at: &Zoned) -> Option<Timestamp> {
    let millis = at.timestamp().as_millisecond();
    let there = Timestamp::from_unix_millis(millis);
    (there.unix_millis() == millis).then_some(there)
}

/// How to write an expression.
const FIX: &str = "write five fields, or six with the seconds first, such as \"30 2 * * MON-FRI\"";
/// The fields of an expression; the first may be left out.
const FIELDS: [&str; 6] = [
    "second",
    "minute",
    "hour",
    "day of the month",
    "month",
    "day of the week",
];

/// Checks the number of fields. The client reads a seventh, the year; a schedule that was added with one keeps it.
///
/// # Errors
/// `BAD_SCHEDULE`, with what is wrong and the fix.
pub(super) fn check_fields(text: &str) -> Result<(), ControlError> {
    let is_name = text.trim_start().starts_with('@');
    let count = text.split_whitespace().count();
    match is_name || text.len() > LONGEST || (5..=6).contains(&count) {
        true => Ok(()),
        false => Err(bad(&format!("cron \"{text}\" has {count} fields"), FIX)),
    }
}

/// The field of an expression that cannot be read by itself, in words.
fn bad_field(text: &str) -> Option<String> {
    let given: Vec<&str> = text.split_whitespace().collect();
    if !(5..=6).contains(&given.len()) {
        return None;
    }
    let names = FIELDS.get(FIELDS.len().checked_sub(given.len())?..)?;
    names.iter().zip(&given).enumerate().find_map(|(at, (name, value))| {
        let mut alone = vec!["*"; given.len()];
        *alone.get_mut(at)? = value;
        let is_bad = Cron::from_str(&alone.join(" ")).is_err();
        is_bad.then(|| format!("the {name} \"{value}\""))
    })
}

fn cron(text: &str) -> Result<Box<Cron>, ControlError> {
    if text.len() > LONGEST {
        return Err(bad(&format!("the expression has more than {LONGEST} bytes"), FIX));
    }
    match Cron::from_str(text) {
        Ok(cron) => Ok(Box::new(cron)),
        Err(error) => {
            let why = error.to_string();
            let (why, at) = (why.trim_end_matches('.'), bad_field(text));
            let at = at.map_or_else(String::new, |at| format!(" at {at}"));
            let problem = format!("cron \"{text}\" cannot be read{at}: {why}");
            Err(bad(&problem, FIX))
        }
    }
}

fn zone(name: &str) -> Result<TimeZone, ControlError> {
    TimeZone::get(name).map_err(|_| {
        let message = format!("\"{name}\" is no time zone");
        let fix = "name one of the IANA time zones, such as Europe/Berlin, America/New_York or UTC";
        ControlError::new(codes::UNKNOWN_ZONE, message, fix)
    })
}

/// The refusal of a schedule that cannot be.
pub(super) fn bad(problem: &str, fix: &str) -> ControlError {
    ControlError::new(codes::BAD_SCHEDULE, problem, fix)
}

// By its path: `crates/fuzz` compiles this file, too, from another folder.
#[cfg(test)]
#[path = "timetable/tests.rs"]
mod tests;
