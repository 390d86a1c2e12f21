//! The open intents that wait for room under the cap of their agent.

use std::collections::BTreeMap;

use baton_envelope::{AgentName, IntentId};
use rusqlite::{Connection, params};

use crate::projection::columns::parsed;

/// How many intents of one agent one look gives.
const LOOKED_AT: u32 = 200;

/// How many intents of each agent wait for room. The code stands in the text, as an index over it alone is used only there.
pub(in crate::projection) fn count(db: &Connection) -> rusqlite::Result<BTreeMap<AgentName, u64>> {
    let mut ask = db.prepare_cached(
        "SELECT agent, count(*) FROM open_intents WHERE code = 'CAP_REACHED' AND agent IS NOT NULL GROUP BY agent",
    )?;
    let rows = ask.query_map([], |row| Ok((parsed(row, 0)?, row.get(1)?)))?;
    rows.collect()
}

/// Some intents of an agent that wait for room, those first that have waited longest.
pub(in crate::projection) fn waiting(db: &Connection, agent: &AgentName) -> rusqlite::Result<Vec<IntentId>> {
    let mut ask = db.prepare_cached(
        "SELECT intent FROM open_intents WHERE code = 'CAP_REACHED' AND agent = ?1 ORDER BY since, intent LIMIT ?2",
    )?;
    let rows = ask.query_map(params![agent.as_str(), LOOKED_AT], |row| parsed(row, 0))?;
    rows.collect()
}
