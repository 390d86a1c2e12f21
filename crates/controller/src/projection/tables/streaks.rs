//! How many hops in a row used up their attempts on a version, without a success in between. It is what opens a breaker;
//! whether one is open stands in the bucket of breakers.

use std::collections::{HashMap, VecDeque};

use baton_envelope::Timestamp;
use rusqlite::{Connection, params};

use crate::projection::columns::{Version, malformed, parsed};

/// Of how many hops of a streak to remember when they ended.
const REMEMBERED: usize = 100;

/// Hops in a row that used up their attempts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Streak {
    /// How many.
    pub(crate) in_a_row: u64,
    /// When the last of them ended, the newest at the end.
    ends: VecDeque<Timestamp>,
}

impl Streak {
    /// This streak plus one hop.
    pub(in crate::projection) fn longer(mut self, at: Timestamp) -> Self {
        self.in_a_row = self.in_a_row.saturating_add(1);
        if self.ends.len() == REMEMBERED {
            self.ends.pop_front();
        }
        self.ends.push_back(at);
        self
    }

    /// When the last of them ended.
    pub(crate) fn last(&self) -> Timestamp {
        self.ends.back().copied().unwrap_or_default()
    }

    /// How many of them ended after this time.
    pub(crate) fn after(&self, at: Timestamp) -> u64 {
        match self.ends.front() {
            // Nobody remembers those before it: they count, too.
            Some(first) if *first > at && self.ends.len() == REMEMBERED => self.in_a_row,
            Some(_) | None => self.ends.iter().filter(|end| **end > at).count() as u64,
        }
    }
}

/// The streaks of versions that ever had one.
pub(in crate::projection) type Streaks = HashMap<Version, Streak>;

/// Reads the stored streaks.
pub(in crate::projection) fn read(db: &Connection) -> rusqlite::Result<Streaks> {
    let mut query = db.prepare_cached("SELECT agent, version, in_a_row, ends FROM exhausted")?;
    query
        .query_map([], |row| {
            let ends: String = row.get(3)?;
            let ends: VecDeque<Timestamp> = serde_json::from_str(&ends).map_err(|error| malformed(3, error))?;
            let in_a_row = row.get(2)?;
            Ok(((parsed(row, 0)?, parsed(row, 1)?), Streak { in_a_row, ends }))
        })?
        .collect()
}

/// Stores streaks.
pub(in crate::projection) fn write(db: &Connection, streaks: &Streaks) -> rusqlite::Result<()> {
    let mut insert =
        db.prepare_cached("INSERT OR REPLACE INTO exhausted (agent, version, in_a_row, ends) VALUES (?1, ?2, ?3, ?4)")?;
    for ((agent, version), Streak { in_a_row, ends }) in streaks {
        let ends =
            serde_json::to_string(ends).map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))?;
        insert.execute(params![agent.as_str(), version.to_string(), in_a_row, ends])?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_unix_millis(seconds * 1000)
    }

    #[test]
    fn what_was_before_a_time_is_told_from_what_came_after() {
        let three = (1..=3).fold(Streak::default(), |streak, second| streak.longer(at(second)));
        assert_eq!((three.in_a_row, three.last()), (3, at(3)));
        assert_eq!([at(0), at(1), at(3)].map(|since| three.after(since)), [3, 2, 0]);
        let many = (1..=150).fold(Streak::default(), |streak, second| streak.longer(at(second)));
        assert_eq!([at(0), at(140), at(150)].map(|since| many.after(since)), [150, 10, 0]);
        assert_eq!(Streak::default().after(at(0)), 0);
    }
}
