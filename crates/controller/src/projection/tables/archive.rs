//! The index of the archive, and the closed intents still in the ledger: which to archive, which to purge.
//!
//! The index keeps only a fingerprint of an archived id, so that each of millions takes about 100 bytes. Before acting
//! on what it finds, compare the id in the bundle.

use baton_envelope::{AgentName, IntentId, Snapshot, Timestamp};
use baton_jetstream::{ArchiveBatch, ArchiveNote, LedgerMark};
use rusqlite::{Connection, OptionalExtension as _, Row, params, params_from_iter};

use super::children;
use super::counts::Changes;
use super::turns;
use crate::projection::columns::parsed;

/// The tables.
pub(in crate::projection) const TABLES: &str = "
    CREATE TABLE archive_meta (one INTEGER PRIMARY KEY CHECK (one = 1),
        created TEXT NOT NULL, position INTEGER NOT NULL, stored INTEGER NOT NULL);
    INSERT INTO archive_meta VALUES (1, '', 0, 0);
    CREATE TABLE archived (seq INTEGER PRIMARY KEY, fingerprint INTEGER NOT NULL,
        submitted INTEGER NOT NULL, at INTEGER NOT NULL, generated INTEGER NOT NULL, status TEXT NOT NULL, agent TEXT);
    CREATE INDEX archived_of ON archived (fingerprint, seq);
    CREATE TABLE closed (intent TEXT PRIMARY KEY, seq INTEGER NOT NULL, submitted INTEGER NOT NULL,
        due INTEGER NOT NULL, archived INTEGER NOT NULL, at INTEGER NOT NULL, generated INTEGER NOT NULL,
        problem TEXT, incomplete INTEGER NOT NULL DEFAULT 0) WITHOUT ROWID;
    CREATE INDEX closed_due ON closed (due) WHERE archived = 0;
    CREATE INDEX closed_done ON closed (generated, at) WHERE archived > 0;
";

/// A closed intent whose records are still in the ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Closed {
    /// The intent.
    pub(crate) intent: IntentId,
    /// The sequence of its terminal record.
    pub(crate) seq: u64,
}

/// What was done with a closed intent.
#[derive(Debug, Clone)]
pub(crate) enum Handled {
    /// It is in the archive, and its purge is done. Of a generated id the ledger keeps nothing.
    Archived {
        /// The intent.
        intent: IntentId,
        /// The archive sequence of its bundle.
        archive_seq: u64,
        /// Whether the ledger has nothing of it any more.
        gone: bool,
    },
    /// The ledger has nothing of it any more.
    Gone(IntentId),
    /// Its time has not come.
    Early {
        /// The intent.
        intent: IntentId,
        /// When it counts as ended.
        due: Timestamp,
    },
    /// Its earlier records are gone, from the ledger and from the archive. What is left stays for a while.
    Incomplete {
        /// The intent.
        intent: IntentId,
        /// Until when.
        until: Timestamp,
    },
    /// It stays in the ledger until the next try.
    Failed {
        /// The intent.
        intent: IntentId,
        /// Why.
        problem: String,
        /// When to try again.
        again: Timestamp,
    },
}

/// One life of an intent, read from the ledger, to compare with the archive.
#[derive(Debug, Clone)]
pub(crate) struct Life {
    pub(crate) intent: IntentId,
    pub(crate) submitted_at: Timestamp,
}

/// How much is archived, and how much waits.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Standing {
    /// The number of bundles in the archive.
    pub(crate) archived: u64,
    /// Closed intents in the ledger that are not in the archive.
    pub(crate) waiting: u64,
    /// Of these, those past their grace time.
    pub(crate) due: u64,
    /// When the oldest of these ended.
    pub(crate) oldest_due: Option<Timestamp>,
    /// Archived intents of which the ledger keeps the terminal record, because the caller chose the id.
    pub(crate) kept: u64,
    /// Closed intents that cannot be archived, and the problem of one of them.
    pub(crate) failing: u64,
    pub(crate) problem: Option<String>,
    /// Closed intents whose earlier records are gone: nobody can archive these.
    pub(crate) incomplete: u64,
}

/// The position of the index, and the archive it refers to.
pub(in crate::projection) fn place(db: &Connection) -> rusqlite::Result<(String, LedgerMark)> {
    db.query_row("SELECT created, position, stored FROM archive_meta", [], |row| {
        let mark = LedgerMark {
            seq: row.get(1)?,
            stored: row.get(2)?,
        };
        Ok((row.get(0)?, mark))
    })
}

/// Discards the index of another archive.
pub(in crate::projection) fn reset(db: &Connection, created: &str) -> rusqlite::Result<()> {
    db.execute("DELETE FROM archived", [])?;
    db.execute("UPDATE closed SET archived = 0, at = 0, generated = 0", [])?;
    db.execute(
        "UPDATE archive_meta SET created = ?1, position = 0, stored = 0",
        [created],
    )?;
    Ok(())
}

/// Applies a batch. Returns what it changes of the counts, and which intents seemed open: the index missed their end, or
/// somebody wrote after it.
pub(in crate::projection) fn apply(
    db: &Connection,
    batch: &ArchiveBatch,
) -> rusqlite::Result<(Changes, Vec<IntentId>)> {
    let (mut changes, mut seemed_open) = (Changes::default(), Vec::new());
    let mut add = db.prepare_cached(
        "INSERT OR REPLACE INTO archived (seq, fingerprint, submitted, at, generated, status, agent)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
    )?;
    let mut again = db.prepare_cached("DELETE FROM archived WHERE fingerprint = ?1 AND submitted = ?2 AND seq < ?3")?;
    let mut done = db.prepare_cached(
        "UPDATE closed SET archived = ?2, at = ?3, generated = ?4 WHERE intent = ?1 AND submitted = ?5",
    )?;
    // A projection that was away while the intent ended and was purged learns of its end only from the archive.
    let mut close = db.prepare_cached("DELETE FROM open_intents WHERE intent = ?1 AND submitted = ?2")?;
    for ArchiveNote {
        archive_seq,
        archived_at,
        intent,
        facts,
    } in &batch.notes
    {
        let (at, id) = (archived_at.unix_millis(), intent.as_str());
        let submitted = facts.submitted_at.unix_millis();
        // A leader that died between archiving and purging may have archived it already.
        again.execute(params![intent.fingerprint(), submitted, archive_seq])?;
        add.execute(params![
            archive_seq,
            intent.fingerprint(),
            submitted,
            at,
            facts.generated,
            facts.status,
            facts.agent.as_ref().map(AgentName::as_str),
        ])?;
        done.execute(params![id, archive_seq, at, facts.generated, submitted])?;
        if close.execute(params![id, submitted])? > 0 {
            changes.release(db, id)?;
            changes.touch(turns::forget(db, id)?);
            seemed_open.push(intent.clone());
        }
    }
    db.prepare_cached("UPDATE archive_meta SET position = ?1, stored = ?2")?
        .execute([batch.through.seq, batch.through.stored])?;
    Ok((changes, seemed_open))
}

/// The newest bundle of the same life of an intent: its sequence, when it was written, and whether the id was
/// generated.
///
/// All records of one life have the same submission time, whether seen before the purge, back after a crash, or written
/// late by a process that was frozen. A reused id has another.
fn same_life(db: &Connection, intent: &IntentId, submitted: i64) -> rusqlite::Result<Option<(u64, i64, bool)>> {
    db.prepare_cached(
        "SELECT seq, at, generated FROM archived WHERE fingerprint = ?1 AND submitted = ?2 ORDER BY seq DESC LIMIT 1",
    )?
    .query_row(params![intent.fingerprint(), submitted], |row| {
        Ok((row.get(0)?, row.get(1)?, row.get(2)?))
    })
    .optional()
}

/// Whether the archive holds this life of an intent. Then it is closed, whatever its last record in the ledger says.
pub(in crate::projection) fn is_closed(
    db: &Connection,
    intent: &IntentId,
    snapshot: &Snapshot,
) -> rusqlite::Result<bool> {
    Ok(same_life(db, intent, snapshot.submitted_at.unix_millis())?.is_some())
}

/// Whether the ledger has the end of an intent.
pub(in crate::projection) fn is_closed_here(db: &Connection, intent: &IntentId) -> rusqlite::Result<bool> {
    db.prepare_cached("SELECT 1 FROM closed WHERE intent = ?1")?
        .exists([intent.as_str()])
}

/// Records a terminal record of the ledger. The grace time counts from about when the server stored it. Otherwise a
/// writer with a wrong clock would have it archived at once, or a day late.
pub(in crate::projection) fn note_closed(
    db: &Connection,
    intent: &IntentId,
    seq: u64,
    snapshot: &Snapshot,
    stored: Option<i64>,
) -> rusqlite::Result<()> {
    let submitted = snapshot.submitted_at.unix_millis();
    let (archived, at, generated) = same_life(db, intent, submitted)?.unwrap_or((0, 0, false));
    db.prepare_cached(
        "INSERT OR REPLACE INTO closed (intent, seq, submitted, due, archived, at, generated, problem)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, NULL)",
    )?
    .execute(params![
        intent.as_str(),
        seq,
        submitted,
        stored.unwrap_or_else(|| snapshot.updated_at.unix_millis()),
        archived,
        at,
        generated
    ])?;
    Ok(())
}

/// Like [`note_closed`], for a record that was found in the ledger and may be known already.
pub(in crate::projection) fn adopt(
    db: &Connection,
    intent: &IntentId,
    seq: u64,
    snapshot: &Snapshot,
) -> rusqlite::Result<()> {
    let known = db
        .prepare_cached("SELECT 1 FROM closed WHERE intent = ?1 AND seq = ?2")?
        .exists(params![intent.as_str(), seq])?;
    if known {
        return Ok(());
    }
    note_closed(db, intent, seq, snapshot, None)
}

/// Closed intents that ended by `until` and are not in the archive, oldest first.
pub(in crate::projection) fn due(db: &Connection, until: Timestamp, limit: usize) -> rusqlite::Result<Vec<Closed>> {
    db.prepare_cached("SELECT intent, seq FROM closed WHERE archived = 0 AND due <= ?1 ORDER BY due LIMIT ?2")?
        .query_map(params![until.unix_millis(), limit], closed)?
        .collect()
}

/// Archived intents of which the ledger should keep nothing: generated ids archived by `generated`, and chosen ids
/// archived by `chosen`.
pub(in crate::projection) fn over(
    db: &Connection,
    generated: Timestamp,
    chosen: Timestamp,
    limit: usize,
) -> rusqlite::Result<Vec<Closed>> {
    db.prepare_cached(
        "SELECT intent, seq FROM closed WHERE archived > 0 AND generated = 1 AND at <= ?1
         UNION ALL SELECT intent, seq FROM closed WHERE archived > 0 AND generated = 0 AND at <= ?2 LIMIT ?3",
    )?
    .query_map(params![generated.unix_millis(), chosen.unix_millis(), limit], closed)?
    .collect()
}

fn closed(row: &Row<'_>) -> rusqlite::Result<Closed> {
    Ok(Closed {
        intent: parsed(row, 0)?,
        seq: row.get(1)?,
    })
}

pub(in crate::projection) fn handled(db: &Connection, done: &[Handled], now: Timestamp) -> rusqlite::Result<()> {
    let mut gone = db.prepare_cached("DELETE FROM closed WHERE intent = ?1")?;
    let mut kept =
        db.prepare_cached("UPDATE closed SET archived = ?2, at = ?3, generated = 0, problem = NULL WHERE intent = ?1")?;
    let mut later = db.prepare_cached("UPDATE closed SET due = ?2 WHERE intent = ?1")?;
    let mut failed = db.prepare_cached("UPDATE closed SET problem = ?2, due = ?3 WHERE intent = ?1")?;
    let mut incomplete =
        db.prepare_cached("UPDATE closed SET problem = NULL, due = ?2, incomplete = 1 WHERE intent = ?1")?;
    for one in done {
        match one {
            Handled::Gone(intent) | Handled::Archived { intent, gone: true, .. } => {
                children::forget(db, intent.as_str())?;
                gone.execute([intent.as_str()])?
            }
            Handled::Archived {
                intent, archive_seq, ..
            } => {
                children::forget(db, intent.as_str())?;
                kept.execute(params![intent.as_str(), archive_seq, now.unix_millis()])?
            }
            Handled::Early { intent, due } => later.execute(params![intent.as_str(), due.unix_millis()])?,
            Handled::Failed { intent, problem, again } => {
                failed.execute(params![intent.as_str(), problem, again.unix_millis()])?
            }
            Handled::Incomplete { intent, until } => {
                incomplete.execute(params![intent.as_str(), until.unix_millis()])?
            }
        };
    }
    Ok(())
}

/// The bundles of an id, newest first.
pub(in crate::projection) fn find(db: &Connection, intent: &IntentId) -> rusqlite::Result<Vec<u64>> {
    db.prepare_cached("SELECT seq FROM archived WHERE fingerprint = ?1 ORDER BY seq DESC LIMIT 16")?
        .query_map([intent.fingerprint()], |row| row.get(0))?
        .collect()
}

/// Whether the ledger has a terminal record of the intent, or the archive a bundle.
pub(in crate::projection) fn is_known(db: &Connection, intent: &IntentId) -> rusqlite::Result<bool> {
    db.prepare_cached(
        "SELECT EXISTS (SELECT 1 FROM closed WHERE intent = ?1) OR EXISTS (SELECT 1 FROM archived WHERE fingerprint = ?2)",
    )?
    .query_row(params![intent.as_str(), intent.fingerprint()], |row| row.get(0))
}

/// Which of these lives the archive holds: their indices, with the archive sequences.
pub(in crate::projection) fn returned(db: &Connection, lives: &[Life]) -> rusqlite::Result<Vec<(usize, u64)>> {
    let mut found = Vec::new();
    for (index, life) in lives.iter().enumerate() {
        if let Some((seq, ..)) = same_life(db, &life.intent, life.submitted_at.unix_millis())? {
            found.push((index, seq));
        }
    }
    Ok(found)
}

/// Bundles below `before`, newest first, by status and agent; and how many there are in total.
pub(in crate::projection) fn list(
    db: &Connection,
    statuses: &[String],
    agent: Option<&AgentName>,
    before: u64,
    limit: usize,
) -> rusqlite::Result<(u64, Vec<u64>)> {
    // An empty list leaves no status out. The names are parameters, never part of the query text.
    let marks = vec!["?"; statuses.len()].join(", ");
    let by_status = if statuses.is_empty() {
        "1".to_owned()
    } else {
        format!("status IN ({marks})")
    };
    let by_agent = if agent.is_some() { "agent = ?" } else { "1" };
    let mut values: Vec<String> = statuses.to_vec();
    values.extend(agent.map(ToString::to_string));
    let of = format!("FROM archived WHERE {by_status} AND {by_agent}");
    let matched = db
        .prepare_cached(&format!("SELECT count(*) {of}"))?
        .query_row(params_from_iter(&values), |row| row.get(0))?;
    let before = i64::try_from(before).unwrap_or(i64::MAX);
    let page = db
        .prepare_cached(&format!(
            "SELECT seq {of} AND seq < {before} ORDER BY seq DESC LIMIT {limit}"
        ))?
        .query_map(params_from_iter(&values), |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    Ok((matched, page))
}

pub(in crate::projection) fn standing(db: &Connection, due_until: Timestamp) -> rusqlite::Result<Standing> {
    let count = |query: &str| db.query_row(query, [], |row| row.get::<_, u64>(0));
    let (due, oldest): (u64, Option<i64>) = db.query_row(
        "SELECT count(*), min(due) FROM closed WHERE archived = 0 AND due <= ?1",
        [due_until.unix_millis()],
        |row| Ok((row.get(0)?, row.get(1)?)),
    )?;
    let problem = db
        .query_row(
            "SELECT intent || ': ' || problem FROM closed WHERE archived = 0 AND problem IS NOT NULL LIMIT 1",
            [],
            |row| row.get(0),
        )
        .optional()?;
    Ok(Standing {
        archived: count("SELECT count(*) FROM archived")?,
        waiting: count("SELECT count(*) FROM closed WHERE archived = 0")?,
        due,
        oldest_due: oldest.map(Timestamp::from_unix_millis),
        kept: count("SELECT count(*) FROM closed WHERE archived > 0")?,
        failing: count("SELECT count(*) FROM closed WHERE archived = 0 AND problem IS NOT NULL")?,
        problem,
        incomplete: count("SELECT count(*) FROM closed WHERE archived = 0 AND incomplete = 1")?,
    })
}

/// Forgets the bundles that the archive dropped because of their age.
pub(in crate::projection) fn prune(db: &Connection, first_seq: u64) -> rusqlite::Result<usize> {
    db.execute("DELETE FROM archived WHERE seq < ?1", [first_seq])
}
