//! Who waits for a turn, and who has it: by the key of each agent, and by its submitters.
//!
//! A row is there as long as the intent is open and at the hop that waits, or has waited. What stands in the order of a key
//! before a place is complete as soon as the record that gave the place is applied (see [`baton_envelope::InOrder`]).

use baton_envelope::{AgentName, Snapshot, Status, Timestamp};
use baton_jetstream::Waiter;
use rusqlite::{Connection, OptionalExtension as _, params};

use crate::projection::columns::parsed;

pub(in crate::projection) const TABLES: &str = "
    CREATE TABLE turns (intent TEXT PRIMARY KEY, agent TEXT NOT NULL, key TEXT, submitter TEXT, intake INTEGER,
        place INTEGER NOT NULL, waits INTEGER NOT NULL, queued INTEGER NOT NULL) WITHOUT ROWID;
    CREATE INDEX turns_of_key ON turns (agent, key, place) WHERE key IS NOT NULL AND intake IS NULL;
    CREATE INDEX turns_unplaced ON turns (agent, intake) WHERE intake IS NOT NULL;
    CREATE INDEX turns_of_submitter ON turns (agent, submitter, place) WHERE waits = 1 AND submitter IS NOT NULL;
    CREATE TABLE turn_times (agent TEXT NOT NULL, key TEXT NOT NULL, at INTEGER NOT NULL,
        PRIMARY KEY (agent, key)) WITHOUT ROWID;
    CREATE INDEX turn_times_at ON turn_times (at);
    CREATE INDEX turns_queued ON turns (agent, submitter) WHERE queued = 1 AND submitter IS NOT NULL;
";

/// How many raw intents of an agent get their place in one round.
const MOST_PLACED: u32 = 2_000;

/// How long a turn can matter to the next of its key, in milliseconds: a rate is one in an hour at least.
const MATTERS_FOR: i64 = 3_600_000;

/// Those whose turns depend on each other: of one key at an agent, or without a key all submitters of an agent.
pub(crate) type Lane = (AgentName, Option<String>);

/// A row.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::projection) struct Row {
    lane: Lane,
    submitter: Option<String>,
    intake: Option<u64>,
    place: u64,
    waits: bool,
    queued: bool,
}

/// One of the first of a key.
#[derive(Debug, Clone)]
pub(crate) struct Front {
    /// The intent.
    pub(crate) waiter: Waiter,
    /// Whether it waits for its turn; else it has it, or stands still before it.
    pub(crate) waits: bool,
}

/// A submitter of whom something waits.
#[derive(Debug, Clone)]
pub(crate) struct Submitter {
    /// Its name.
    pub(crate) name: String,
    /// How many of its intents are in the queues.
    pub(crate) queued: u64,
    /// Its first intents that wait.
    pub(crate) first: Vec<Waiter>,
}

/// What an intent has to do with turns, by its last record at `seq`.
pub(in crate::projection) fn of(seq: u64, snapshot: &Snapshot) -> Option<Row> {
    let order = snapshot.in_order().filter(|_| !snapshot.status.is_terminal())?;
    let is_begun = order.given.is_some();
    Some(Row {
        lane: (snapshot.agent.clone()?, order.key.clone()),
        submitter: order.submitter.clone(),
        intake: order.intake,
        place: order.place.unwrap_or(seq),
        waits: snapshot.awaits_turn(),
        // What waits for its next attempt would keep the others out for as long.
        queued: is_begun && snapshot.status == Status::Pending && snapshot.wake_at.is_none(),
    })
}

/// Replaces the row of an intent; gives the lanes that it was and is in.
pub(in crate::projection) fn write(db: &Connection, intent: &str, row: Option<&Row>) -> rusqlite::Result<Vec<Lane>> {
    let mut lanes = forget(db, intent)?;
    let Some(row) = row else { return Ok(lanes) };
    let (agent, key) = &row.lane;
    db.prepare_cached(
        "INSERT INTO turns (intent, agent, key, submitter, intake, place, waits, queued) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
    )?
    .execute(params![
        intent,
        agent.as_str(),
        key,
        row.submitter,
        row.intake,
        row.place,
        row.waits,
        row.queued
    ])?;
    if !lanes.contains(&row.lane) {
        lanes.push(row.lane.clone());
    }
    Ok(lanes)
}

/// Takes out the row of an intent; gives the lane that it was in.
pub(in crate::projection) fn forget(db: &Connection, intent: &str) -> rusqlite::Result<Vec<Lane>> {
    let mut query = db.prepare_cached("SELECT agent, key FROM turns WHERE intent = ?1")?;
    let rows = query.query_map([intent], |row| Ok((parsed(row, 0)?, row.get(1)?)))?;
    let lanes: Vec<Lane> = rows.collect::<Result<_, _>>()?;
    if !lanes.is_empty() {
        db.prepare_cached("DELETE FROM turns WHERE intent = ?1")?
            .execute([intent])?;
    }
    Ok(lanes)
}

/// Notes when a key of an agent had a turn, where the agent limits how often: whoever had it may be gone when the next comes.
pub(in crate::projection) fn note_time(db: &Connection, snapshot: &Snapshot) -> rusqlite::Result<()> {
    let order = snapshot
        .in_order()
        .and_then(|order| Some((order.key.as_ref()?, order.given_at?)));
    let (Some(agent), Some((key, at))) = (&snapshot.agent, order) else {
        return Ok(());
    };
    db.prepare_cached(
        "INSERT INTO turn_times (agent, key, at) VALUES (?1, ?2, ?3)
         ON CONFLICT (agent, key) DO UPDATE SET at = max(at, excluded.at)",
    )?
    .execute(params![agent.as_str(), key, at.unix_millis()])?;
    db.prepare_cached("DELETE FROM turn_times WHERE at < ?1")?
        .execute([at.unix_millis() - MATTERS_FOR])?;
    Ok(())
}

/// When a key of an agent had its last turn, if that matters still.
pub(in crate::projection) fn last_time(
    db: &Connection,
    (agent, key): (&AgentName, &str),
) -> rusqlite::Result<Option<Timestamp>> {
    let mut query = db.prepare_cached("SELECT at FROM turn_times WHERE agent = ?1 AND key = ?2")?;
    let at = query
        .query_row(params![agent.as_str(), key], |row| row.get(0))
        .optional()?;
    Ok(at.map(Timestamp::from_unix_millis))
}

/// Every lane in which somebody is.
pub(in crate::projection) fn lanes(db: &Connection) -> rusqlite::Result<Vec<Lane>> {
    let mut query = db.prepare_cached("SELECT DISTINCT agent, key FROM turns")?;
    let rows = query.query_map([], |row| Ok((parsed(row, 0)?, row.get(1)?)))?;
    rows.collect()
}

/// The first of a key that are open, in their order.
pub(in crate::projection) fn fronts(
    db: &Connection,
    (agent, key): (&AgentName, &str),
    most: u32,
) -> rusqlite::Result<Vec<Front>> {
    let mut query = db.prepare_cached(
        "SELECT intent, place, waits FROM turns WHERE agent = ?1 AND key = ?2 AND intake IS NULL ORDER BY place LIMIT ?3",
    )?;
    let rows = query.query_map(params![agent.as_str(), key, most], |row| {
        let (intent, place) = (parsed(row, 0)?, row.get(1)?);
        Ok(Front {
            waiter: Waiter { intent, place },
            waits: row.get(2)?,
        })
    })?;
    rows.collect()
}

/// The submitters of an agent of whom something waits, with the first of each.
pub(in crate::projection) fn submitters(
    db: &Connection,
    agent: &AgentName,
    most: u32,
) -> rusqlite::Result<Vec<Submitter>> {
    // One look at the index for each submitter, however many intents it has.
    let mut names = db.prepare_cached(
        "WITH RECURSIVE of (name) AS (
             SELECT min(submitter) FROM turns WHERE agent = ?1 AND waits = 1 AND submitter IS NOT NULL
             UNION ALL
             SELECT (SELECT min(submitter) FROM turns
                     WHERE agent = ?1 AND waits = 1 AND submitter IS NOT NULL AND submitter > of.name)
             FROM of WHERE of.name IS NOT NULL)
         SELECT name FROM of WHERE name IS NOT NULL",
    )?;
    let mut first = db.prepare_cached(
        "SELECT intent, place FROM turns WHERE agent = ?1 AND submitter = ?2 AND waits = 1 ORDER BY place LIMIT ?3",
    )?;
    let mut queued =
        db.prepare_cached("SELECT count(*) FROM turns WHERE agent = ?1 AND submitter = ?2 AND queued = 1")?;
    let names = names.query_map([agent.as_str()], |row| row.get(0))?;
    let names: Vec<String> = names.collect::<Result<_, _>>()?;
    let of = |name: String| {
        let rows = first.query_map(params![agent.as_str(), name, most], |row| {
            let (intent, place) = (parsed(row, 0)?, row.get(1)?);
            Ok(Waiter { intent, place })
        })?;
        let first = rows.collect::<Result<_, _>>()?;
        let queued = queued.query_row(params![agent.as_str(), name], |row| row.get(0))?;
        Ok(Submitter { name, queued, first })
    };
    names.into_iter().map(of).collect()
}

/// How many intents of an agent are in its queues that have waited for their turn among the submitters.
pub(in crate::projection) fn queued(db: &Connection, agent: &AgentName) -> rusqlite::Result<u64> {
    db.prepare_cached("SELECT count(*) FROM turns WHERE agent = ?1 AND submitter IS NOT NULL AND queued = 1")?
        .query_row([agent.as_str()], |row| row.get(0))
}

/// The agents that have raw intents without a place.
pub(in crate::projection) fn with_unplaced(db: &Connection) -> rusqlite::Result<Vec<AgentName>> {
    let mut query = db.prepare_cached("SELECT DISTINCT agent FROM turns WHERE intake IS NOT NULL")?;
    let rows = query.query_map([], |row| parsed(row, 0))?;
    rows.collect()
}

/// The raw intents of an agent without a place that came into the intake before a sequence, in the order in which they came,
/// with their keys.
pub(in crate::projection) fn unplaced(
    db: &Connection,
    agent: &AgentName,
    before: u64,
) -> rusqlite::Result<Vec<(String, Waiter)>> {
    let mut query = db.prepare_cached(
        "SELECT key, intent, intake FROM turns WHERE agent = ?1 AND intake IS NOT NULL AND intake < ?2 AND key IS NOT NULL
         ORDER BY intake LIMIT ?3",
    )?;
    let before = i64::try_from(before).unwrap_or(i64::MAX);
    let rows = query.query_map(params![agent.as_str(), before, MOST_PLACED], |row| {
        let (intent, place) = (parsed(row, 1)?, row.get(2)?);
        Ok((row.get(0)?, Waiter { intent, place }))
    })?;
    rows.collect()
}

#[cfg(test)]
mod tests {
    use baton_envelope::{Envelope, Json, act};

    use super::*;

    fn shop() -> AgentName {
        "shop".parse().expect("name")
    }

    fn row(key: Option<&str>, submitter: Option<&str>, place: u64) -> Row {
        Row {
            lane: (shop(), key.map(str::to_owned)),
            submitter: submitter.map(str::to_owned),
            intake: None,
            place,
            waits: true,
            queued: false,
        }
    }

    fn tables(rows: &[(&str, Row)]) -> Connection {
        let db = Connection::open_in_memory().expect("a database");
        db.execute_batch(TABLES).expect("tables");
        for (intent, row) in rows {
            let touched = write(&db, intent, Some(row)).expect("written");
            assert_eq!(touched, std::slice::from_ref(&row.lane));
        }
        db
    }

    fn names<'a>(waiters: impl IntoIterator<Item = &'a Waiter>) -> Vec<&'a str> {
        waiters.into_iter().map(|waiter| waiter.intent.as_str()).collect()
    }

    #[test]
    fn the_first_of_a_key_are_in_the_order_of_their_places() {
        let mut unplaced = row(Some("k"), None, 5);
        unplaced.intake = Some(3);
        let db = tables(&[
            ("late", row(Some("k"), None, 30)),
            ("early", row(Some("k"), None, 10)),
            ("other", row(Some("j"), None, 1)),
            ("raw", unplaced),
        ]);
        let first = |most| fronts(&db, (&shop(), "k"), most).expect("read");
        assert_eq!(names(first(5).iter().map(|front| &front.waiter)), ["early", "late"]);
        assert_eq!(first(1).len(), 1);
        let has_it = Row {
            waits: false,
            ..row(Some("k"), None, 10)
        };
        write(&db, "early", Some(&has_it)).expect("written");
        assert!(!first(1)[0].waits, "it keeps its place while it has its turn");
        assert_eq!(
            forget(&db, "early").expect("forgotten"),
            [(shop(), Some("k".to_owned()))]
        );
        assert_eq!(forget(&db, "early").expect("forgotten"), []);
        assert_eq!(names(first(1).iter().map(|front| &front.waiter)), ["late"]);
        // What came into the intake before, if it has no place.
        let raw = |before| unplaced_of(&db, before);
        assert_eq!((raw(3), raw(4)), (vec![], vec!["raw".to_owned()]));
        assert_eq!(with_unplaced(&db).expect("read"), [shop()]);
        assert_eq!(lanes(&db).expect("read").len(), 2);
    }

    #[test]
    fn the_last_turn_of_a_key_is_known_for_an_hour() {
        let db = tables(&[]);
        let had = |key: &str, at: i64| {
            let text = format!(
                r#"{{"hop":1,"key":"{key}","given":1,"given_at":"{}"}}"#,
                Timestamp::from_unix_millis(at)
            );
            let envelope_id = "01890a5d-ac96-774b-bcce-b302099a8057".parse().expect("an id");
            let envelope = Envelope::first(envelope_id, "i".parse().expect("an id"), shop(), Json::null());
            let mut snapshot =
                act::submit(Timestamp::default(), "1.0.0".parse().expect("a version"), envelope).snapshot;
            snapshot.order = Some(serde_json::from_str(&text).expect("a turn"));
            note_time(&db, &snapshot).expect("noted");
        };
        let last = |key| {
            last_time(&db, (&shop(), key))
                .expect("read")
                .map(Timestamp::unix_millis)
        };
        had("k", 20_000);
        // Records come again.
        had("k", 10_000);
        assert_eq!((last("k"), last("j")), (Some(20_000), None));
        had("j", 20_000 + MATTERS_FOR);
        assert_eq!(last("k"), Some(20_000));
        had("j", 20_001 + MATTERS_FOR);
        assert_eq!((last("k"), last("j")), (None, Some(20_001 + MATTERS_FOR)));
    }

    fn unplaced_of(db: &Connection, before: u64) -> Vec<String> {
        let found = unplaced(db, &shop(), before).expect("read");
        found.iter().map(|(_, waiter)| waiter.intent.to_string()).collect()
    }

    #[test]
    fn each_submitter_has_its_own_line() {
        let queued = Row {
            waits: false,
            queued: true,
            ..row(None, Some("few"), 3)
        };
        let db = tables(&[
            ("b2", row(None, Some("many"), 20)),
            ("b1", row(None, Some("many"), 10)),
            ("b3", row(None, Some("many"), 30)),
            ("a1", row(None, Some("few"), 40)),
            ("a0", queued),
            ("keyed", row(Some("k"), None, 1)),
        ]);
        let found = submitters(&db, &shop(), 2).expect("read");
        let lines: Vec<_> = found
            .iter()
            .map(|one| (one.name.as_str(), one.queued, names(&one.first)))
            .collect();
        assert_eq!(lines, [("few", 1, vec!["a1"]), ("many", 0, vec!["b1", "b2"])]);
        assert_eq!(super::queued(&db, &shop()).expect("read"), 1);
    }
}
