//! The memories of spaces by their words: the newest revision of each.
//!
//! The row of a revision has its number in both tables. The index keeps the texts, as it shows the words around those that
//! were found.

use baton_envelope::SpaceName;
use baton_envelope::context::{MemoryKey, SpaceMemory};
use baton_envelope::control::SearchWord;
use baton_jetstream::{LedgerMark, SpaceId, SpacesLeft};
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use crate::projection::columns::parsed;

/// The tables. `removed` says how many messages the stream had lost when the index was last compared with it.
pub(in crate::projection) const TABLES: &str = "
    CREATE TABLE memory_meta (one INTEGER PRIMARY KEY CHECK (one = 1),
        created TEXT NOT NULL, position INTEGER NOT NULL, stored INTEGER NOT NULL, removed INTEGER);
    INSERT INTO memory_meta VALUES (1, '', 0, 0, NULL);
    CREATE TABLE memories (revision INTEGER PRIMARY KEY, space TEXT NOT NULL, id TEXT NOT NULL, kind TEXT NOT NULL,
        title TEXT, pinned INTEGER NOT NULL, UNIQUE (space, id));
    CREATE VIRTUAL TABLE memory_words USING fts5 (title, id, kind, summary, content,
        tokenize = 'unicode61 remove_diacritics 2');
";

/// How much a word counts in each column of `memory_words`: what names a memory says more of it than what it contains.
const WEIGHTS: &str = "8.0, 6.0, 1.0, 2.0, 1.0";
/// How many words a snippet has, and how many characters at most: a word may be long.
const SNIPPET_WORDS: u32 = 16;
const SNIPPET_CHARS: usize = 200;

/// A memory that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) revision: u64,
    pub(crate) space: SpaceName,
    pub(crate) id: MemoryKey,
    pub(crate) kind: String,
    pub(crate) title: Option<String>,
    pub(crate) pinned: bool,
}

/// A revision to apply: which memory, its number, and what it says; `None` where the memory is gone with it.
#[derive(Debug)]
pub(in crate::projection) struct Revision {
    pub(in crate::projection) of: SpaceId,
    pub(in crate::projection) number: u64,
    pub(in crate::projection) record: Option<SpaceMemory>,
}

/// Words as the index takes them: each in quotes, in which no sign has a meaning; all must be found.
pub(crate) fn query(words: &[SearchWord]) -> String {
    let quoted = words.iter().map(|word| {
        let star = if word.is_prefix { " *" } else { "" };
        format!("\"{}\"{star}", word.text.replace('"', "\"\""))
    });
    quoted.collect::<Vec<_>>().join(" ")
}

/// The position of the index, and the stream that it refers to.
pub(in crate::projection) fn place(db: &Connection) -> rusqlite::Result<(String, LedgerMark)> {
    db.query_row("SELECT created, position, stored FROM memory_meta", [], |row| {
        let mark = LedgerMark {
            seq: row.get(1)?,
            stored: row.get(2)?,
        };
        Ok((row.get(0)?, mark))
    })
}

/// Discards the index of another stream.
pub(in crate::projection) fn reset(db: &Connection, created: &str) -> rusqlite::Result<()> {
    db.execute("DELETE FROM memories", [])?;
    db.execute("DELETE FROM memory_words", [])?;
    db.execute(
        "UPDATE memory_meta SET created = ?1, position = 0, stored = 0, removed = NULL",
        [created],
    )?;
    Ok(())
}

/// Applies revisions in the order of the stream. Those that were applied before change nothing.
pub(in crate::projection) fn apply(
    db: &Connection,
    revisions: &[Revision],
    through: LedgerMark,
) -> rusqlite::Result<()> {
    let (_, known) = place(db)?;
    for Revision { of, number, record } in revisions.iter().filter(|revision| revision.number > known.seq) {
        let (space, id) = (of.0.as_str(), of.1.as_str());
        let before: Option<u64> = db
            .prepare_cached("SELECT revision FROM memories WHERE space = ?1 AND id = ?2")?
            .query_row([space, id], |row| row.get(0))
            .optional()?;
        if let Some(before) = before {
            remove(db, before)?;
        }
        let Some((record, memory)) = record
            .as_ref()
            .and_then(|record| Some((record, record.memory.as_ref()?)))
        else {
            continue;
        };
        let content = record.bytes().and_then(|bytes| String::from_utf8(bytes).ok());
        let (kind, title) = (memory.kind.name(), memory.title.as_deref());
        db.prepare_cached(
            "INSERT INTO memories (revision, space, id, kind, title, pinned) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        )?
        .execute(params![number, space, id, kind, title, memory.pinned])?;
        db.prepare_cached(
            "INSERT INTO memory_words (rowid, title, id, kind, summary, content) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        )?
        .execute(params![number, title, id, kind, memory.summary.as_deref(), content])?;
    }
    db.prepare_cached("UPDATE memory_meta SET position = ?1, stored = ?2 WHERE position <= ?1")?
        .execute([through.seq, through.stored])?;
    Ok(())
}

fn remove(db: &Connection, revision: u64) -> rusqlite::Result<()> {
    db.prepare_cached("DELETE FROM memories WHERE revision = ?1")?
        .execute([revision])?;
    db.prepare_cached("DELETE FROM memory_words WHERE rowid = ?1")?
        .execute([revision])?;
    Ok(())
}

/// How many messages the stream had lost when the index was last compared with it; `None` where it never was.
pub(in crate::projection) fn removed(db: &Connection) -> rusqlite::Result<Option<u64>> {
    db.query_row("SELECT removed FROM memory_meta", [], |row| row.get(0))
}

/// Forgets the memories of which the stream has nothing any more, and remembers how much it had lost then.
pub(in crate::projection) fn retain(
    db: &Connection,
    there: &SpacesLeft,
    removed: Option<u64>,
) -> rusqlite::Result<usize> {
    let all = "SELECT revision, space, id FROM memories WHERE revision <= ?1";
    let mut ask = db.prepare_cached(all)?;
    let rows = ask.query_map([there.through], |row| {
        Ok((
            row.get::<_, u64>(0)?,
            (parsed::<SpaceName>(row, 1)?, row.get::<_, String>(2)?),
        ))
    })?;
    let rows = rows.collect::<rusqlite::Result<Vec<_>>>()?;
    let mut gone = 0;
    for (revision, _) in rows.iter().filter(|(_, of)| !there.left.contains(of)) {
        remove(db, *revision)?;
        gone += 1;
    }
    db.execute("UPDATE memory_meta SET removed = ?1", [removed])?;
    Ok(gone)
}

/// The memories that have all of the words, the best first and of equal ones the newest.
pub(in crate::projection) fn search(
    db: &Connection,
    query: &str,
    space: Option<&SpaceName>,
    limit: u32,
) -> rusqlite::Result<Vec<Found>> {
    let text = format!(
        "SELECT m.revision, m.space, m.id, m.kind, m.title, m.pinned
         FROM memory_words JOIN memories AS m ON m.revision = memory_words.rowid
         WHERE memory_words MATCH ?1 AND (?2 IS NULL OR m.space = ?2)
         ORDER BY bm25(memory_words, {WEIGHTS}), m.revision DESC LIMIT ?3"
    );
    db.prepare_cached(&text)?
        .query_map(params![query, space.map(SpaceName::as_str), limit], found)?
        .collect()
}

fn found(row: &Row<'_>) -> rusqlite::Result<Found> {
    Ok(Found {
        revision: row.get(0)?,
        space: parsed(row, 1)?,
        id: parsed(row, 2)?,
        kind: row.get(3)?,
        title: row.get(4)?,
        pinned: row.get(5)?,
    })
}

/// Words around those that were found in a revision, on one line; `None` where the index no longer has it.
pub(in crate::projection) fn snippet(db: &Connection, query: &str, revision: u64) -> rusqlite::Result<Option<String>> {
    let text = format!(
        "SELECT snippet(memory_words, -1, '', '', '…', {SNIPPET_WORDS}) FROM memory_words
         WHERE memory_words MATCH ?1 AND rowid = ?2"
    );
    let found: Option<String> = db
        .prepare_cached(&text)?
        .query_row(params![query, revision], |row| row.get(0))
        .optional()?;
    Ok(found.map(|text| line(&text)))
}

/// A text as one line that is not too long.
fn line(text: &str) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    let line = words.join(" ");
    match line.char_indices().nth(SNIPPET_CHARS) {
        Some((at, _)) => format!("{}…", line.get(..at).unwrap_or_default()),
        None => line,
    }
}

#[cfg(test)]
mod tests;
