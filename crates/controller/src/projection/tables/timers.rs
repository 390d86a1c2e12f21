//! What is due, and when: the index of everything in the ledger that a time will move.
//!
//! A wait ends its time after the storing of the record that opened it, whoever wrote that; so a row keeps its time while
//! records are added behind. While an intent is parked or at work, its waits stay here unarmed.

use std::collections::HashMap;

use baton_envelope::people::{Ballot, MOST_REMINDERS};
use baton_envelope::{IntentId, RecordSummary, Snapshot, Status, Timestamp, is_long_retry, open_waits};
use baton_jetstream::{Due, ESCALATE, REMIND, SINCE};
use rusqlite::{Connection, params};

use crate::projection::columns::parsed;

pub(in crate::projection) const TABLES: &str = "
    CREATE TABLE timers (intent TEXT NOT NULL, what TEXT NOT NULL, opened INTEGER NOT NULL, due INTEGER NOT NULL,
        armed INTEGER NOT NULL, seq INTEGER NOT NULL, PRIMARY KEY (intent, what)) WITHOUT ROWID;
    CREATE INDEX timers_due ON timers (due, intent) WHERE armed = 1;
";

/// What is not a wait. Names of waits have no colon.
const DEADLINE: &str = ":deadline";
const WAKE: &str = ":wake";
/// The next attempt of work that failed.
pub(in crate::projection) const RETRY: &str = ":retry";
const UNREAD: &str = ":unread";
const BACK: &str = ":back";

/// When each wait of an intent is over, by its name and the sequence of the record that opened it.
pub(in crate::projection) type Opened = HashMap<(String, u64), i64>;

/// One row.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::projection) struct Timer {
    what: String,
    opened: u64,
    due: i64,
    armed: bool,
}

/// Notes when the waits are over that this record has opened.
pub(in crate::projection) fn note(opened: &mut Opened, seq: u64, stored: i64, snapshot: &Snapshot) {
    for wait in open_waits(snapshot).filter(|wait| wait.seq.is_none()) {
        if let Some(after) = wait.after_ms {
            opened.insert((wait.name.clone(), seq), stored.saturating_add(millis(after)));
        }
        if wait.ballot.as_ref().is_some_and(has_more) {
            opened.insert((format!("{}{SINCE}", wait.name), seq), stored);
        }
    }
}

/// Whether something is due of an approval before its end.
fn has_more(ballot: &Ballot) -> bool {
    ballot.remind_ms.is_some() || ballot.escalate_ms.is_some()
}

/// When to remind people of an open approval, and when to ask others as well. `since` is when it was opened.
fn of_people(since: i64, ballot: &Ballot) -> Vec<(&'static str, i64)> {
    if ballot.decided.is_some() {
        return Vec::new();
    }
    let number = ballot.reminded.saturating_add(1);
    let remind = ballot.remind_ms.filter(|_| number <= MOST_REMINDERS);
    let remind = remind.map(|every| every.saturating_mul(u64::from(number)));
    let dues = [(ESCALATE, ballot.escalate_ms), (REMIND, remind)];
    let due = |(what, after): (_, Option<u64>)| Some((what, since.saturating_add(millis(after?))));
    dues.into_iter().filter_map(due).collect()
}

/// Everything that is due for an intent some time, by its last record. `known` has the waits that are indexed.
pub(in crate::projection) fn of(
    seq: u64,
    stored: i64,
    summary: &Moment,
    snapshot: &Snapshot,
    known: &Opened,
) -> Vec<Timer> {
    let mut timers = Vec::new();
    let mut add = |what: &str, opened, due, armed| {
        let what = what.to_owned();
        timers.push(Timer {
            what,
            opened,
            due,
            armed,
        });
    };
    let status = &snapshot.status;
    if status.is_terminal() {
        if !snapshot.signals.is_empty() {
            add(UNREAD, seq, stored, true);
        }
        return timers;
    }
    let is_waiting = matches!(status, Status::Waiting { .. });
    let mut has_waits = false;
    for wait in open_waits(snapshot) {
        has_waits = true;
        let opened = wait.seq.unwrap_or(seq);
        if let Some(ballot) = &wait.ballot {
            let key = format!("{}{SINCE}", wait.name);
            // As below, for a ledger whose beginning is gone.
            let since = known.get(&(key.clone(), opened)).copied().unwrap_or(stored);
            let dues = of_people(since, ballot);
            if !dues.is_empty() {
                add(&key, opened, since, false);
            }
            for (what, due) in dues {
                add(&format!("{}{what}", wait.name), opened, due, is_waiting);
            }
        }
        let Some(after) = wait.after_ms else { continue };
        let due = known.get(&(wait.name.clone(), opened)).copied();
        // A ledger whose beginning is gone: not before the last record.
        let due = due.unwrap_or_else(|| stored.saturating_add(millis(after)));
        add(&wait.name, opened, due, is_waiting);
    }
    if let Some(deadline) = snapshot.deadline {
        let armed = !matches!(
            status,
            Status::Parked { .. } | Status::Compensating | Status::Unknown { .. }
        );
        add(DEADLINE, seq, deadline.unix_millis(), armed);
    }
    if let Some(back_at) = snapshot.back_at() {
        add(BACK, seq, back_at.unix_millis(), true);
    }
    if let Some(wake_at) = snapshot.wake_at {
        let delay = wake_at.since(summary.at);
        let delayed = stored.saturating_add(i64::try_from(delay.as_millis()).unwrap_or(i64::MAX));
        match status {
            Status::Waiting { .. } if !has_waits => add(WAKE, seq, wake_at.unix_millis(), true),
            Status::Pending if is_long_retry(snapshot, summary.at) => add(RETRY, seq, delayed, true),
            Status::Pending
            | Status::Accepted
            | Status::InProgress
            | Status::Waiting { .. }
            | Status::Parked { .. }
            | Status::Compensating
            | Status::Completed
            | Status::Rejected { .. }
            | Status::Failed { .. }
            | Status::Cancelled
            | Status::TimedOut
            | Status::Unknown { .. } => {}
        }
    }
    timers
}

/// What a record says of its own time.
#[derive(Debug, Clone, Copy)]
pub(in crate::projection) struct Moment {
    /// When it was written, by its writer's clock.
    pub(in crate::projection) at: Timestamp,
}

impl Moment {
    pub(in crate::projection) fn of(summary: &RecordSummary) -> Self {
        Self { at: summary.at }
    }
}

/// When the indexed waits of an intent are over; `None` when nothing of it is indexed.
pub(in crate::projection) fn read(db: &Connection, intent: &str) -> rusqlite::Result<Option<Opened>> {
    let mut query = db.prepare_cached("SELECT what, opened, due FROM timers WHERE intent = ?1")?;
    let rows = query.query_map([intent], |row| Ok(((row.get(0)?, row.get(1)?), row.get(2)?)))?;
    let found: Opened = rows.collect::<Result<_, _>>()?;
    Ok((!found.is_empty()).then_some(found))
}

/// Replaces the rows of an intent.
pub(in crate::projection) fn write(db: &Connection, intent: &str, seq: u64, timers: &[Timer]) -> rusqlite::Result<()> {
    forget(db, intent)?;
    let mut insert = db
        .prepare_cached("INSERT INTO timers (intent, what, opened, due, armed, seq) VALUES (?1, ?2, ?3, ?4, ?5, ?6)")?;
    for Timer {
        what,
        opened,
        due,
        armed,
    } in timers
    {
        insert.execute(params![intent, what, opened, due, armed, seq])?;
    }
    Ok(())
}

pub(in crate::projection) fn forget(db: &Connection, intent: &str) -> rusqlite::Result<()> {
    db.prepare_cached("DELETE FROM timers WHERE intent = ?1")?
        .execute([intent])
        .map(drop)
}

/// The intents of which something is due, the longest overdue first.
pub(in crate::projection) fn due(db: &Connection, now: Timestamp, limit: u32) -> rusqlite::Result<Vec<Due>> {
    let mut ask =
        db.prepare_cached("SELECT intent, seq FROM timers WHERE armed = 1 AND due <= ?1 ORDER BY due LIMIT ?2")?;
    let mut waits =
        db.prepare_cached("SELECT what, opened FROM timers WHERE intent = ?1 AND armed = 1 AND due <= ?2")?;
    let mut found: Vec<Due> = Vec::new();
    let mut rows = ask.query(params![now.unix_millis(), limit])?;
    while let Some(row) = rows.next()? {
        let intent: IntentId = parsed(row, 0)?;
        if found.iter().rev().take(8).any(|due| due.intent == intent) {
            continue;
        }
        let of = waits.query_map(params![intent.as_str(), now.unix_millis()], |row| {
            Ok((row.get::<_, String>(0)?, row.get::<_, u64>(1)?))
        })?;
        let waits = of.collect::<Result<_, _>>()?;
        let seen = row.get(1)?;
        found.push(Due { intent, seen, waits });
    }
    Ok(found)
}

/// The open intents whose deadline has passed.
pub(in crate::projection) fn late(db: &Connection, now: Timestamp) -> rusqlite::Result<Vec<IntentId>> {
    let mut ask = db.prepare_cached("SELECT intent FROM timers WHERE armed = 1 AND due <= ?1 AND what = ?2")?;
    let rows = ask.query_map(params![now.unix_millis(), DEADLINE], |row| parsed(row, 0))?;
    rows.collect()
}

/// Disarms what was due of intents: nothing came of it, and only a new record can change that. One that came meanwhile has
/// armed it again.
pub(in crate::projection) fn disarm(db: &Connection, dues: &[Due], now: Timestamp) -> rusqlite::Result<()> {
    let mut disarm =
        db.prepare_cached("UPDATE timers SET armed = 0 WHERE intent = ?1 AND seq = ?2 AND armed = 1 AND due <= ?3")?;
    for due in dues {
        disarm.execute(params![due.intent.as_str(), due.seen, now.unix_millis()])?;
    }
    Ok(())
}

fn millis(after: u64) -> i64 {
    i64::try_from(after).unwrap_or(i64::MAX)
}
