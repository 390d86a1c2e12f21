//! When schedules fire, over the changes of clocks above all.

use std::time::Duration;

use super::*;
use crate::schedules::checks::tests::schedule;

fn at(text: &str) -> Timestamp {
    text.parse().expect("a time")
}

fn table(cron: &str, tz: &str) -> Timetable {
    let schedule = Schedule {
        cron: Some(cron.to_owned()),
        tz: Some(tz.to_owned()),
        every_ms: None,
        ..schedule()
    };
    Timetable::of(&schedule).expect("a timetable")
}

fn next(cron: &str, tz: &str, after: &str, count: usize) -> Vec<String> {
    let times = table(cron, tz).next(at(after), count);
    times.iter().map(|time| time.to_string()).collect()
}

#[test]
fn a_time_of_the_day_that_is_missing_fires_where_the_clock_goes_on() {
    // On 2026-03-29 in Berlin, 02:00 to 03:00 is left out: 01:00 UTC is 03:00.
    let found = next("30 2 * * *", "Europe/Berlin", "2026-03-28T12:00:00Z", 3);
    assert_eq!(
        found,
        [
            "2026-03-29T01:00:00.000Z",
            "2026-03-30T00:30:00.000Z",
            "2026-03-31T00:30:00.000Z"
        ]
    );
}

#[test]
fn a_time_of_the_day_that_comes_twice_fires_once() {
    // On 2026-10-25 in Berlin, 02:00 to 03:00 comes twice: at 00:00 UTC and at 01:00 UTC.
    let found = next("30 2 * * *", "Europe/Berlin", "2026-10-24T12:00:00Z", 3);
    assert_eq!(
        found,
        [
            "2026-10-25T00:30:00.000Z",
            "2026-10-26T01:30:00.000Z",
            "2026-10-27T01:30:00.000Z"
        ]
    );
    // Whoever starts to count between the two finds the next day, too.
    let found = next("30 2 * * *", "Europe/Berlin", "2026-10-25T00:45:00Z", 1);
    assert_eq!(found, ["2026-10-26T01:30:00.000Z"]);
}

#[test]
fn what_repeats_goes_by_the_time_that_passes() {
    let found = next("*/30 * * * *", "Europe/Berlin", "2026-10-24T23:59:00Z", 5);
    assert_eq!(
        found,
        [
            "2026-10-25T00:00:00.000Z",
            "2026-10-25T00:30:00.000Z",
            "2026-10-25T01:00:00.000Z",
            "2026-10-25T01:30:00.000Z",
            "2026-10-25T02:00:00.000Z"
        ]
    );
}

#[test]
fn every_time_is_after_the_one_before_whatever_the_clocks_do() {
    for tz in ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "UTC"] {
        for cron in ["*/20 * * * *", "30 1,2,3 * * *", "15 * * * *", "0 0 2 * * *"] {
            let table = table(cron, tz);
            for start in ["2026-03-07T00:00:00Z", "2026-10-03T00:00:00Z", "2026-10-31T00:00:00Z"] {
                let times = table.next(at(start), 400);
                assert!(times.is_sorted_by(|one, next| one < next), "{cron} {tz}");
                // Counted from any other moment, they are the same.
                for pair in times.windows(2) {
                    let between = pair[1].minus(Duration::from_millis(1)).max(pair[0]);
                    assert_eq!(table.after(between), Some(pair[1]), "{cron} {tz} after {between}");
                }
            }
        }
    }
}

#[test]
fn the_last_time_is_the_one_before_the_next() {
    let table = table("0 5 * * *", "UTC");
    assert_eq!(table.by(at("2026-11-26T05:00:00Z")), Some(at("2026-11-26T05:00:00Z")));
    assert_eq!(
        table.by(at("2026-11-26T04:59:59.999Z")),
        Some(at("2026-11-25T05:00:00Z"))
    );
    assert_eq!(
        table.by(at("2026-11-26T05:00:00.500Z")),
        Some(at("2026-11-26T05:00:00Z"))
    );
}

#[test]
fn an_interval_counts_from_the_creation_both_ways() {
    let schedule = Schedule {
        every_ms: Some(1500),
        created_at: at("2026-11-26T05:00:00.100Z"),
        until: Some(at("2026-11-26T05:00:05Z")),
        ..schedule()
    };
    let table = Timetable::of(&schedule).expect("a timetable");
    let found = table.next(at("2026-11-26T04:59:58Z"), 9);
    let found: Vec<String> = found.iter().map(|time| time.to_string()).collect();
    assert_eq!(
        found,
        [
            "2026-11-26T04:59:58.600Z",
            "2026-11-26T05:00:00.100Z",
            "2026-11-26T05:00:01.600Z",
            "2026-11-26T05:00:03.100Z",
            "2026-11-26T05:00:04.600Z"
        ],
        "and none after its end"
    );
    assert_eq!(
        table.by(at("2027-01-01T00:00:00Z")),
        Some(at("2026-11-26T05:00:04.600Z"))
    );
}

#[test]
fn what_never_fires_has_no_next_time() {
    assert_eq!(
        table("0 0 30 2 *", "Europe/Berlin").after(at("2026-11-26T05:00:00Z")),
        None
    );
    assert_eq!(
        table("0 0 31 4,6,9,11 *", "UTC").after(at("2026-11-26T05:00:00Z")),
        None
    );
    // The leap day comes.
    let leap = next("0 0 29 2 *", "UTC", "2026-11-26T05:00:00Z", 1);
    assert_eq!(leap, ["2028-02-29T00:00:00.000Z"]);
}
