//! Whether a schedule can be: what `schedules.add` refuses, with the code, what is wrong and the fix.

use std::time::Duration;

use baton_envelope::control::ControlError;
use baton_envelope::schedule::{Firing, Missed, Overlap, Schedule, Why};
use baton_envelope::{EnvelopeId, Timestamp, check_kind, codes};

use super::timetable::{Timetable, bad, check_fields};

/// The shortest time between two firings, and the longest.
const SHORTEST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(366 * 24 * 60 * 60);
/// The longest jitter.
const JITTER: Duration = Duration::from_secs(24 * 60 * 60);

/// Checks a new schedule, and gives its times.
///
/// # Errors
/// `BAD_SCHEDULE`, `UNKNOWN_ZONE` or `NEVER_FIRES`, with what is wrong and the fix.
pub(crate) fn check(schedule: &Schedule, now: Timestamp) -> Result<Timetable, ControlError> {
    if let Some(every) = schedule.every()
        && !(SHORTEST..=LONGEST).contains(&every)
    {
        let problem = format!("every_ms (--every) is {} ms", every.as_millis());
        return Err(bad(&problem, "give 1s to 366d"));
    }
    if schedule.cron.is_none() && schedule.tz.is_some() {
        return Err(bad(
            "tz goes with cron, and this has every_ms (--every)",
            "leave the time zone away",
        ));
    }
    let longest = schedule.every().unwrap_or(JITTER).min(JITTER);
    if schedule.jitter() > longest {
        let problem = format!("jitter_ms (--jitter) is {} ms", schedule.jitter_ms);
        let fix = format!(
            "give at most {} ms: the time between two firings, and a day",
            longest.as_millis()
        );
        return Err(bad(&problem, &fix));
    }
    if let Some(deadline) = schedule.deadline_ms
        && deadline <= schedule.jitter_ms
    {
        let problem = format!(
            "deadline_ms (--deadline) is {deadline} ms, and a firing may be put off by {} ms (jitter_ms, --jitter)",
            schedule.jitter_ms
        );
        return Err(bad(&problem, "give a longer deadline, or less jitter"));
    }
    if let Missed::Unknown(other) = &schedule.missed {
        return Err(bad(
            &format!("missed \"{other}\" is no policy"),
            "give once, skip or all",
        ));
    }
    if let Overlap::Unknown(other) = &schedule.overlap {
        return Err(bad(&format!("overlap \"{other}\" is no policy"), "give allow or skip"));
    }
    if let Some(kind) = &schedule.kind {
        check_kind(kind).map_err(|problem| bad(&problem.to_string(), &problem.fix))?;
    }
    let firing = Firing::of(schedule, Why::Due, now);
    let envelope = firing.envelope(schedule, EnvelopeId::generate(now, [0; 10]));
    envelope
        .check_texts()
        .map_err(|problem| bad(&problem.to_string(), &problem.fix))?;
    if let Some(until) = schedule.until.filter(|until| *until <= now) {
        let problem = format!("until {until} is in the past (now {now})");
        return Err(bad(&problem, "give a time in the future, or none"));
    }
    if let Some(cron) = &schedule.cron {
        check_fields(cron)?;
    }
    let timetable = Timetable::of(schedule)?;
    if timetable.after(now).is_none() {
        let (message, fix) = match (&schedule.cron, schedule.until) {
            (Some(cron), None) => (
                format!("cron \"{cron}\" names no day that comes"),
                "correct the day or the month, such as 28 for the last day that each February has",
            ),
            (_, until) => (
                format!("it would fire for the first time after its end ({})", shown(until)),
                "give a later end, or none",
            ),
        };
        return Err(ControlError::new(codes::NEVER_FIRES, message, fix));
    }
    Ok(timetable)
}

fn shown(until: Option<Timestamp>) -> String {
    until.map_or_else(|| "9999".to_owned(), |until| until.to_string())
}

#[cfg(test)]
pub(crate) mod tests {
    use baton_envelope::{Extra, Json, Priority};

    use super::*;

    const NOW: Timestamp = Timestamp::from_unix_millis(1_795_000_000_000);

    /// A schedule that is in order.
    pub(crate) fn schedule() -> Schedule {
        Schedule {
            name: "nightly".parse().expect("a name"),
            agent: "report".parse().expect("a name"),
            cron: None,
            tz: None,
            every_ms: Some(1000),
            jitter_ms: 0,
            until: None,
            missed: Missed::default(),
            overlap: Overlap::default(),
            kind: None,
            priority: Priority::default(),
            deadline_ms: None,
            payload: Json::null(),
            payload_encoding: None,
            created_at: NOW,
            created_by: "ada".to_owned(),
            revision: Some(7),
            through: NOW,
            paused: None,
            fired: 0,
            last: None,
            skipped: None,
            held: None,
            extra: Extra::new(),
        }
    }

    fn cron(text: &str) -> Schedule {
        Schedule {
            cron: Some(text.to_owned()),
            every_ms: None,
            ..schedule()
        }
    }

    /// One that is in order but for something.
    fn but(change: impl Fn(&mut Schedule)) -> Schedule {
        let mut schedule = schedule();
        change(&mut schedule);
        schedule
    }

    fn is_refused(cases: &[(Schedule, &str, &str)]) {
        for (schedule, code, said) in cases {
            let refused = check(schedule, NOW).expect_err(said);
            assert_eq!(refused.code, *code, "{said}: {}", refused.message);
            assert!(refused.message.contains(said), "{said}: {}", refused.message);
            assert!(!refused.fix.is_empty(), "{said}");
        }
    }

    #[test]
    fn what_cannot_be_is_refused_with_its_code_and_the_fix() {
        let past = Some(NOW.minus(Duration::from_secs(1)));
        let of_code = |schedule, said| (schedule, codes::BAD_SCHEDULE, said);
        is_refused(&[
            of_code(but(|one| one.every_ms = Some(0)), "every_ms (--every) is 0 ms"),
            of_code(but(|one| one.every_ms = None), "neither"),
            of_code(but(|one| one.cron = Some("* * * * *".into())), "both"),
            of_code(but(|one| one.tz = Some("UTC".into())), "tz goes with cron"),
            of_code(but(|one| one.jitter_ms = 1001), "jitter_ms (--jitter) is 1001 ms"),
            of_code(but(|one| one.until = past), "in the past"),
            of_code(but(|one| one.deadline_ms = Some(0)), "deadline_ms"),
            of_code(but(|one| one.missed = Missed::Unknown("twice".into())), "\"twice\""),
            of_code(but(|one| one.overlap = Overlap::Unknown("x".into())), "\"x\""),
            of_code(but(|one| one.kind = Some("a\nb".into())), "kind"),
        ]);
        check(&schedule(), NOW).expect("in order");
    }

    #[test]
    fn an_expression_that_cannot_be_is_refused_with_its_code_and_the_fix() {
        let soon = Some(NOW.plus(Duration::from_secs(5)));
        let mars = Schedule {
            tz: Some("Mars/Olympus".into()),
            ..cron("0 5 * * *")
        };
        let over = Schedule {
            until: soon,
            ..cron("0 0 1 1 *")
        };
        is_refused(&[
            (cron("61 * * * *"), codes::BAD_SCHEDULE, "the minute \"61\""),
            (cron("0 25 * * *"), codes::BAD_SCHEDULE, "the hour \"25\""),
            (cron("0 0 5 * 13 *"), codes::BAD_SCHEDULE, "the month \"13\""),
            (cron("0 0 5 * * * 2030"), codes::BAD_SCHEDULE, "has 7 fields"),
            (cron("5 *"), codes::BAD_SCHEDULE, "has 2 fields"),
            (cron("every day"), codes::BAD_SCHEDULE, "has 2 fields"),
            (cron("@sometimes"), codes::BAD_SCHEDULE, "cannot be read"),
            (cron(&"0,".repeat(200)), codes::BAD_SCHEDULE, "more than 256 bytes"),
            (mars, codes::UNKNOWN_ZONE, "Mars/Olympus"),
            (cron("0 0 30 2 *"), codes::NEVER_FIRES, "names no day"),
            (over, codes::NEVER_FIRES, "after its end"),
        ]);
        for good in ["0 5 * * MON-FRI", "*/5 * * * * *", "@daily"] {
            check(&cron(good), NOW).expect("in order");
        }
    }
}
