//! Which trees have open intents.

use baton_envelope::IntentId;
use rusqlite::{Connection, params};

/// Whether an intent of the tree of this root is open.
pub(in crate::projection) fn is_open(db: &Connection, root: &IntentId) -> rusqlite::Result<bool> {
    db.prepare_cached("SELECT EXISTS (SELECT 1 FROM open_intents WHERE intent = ?1 OR root = ?1)")?
        .query_row(params![root.as_str()], |row| row.get(0))
}
