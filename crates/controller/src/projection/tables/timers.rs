//! What is due, and when: the index of everything in the ledger that a time will move.
//!
//! A wait ends its time after the storing of the record that opened it, whoever wrote that; so a row keeps its time while
//! records are added behind. While an intent is parked or at work, its waits stay here unarmed.

use std::collections::{HashMap, HashSet};

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

/// A place in the order of what is due.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DuePlace {
    due: i64,
    intent: String,
}

/// A part of what is due.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct DuePage {
    /// The intents of which something is due, the longest overdue first.
    pub(crate) dues: Vec<Due>,
    /// Where the next part begins; `None` when this is the last one.
    pub(crate) next: Option<DuePlace>,
}

/// In the order of the index, from a place on.
const DUE: &str = "SELECT intent, seq, due FROM timers WHERE armed = 1 AND due <= ?1 AND (due, intent) > (?2, ?3)
    ORDER BY due, intent LIMIT ?4";

/// The intents of which something is due, the longest overdue first, behind a place. It reads at most `limit` rows of what is
/// due, and none of what is not.
pub(in crate::projection) fn due(
    db: &Connection,
    now: Timestamp,
    after: Option<&DuePlace>,
    limit: u32,
) -> rusqlite::Result<DuePage> {
    let mut ask = db.prepare_cached(DUE)?;
    let mut waits =
        db.prepare_cached("SELECT what, opened FROM timers WHERE intent = ?1 AND armed = 1 AND due <= ?2")?;
    let (mut dues, mut named) = (Vec::new(), HashSet::new());
    let (mut read, mut last) = (0, None);
    let (from, behind) = after.map_or((i64::MIN, ""), |place| (place.due, place.intent.as_str()));
    let mut rows = ask.query(params![now.unix_millis(), from, behind, limit])?;
    while let Some(row) = rows.next()? {
        read += 1;
        let intent: IntentId = parsed(row, 0)?;
        last = Some((row.get(2)?, intent.to_string()));
        if !named.insert(intent.clone()) {
            continue;
        }
        let of = waits.query_map(params![intent.as_str(), now.unix_millis()], |row| {
            Ok((row.get::<_, String>(0)?, row.get::<_, u64>(1)?))
        })?;
        let waits = of.collect::<Result<_, _>>()?;
        let seen = row.get(1)?;
        dues.push(Due { intent, seen, waits });
    }
    let next = last.filter(|_| read == limit);
    let next = next.map(|(due, intent)| DuePlace { due, intent });
    Ok(DuePage { dues, next })
}

/// The open intents whose deadline has passed.
pub(in crate::projection) fn late(db: &Connection, now: Timestamp) -> rusqlite::Result<Vec<IntentId>> {
    let mut ask = db.prepare_cached("SELECT intent FROM timers WHERE armed = 1 AND due <= ?1 AND what = ?2")?;
    let rows = ask.query_map(params![now.unix_millis(), DEADLINE], |row| parsed(row, 0))?;
    rows.collect()
}

/// Disarms what was due of intents at a time: nothing came of it, and only a new record can change that. One that came
/// meanwhile has armed it again.
pub(in crate::projection) fn disarm(db: &Connection, dues: &[(Due, Timestamp)]) -> rusqlite::Result<()> {
    let mut disarm =
        db.prepare_cached("UPDATE timers SET armed = 0 WHERE intent = ?1 AND seq = ?2 AND armed = 1 AND due <= ?3")?;
    for (due, at) in dues {
        disarm.execute(params![due.intent.as_str(), due.seen, at.unix_millis()])?;
    }
    Ok(())
}

fn millis(after: u64) -> i64 {
    i64::try_from(after).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use rusqlite::StatementStatus;

    use super::*;

    /// What waits for a day, beside what is due.
    const WAITING: u32 = 5_000;
    const DUE_INTENTS: u32 = 250;
    const NOW: i64 = 1_000_000;

    fn index() -> Connection {
        let db = Connection::open_in_memory().expect("a database");
        db.execute_batch(TABLES).expect("tables");
        let timer = |what: &str, due| Timer {
            what: what.to_owned(),
            opened: 1,
            due,
            armed: true,
        };
        for number in 0..WAITING {
            let later = NOW + 1 + i64::from(number);
            write(&db, &format!("waits-{number}"), 1, &[timer("paid", later)]).expect("written");
        }
        for number in 0..DUE_INTENTS {
            // Some are due at the same time, and of some two things are due.
            let due = NOW - i64::from(number / 7);
            let mut timers = vec![timer("paid", due)];
            timers.extend((number % 3 == 0).then(|| timer("signed", due - 40)));
            write(&db, &format!("due-{number}"), 1, &timers).expect("written");
        }
        db
    }

    /// Fails if a look reads the rows of what waits, sorts, or reads more than it was asked for.
    #[test]
    fn a_look_reads_what_is_due_and_nothing_that_waits() {
        let db = index();
        let mut ask = db.prepare(DUE).expect("a statement");
        let mut count = |limit: u32| {
            let rows = ask.query_map(params![NOW, i64::MIN, "", limit], |row| row.get::<_, String>(0));
            let rows = rows.expect("rows").count();
            let statuses = [StatementStatus::FullscanStep, StatementStatus::Sort];
            assert_eq!(statuses.map(|status| ask.reset_status(status)), [0, 0]);
            (rows, ask.reset_status(StatementStatus::VmStep))
        };
        let (rows, steps) = count(100);
        assert_eq!(rows, 100);
        let (all, of_all) = count(u32::MAX);
        assert_eq!(all, 334, "each that is due, and none that waits");
        assert!(steps < of_all, "{steps} steps for 100 rows, {of_all} for all");
        assert!(of_all < 30 * 334, "{of_all} steps of the database");
    }

    #[test]
    fn pages_name_each_due_intent_in_the_order_of_its_time() {
        let db = index();
        let now = Timestamp::from_unix_millis(NOW);
        let (mut place, mut found, mut pages) = (None, Vec::new(), 0);
        loop {
            let page = due(&db, now, place.as_ref(), 60).expect("a page");
            assert!(page.dues.len() <= 60);
            found.extend(page.dues);
            pages += 1;
            place = page.next;
            if place.is_none() {
                break;
            }
        }
        assert_eq!(pages, 6, "334 rows, 60 at a time");
        let named: HashSet<&str> = found.iter().map(|due| due.intent.as_str()).collect();
        assert_eq!(named.len(), 250);
        let both = found.iter().filter(|due| due.waits.len() == 2);
        assert!(both.count() >= 84, "of every third two things are due");
        let first = &found[0];
        assert_eq!(first.intent.as_str(), "due-246", "what was due first comes first");

        disarm(&db, &[(first.clone(), now)]).expect("disarmed");
        let again = due(&db, now, None, 1).expect("a page");
        assert_ne!(again.dues[0].intent, first.intent);
    }
}
