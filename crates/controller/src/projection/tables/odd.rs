//! The subjects of the ledger with a record that does not follow from those before it: it cannot be read, is void, stands on the
//! subject of another intent, or comes after the end of its own. The sweep looks at them.

use rusqlite::{Connection, params};

pub(in crate::projection) const TABLES: &str = "
    CREATE TABLE odd (subject TEXT PRIMARY KEY, seq INTEGER NOT NULL) WITHOUT ROWID;
";

/// A subject, and the last such record on it.
pub(crate) type Odd = (String, u64);

pub(in crate::projection) fn note(db: &Connection, subject: &str, seq: u64) -> rusqlite::Result<()> {
    db.prepare_cached("INSERT OR REPLACE INTO odd (subject, seq) VALUES (?1, ?2)")?
        .execute(params![subject, seq])
        .map(drop)
}

pub(in crate::projection) fn all(db: &Connection) -> rusqlite::Result<Vec<Odd>> {
    let mut ask = db.prepare_cached("SELECT subject, seq FROM odd")?;
    let rows = ask.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    rows.collect()
}

/// Forgets what the sweep is done with. Another record that came meanwhile stays.
pub(in crate::projection) fn forget(db: &Connection, done: &[Odd]) -> rusqlite::Result<()> {
    let mut forget = db.prepare_cached("DELETE FROM odd WHERE subject = ?1 AND seq <= ?2")?;
    for (subject, seq) in done {
        forget.execute(params![subject, seq])?;
    }
    Ok(())
}
