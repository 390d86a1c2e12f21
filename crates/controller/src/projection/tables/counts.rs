//! How many open intents hold which version, and why: kept beside the table of holds, so that asking for them costs nothing
//! however many there are.

use std::collections::{BTreeMap, HashMap};

use baton_envelope::Cause;
use rusqlite::Connection;

use crate::projection::columns::{Version, parsed};
use crate::projection::tables::intents::cause;
use crate::projection::tables::turns::Lane;

/// The numbers.
pub(in crate::projection) type Counts = BTreeMap<Version, BTreeMap<Cause, u64>>;

/// What a transaction changes of them, and the lanes of turns that it touches.
#[derive(Debug, Default)]
pub(in crate::projection) struct Changes {
    by: HashMap<Version, BTreeMap<Cause, i64>>,
    lanes: Vec<Lane>,
}

impl Changes {
    pub(in crate::projection) fn add(&mut self, version: &Version, cause: Cause, by: i64) {
        // Few versions, many intents: clone the name of a version only when it is new.
        if !self.by.contains_key(version) {
            self.by.insert(version.clone(), BTreeMap::new());
        }
        if let Some(causes) = self.by.get_mut(version) {
            *causes.entry(cause).or_default() += by;
        }
    }

    /// Deletes the holds of an intent.
    pub(in crate::projection) fn release(&mut self, db: &Connection, intent: &str) -> rusqlite::Result<()> {
        let mut forget = db.prepare_cached("DELETE FROM holds WHERE intent = ?1 RETURNING agent, version, cause")?;
        let mut rows = forget.query([intent])?;
        while let Some(row) = rows.next()? {
            self.add(&(parsed(row, 0)?, parsed(row, 1)?), cause(row, 2)?, -1);
        }
        Ok(())
    }

    pub(in crate::projection) fn touch(&mut self, lanes: Vec<Lane>) {
        self.lanes.extend(lanes);
    }

    /// After the transaction. Returns the lanes.
    pub(in crate::projection) fn apply(self, counts: &mut Counts) -> Vec<Lane> {
        for (version, causes) in self.by {
            let of = counts.entry(version.clone()).or_default();
            for (cause, by) in causes {
                let count = of.entry(cause).or_default();
                *count = count.saturating_add_signed(by);
            }
            of.retain(|_, count| *count > 0);
            if of.is_empty() {
                counts.remove(&version);
            }
        }
        self.lanes
    }
}
