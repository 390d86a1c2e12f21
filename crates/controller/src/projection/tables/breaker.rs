//! The streaks that open breakers: intents parked on a version in a row, without a success in between.

use std::collections::HashMap;
use std::time::Duration;

use baton_envelope::Timestamp;
use rusqlite::{Connection, params};

use crate::projection::columns::{Version, parsed};

/// How many parked intents in a row open a breaker, and how long it stays open after the last.
const STREAK: u64 = 3;
const OPEN_FOR: Duration = Duration::from_secs(60);

/// Intents parked on a version without a success in between.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(in crate::projection) struct Streak {
    in_a_row: u64,
    last: Timestamp,
}

impl Streak {
    /// This streak plus one parked intent.
    pub(in crate::projection) fn longer(self, at: Timestamp) -> Self {
        Self {
            in_a_row: self.in_a_row.saturating_add(1),
            last: at,
        }
    }

    /// Whether the breaker is open. After the time is up, one more parked intent opens it again at once.
    pub(in crate::projection) fn is_open(self, now: Timestamp) -> bool {
        self.in_a_row >= STREAK && now.since(self.last) < OPEN_FOR
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
