//! Parents of which somebody must do something, and what their children came to.
//!
//! A parent stands here while its last record names children; it is due when that record or the end of a child is new. What
//! is to be done, its head in the ledger decides.

use baton_envelope::{IntentId, Snapshot, Status, Timestamp};
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::archive;
use crate::projection::columns::parsed;

pub(in crate::projection) const TABLES: &str = "
    CREATE TABLE parents (parent TEXT PRIMARY KEY, due INTEGER NOT NULL, cause INTEGER NOT NULL,
        settled INTEGER NOT NULL, undone INTEGER NOT NULL) WITHOUT ROWID;
    CREATE INDEX parents_due ON parents (due) WHERE settled = 0;
    CREATE TABLE children (parent TEXT NOT NULL, child TEXT NOT NULL, seq INTEGER NOT NULL, state TEXT NOT NULL,
        code TEXT, ended INTEGER NOT NULL, PRIMARY KEY (parent, child)) WITHOUT ROWID;
";

/// A parent to look at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DueParent {
    /// The parent.
    pub(crate) parent: IntentId,
    /// The record that is the reason.
    pub(crate) cause: u64,
}

/// When to look at a parent again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Look {
    /// When a record gives reason to.
    WhenMoved,
    /// At this time at the latest.
    At(Timestamp),
    /// Never: it has ended, and so have its children.
    Never,
}

/// A child, as its last record has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ChildRow {
    /// The child.
    pub(crate) child: IntentId,
    /// The sequence of its last record.
    pub(crate) seq: u64,
    /// The name of its status.
    pub(crate) state: String,
    /// The code of its status.
    pub(crate) code: Option<String>,
    /// Whether it has ended.
    pub(crate) ended: bool,
}

/// What is known of the children of a parent, without those that were known before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ended {
    /// How many children have a record.
    pub(crate) all: u32,
    /// How many of them have ended.
    pub(crate) ended: u32,
    /// Those of them that were asked for.
    pub(crate) new: Vec<ChildRow>,
}

/// Whether somebody may still have to do something about children of an intent.
fn has_open_family(snapshot: &Snapshot) -> bool {
    let matters = |set: &baton_envelope::ChildSet| set.is_awaited(snapshot) || set.is_over(snapshot);
    is_undone(snapshot) || snapshot.children.iter().any(matters)
}

/// Whether an intent may be a parent to look after: cheaper than to look at its calls.
pub(in crate::projection) fn may_matter(snapshot: &Snapshot) -> bool {
    is_undone(snapshot) || !snapshot.children.is_empty()
}

/// Whether the leader undoes what an intent did.
fn is_undone(snapshot: &Snapshot) -> bool {
    snapshot.status == Status::Compensating
}

/// Notes the last record of an intent that has children, or had some when it was `known` before.
pub(in crate::projection) fn note_parent(
    db: &Connection,
    intent: &IntentId,
    seq: u64,
    snapshot: &Snapshot,
) -> rusqlite::Result<()> {
    let id = intent.as_str();
    let is_archived = || archive::is_closed(db, intent, snapshot);
    if !has_open_family(snapshot) || (snapshot.status.is_terminal() && is_archived()?) {
        return forget(db, id);
    }
    db.prepare_cached("INSERT OR REPLACE INTO parents (parent, due, cause, settled, undone) VALUES (?1, 0, ?2, 0, ?3)")?
        .execute(params![id, seq, is_undone(snapshot)])
        .map(drop)
}

/// Notes the last record of a child. One whose parent nobody looks after is not noted.
pub(in crate::projection) fn note_child(
    db: &Connection,
    intent: &IntentId,
    seq: u64,
    snapshot: &Snapshot,
) -> rusqlite::Result<()> {
    let Some(parent) = &snapshot.parent else { return Ok(()) };
    let ended = snapshot.status.is_terminal();
    let noted = db
        .prepare_cached(
            "INSERT OR REPLACE INTO children (parent, child, seq, state, code, ended)
             SELECT ?1, ?2, ?3, ?4, ?5, ?6 WHERE EXISTS (SELECT 1 FROM parents WHERE parent = ?1)",
        )?
        .execute(params![
            parent.as_str(),
            intent.as_str(),
            seq,
            snapshot.status.name(),
            snapshot.status.code(),
            ended
        ])?;
    // An undo that is set aside has failed.
    let is_aside = matches!(snapshot.status, Status::Parked { .. });
    if noted > 0 && (ended || is_aside) {
        db.prepare_cached("UPDATE parents SET due = 0, cause = ?2 WHERE parent = ?1 AND (?3 OR undone)")?
            .execute(params![parent.as_str(), seq, ended])?;
    }
    Ok(())
}

pub(in crate::projection) fn forget(db: &Connection, parent: &str) -> rusqlite::Result<()> {
    let known = db
        .prepare_cached("DELETE FROM parents WHERE parent = ?1")?
        .execute([parent])?;
    if known > 0 {
        db.prepare_cached("DELETE FROM children WHERE parent = ?1")?
            .execute([parent])?;
    }
    Ok(())
}

/// The parents to look at, the longest due first.
pub(in crate::projection) fn due(db: &Connection, now: Timestamp, limit: u32) -> rusqlite::Result<Vec<DueParent>> {
    db.prepare_cached("SELECT parent, cause FROM parents WHERE settled = 0 AND due <= ?1 ORDER BY due LIMIT ?2")?
        .query_map(params![now.unix_millis(), limit], |row| {
            Ok(DueParent {
                parent: parsed(row, 0)?,
                cause: row.get(1)?,
            })
        })?
        .collect()
}

/// Notes that parents were looked at. One that a newer record gives reason to look at stays due.
pub(in crate::projection) fn looked(db: &Connection, looked: &[(DueParent, Look)]) -> rusqlite::Result<()> {
    let mut next = db.prepare_cached("UPDATE parents SET due = ?3, settled = ?4 WHERE parent = ?1 AND cause = ?2")?;
    for (DueParent { parent, cause }, look) in looked {
        let (due, settled) = match look {
            Look::WhenMoved => (i64::MAX, false),
            Look::At(at) => (at.unix_millis(), false),
            Look::Never => (i64::MAX, true),
        };
        next.execute(params![parent.as_str(), cause, due, settled])?;
    }
    Ok(())
}

/// Whether nothing is left to do about the children of a closed intent.
pub(in crate::projection) fn is_settled(db: &Connection, parent: &IntentId) -> rusqlite::Result<bool> {
    let settled = db
        .prepare_cached("SELECT settled FROM parents WHERE parent = ?1")?
        .query_row([parent.as_str()], |row| row.get(0))
        .optional()?;
    Ok(settled.unwrap_or(true))
}

/// How many children of a parent are known, how many of them have ended, and those of these that ended after a record.
pub(in crate::projection) fn ended_after(db: &Connection, parent: &IntentId, after: u64) -> rusqlite::Result<Ended> {
    let parent = parent.as_str();
    let new = db
        .prepare_cached("SELECT child, seq, state, code, ended FROM children WHERE parent = ?1 AND ended AND seq > ?2")?
        .query_map(params![parent, after], child_row)?
        .collect::<rusqlite::Result<_>>()?;
    let (all, ended) = db
        .prepare_cached("SELECT count(*), coalesce(sum(ended), 0) FROM children WHERE parent = ?1")?
        .query_row([parent], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(Ended { all, ended, new })
}

fn child_row(row: &Row<'_>) -> rusqlite::Result<ChildRow> {
    Ok(ChildRow {
        child: parsed(row, 0)?,
        seq: row.get(1)?,
        state: row.get(2)?,
        code: row.get(3)?,
        ended: row.get(4)?,
    })
}

/// The children of a parent.
pub(in crate::projection) fn of(db: &Connection, parent: &IntentId) -> rusqlite::Result<Vec<ChildRow>> {
    db.prepare_cached("SELECT child, seq, state, code, ended FROM children WHERE parent = ?1")?
        .query_map([parent.as_str()], child_row)?
        .collect()
}
