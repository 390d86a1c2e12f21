//! How many hops in a row used up their attempts on a version, without a success in between. It is what opens a breaker;
//! whether one is open stands in the bucket of breakers.

use std::collections::HashMap;

use baton_envelope::Timestamp;
use rusqlite::{Connection, params};

use crate::projection::columns::{Version, parsed};

/// Hops in a row that used up their attempts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Streak {
    /// How many.
    pub(crate) in_a_row: u64,
    /// When the last of them ended.
    pub(crate) last: Timestamp,
}

impl Streak {
    /// This streak plus one hop.
    pub(in crate::projection) fn longer(self, at: Timestamp) -> Self {
        Self {
            in_a_row: self.in_a_row.saturating_add(1),
            last: at,
        }
    }
}

/// The streaks of versions that ever had one.
pub(in crate::projection) type Streaks = HashMap<Version, Streak>;

/// Reads the stored streaks.
pub(in crate::projection) fn read(db: &Connection) -> rusqlite::Result<Streaks> {
    let mut query = db.prepare_cached("SELECT agent, version, in_a_row, last FROM exhausted")?;
    query
        .query_map([], |row| {
            let last = Timestamp::from_unix_millis(row.get(3)?);
            let in_a_row = row.get(2)?;
            Ok(((parsed(row, 0)?, parsed(row, 1)?), Streak { in_a_row, last }))
        })?
        .collect()
}

/// Stores streaks.
pub(in crate::projection) fn write(db: &Connection, streaks: &Streaks) -> rusqlite::Result<()> {
    let mut insert =
        db.prepare_cached("INSERT OR REPLACE INTO exhausted (agent, version, in_a_row, last) VALUES (?1, ?2, ?3, ?4)")?;
    for ((agent, version), Streak { in_a_row, last }) in streaks {
        insert.execute(params![
            agent.as_str(),
            version.to_string(),
            in_a_row,
            last.unix_millis()
        ])?;
    }
    Ok(())
}
