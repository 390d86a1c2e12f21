//! The open intents and the versions that they hold: write, count, list.

use std::collections::HashMap;

use baton_envelope::control::HoldView;
use baton_envelope::{
    AgentName, AgentVersion, Cause, Event, Guard, Hold, IntentId, RecordSummary, Snapshot, Status, Timestamp, Turn,
    holds, out_of_turn, owes_resume,
};
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::counts::{Changes, Counts};
use super::timers::{self, Moment, Opened, Timer};
use super::turns;
use super::{archive, children};
use crate::projection::columns::{Version, parsed};

/// How many intents each cause of a hold view names.
const NAMED: usize = 5;

/// An intent with records in the current batch. Only the last of them is written; the others matter only for the holds
/// that they ended.
#[derive(Debug)]
struct Touched {
    /// Whether the tables have rows of it.
    stored: bool,
    /// What it holds by these rows.
    before: Vec<(Version, Cause)>,
    held: Vec<Version>,
    /// Whether somebody had to look after children of it.
    had_children: bool,
    /// When its waits are over; `None` when the tables have nothing of it that is due some time.
    timed: Option<Opened>,
    /// Whether it waits for a turn, or has had one.
    ordered: bool,
    last: Last,
}

#[derive(Debug)]
struct Last {
    seq: u64,
    /// When it was stored, in milliseconds since the Unix epoch.
    stored: i64,
    moment: Moment,
    snapshot: Snapshot,
    holds: Vec<Hold>,
}

/// What a record says beside where its intent stands.
#[derive(Debug)]
pub(in crate::projection) struct Noted {
    /// The versions that the intent held before it and no longer holds.
    pub(in crate::projection) released: Vec<Version>,
    /// That it is by somebody whose turn it was not.
    pub(in crate::projection) out_of_turn: Option<OutOfTurn>,
    /// That it comes after the end of its intent, and would open it again.
    pub(in crate::projection) reopens: bool,
}

/// A record by somebody whose turn it was not.
#[derive(Debug)]
pub(in crate::projection) struct OutOfTurn {
    /// The agent whose turn it was.
    pub(in crate::projection) agent: AgentName,
    /// The intent.
    pub(in crate::projection) intent: IntentId,
    /// Why it was not its writer's turn.
    pub(in crate::projection) problem: String,
}

/// The intents with records in the current batch.
#[derive(Debug, Default)]
pub(in crate::projection) struct Intents(HashMap<IntentId, Touched>);

impl Touched {
    fn is_over(&self) -> bool {
        self.last.snapshot.status.is_terminal()
    }
}

impl Intents {
    /// Adds a record; returns the versions that the intent held before it and no longer holds, and whether it was the turn of
    /// whoever wrote it.
    ///
    /// `guard_of` says after which record it was written; the server has held its writer to that. Where another was the last
    /// that is known of the intent, what came between is gone (a ledger that somebody limited drops records), or does not
    /// count. Then nobody knows whose turn it was. A record without a guard is judged all the same: a forger leaves it out.
    pub(in crate::projection) fn note(
        &mut self,
        db: &Connection,
        seq: u64,
        stored_ms: Option<i64>,
        summary: RecordSummary,
        guard_of: impl Fn() -> Guard,
    ) -> rusqlite::Result<Noted> {
        turns::note_time(db, &summary.snapshot)?;
        let stored_ms = stored_ms.unwrap_or_else(|| summary.at.unix_millis());
        let holds = holds(&summary.snapshot);
        let mut held: Vec<Version> = Vec::with_capacity(holds.len());
        held.extend(holds.iter().map(|hold| (hold.agent.clone(), hold.version.clone())));
        let last = Last {
            seq,
            stored: stored_ms,
            moment: Moment::of(&summary),
            snapshot: summary.snapshot,
            holds,
        };
        let turn = |after: u64, agent: Option<&AgentName>, holder: Option<&str>| {
            let agent = agent?;
            let problem = out_of_turn(Turn { agent, holder }, summary.event.name(), &summary.by)?;
            let is_next = match guard_of() {
                Guard::At(before) => before == after,
                Guard::None | Guard::OfTicket => true,
            };
            is_next.then(|| OutOfTurn {
                agent: agent.clone(),
                intent: summary.intent.clone(),
                problem,
            })
        };
        let is_open = !last.snapshot.status.is_terminal();
        let (before, out_of_turn, reopens) = if let Some(touched) = self.0.get_mut(&summary.intent) {
            let there = &touched.last.snapshot;
            let found = turn(touched.last.seq, there.agent.as_ref(), there.holder.as_deref());
            let reopens = is_open && there.status.is_terminal();
            touched.last = last;
            (std::mem::replace(&mut touched.held, held.clone()), found, reopens)
        } else {
            let Stored {
                is_open: was_open,
                is_timed,
                had_children,
                is_ordered,
                seq: after,
                holds: stored_holds,
                agent,
            } = stored(db, &summary.intent)?;
            // The server has held the first record of an intent to there being none.
            let is_first = || summary.event == Event::Submitted && guard_of() == Guard::At(0);
            let reopens = is_open && !was_open && !is_first() && archive::is_closed_here(db, &summary.intent)?;
            let timed = match is_timed {
                true => timers::read(db, summary.intent.as_str())?,
                false => None,
            };
            // Who holds it is not stored.
            let found = turn(after, agent.as_ref(), None);
            let touched = Touched {
                stored: was_open,
                before: stored_holds.clone(),
                held: held.clone(),
                had_children,
                timed,
                ordered: is_ordered,
                last,
            };
            self.0.insert(summary.intent.clone(), touched);
            let before = stored_holds.into_iter().map(|(version, _)| version).collect();
            (before, found, reopens)
        };
        if let Some(touched) = self.0.get_mut(&summary.intent) {
            let Touched { timed, last, .. } = touched;
            if !last.snapshot.waits.is_empty() {
                timers::note(timed.get_or_insert_default(), seq, stored_ms, &last.snapshot);
            }
        }
        Ok(Noted {
            released: before.into_iter().filter(|version| !held.contains(version)).collect(),
            out_of_turn,
            reopens,
        })
    }

    /// Writes which intents are over, for the archive.
    fn note_ends(&self, db: &Connection, stored: Option<i64>) -> rusqlite::Result<()> {
        for (id, Touched { last, .. }) in self.0.iter().filter(|(_, touched)| touched.is_over()) {
            archive::note_closed(db, id, last.seq, &last.snapshot, stored)?;
        }
        Ok(())
    }

    /// Writes which intents have children to look after, and which are children.
    fn note_families(&self, db: &Connection) -> rusqlite::Result<()> {
        for (id, Touched { last, had_children, .. }) in &self.0 {
            if *had_children || children::may_matter(&last.snapshot) {
                children::note_parent(db, id, last.seq, &last.snapshot)?;
            }
        }
        for (id, Touched { last, .. }) in &self.0 {
            // After all parents: in one batch it may stand before its own.
            children::note_child(db, id, last.seq, &last.snapshot)?;
        }
        Ok(())
    }

    /// Replaces the rows of every intent in the batch by what its last record says.
    ///
    /// `stored` is when the server stored the last record of the batch, in milliseconds since the Unix epoch, if known.
    /// Returns what the batch changes of the counts, and the last record of each open intent that the archive holds.
    pub(in crate::projection) fn write(
        &self,
        db: &Connection,
        stored: Option<i64>,
    ) -> rusqlite::Result<(Changes, Vec<u64>)> {
        let (mut changes, mut returned) = (Changes::default(), Vec::new());
        let mut forget = db.prepare_cached("DELETE FROM holds WHERE intent = ?1")?;
        let mut close = db.prepare_cached("DELETE FROM open_intents WHERE intent = ?1")?;
        let mut open = db.prepare_cached(
            "INSERT OR REPLACE INTO open_intents (intent, seq, status, agent, version, cause, since, code, kind, submitted, timed,
               accept_within, resume, ordered, has_children, root)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16)",
        )?;
        let mut hold =
            db.prepare_cached("INSERT INTO holds (agent, version, cause, since, intent) VALUES (?1, ?2, ?3, ?4, ?5)")?;
        self.note_ends(db, stored)?;
        self.note_families(db)?;
        for (id, touched) in &self.0 {
            let intent = id.as_str();
            let Last {
                seq,
                stored: stored_ms,
                moment,
                snapshot,
                holds,
            } = &touched.last;
            let none = Opened::new();
            let known = touched.timed.as_ref();
            let timers: Vec<Timer> = timers::of(*seq, *stored_ms, moment, snapshot, known.unwrap_or(&none));
            if known.is_some() || !timers.is_empty() {
                timers::write(db, intent, *seq, &timers)?;
            }
            let turn = turns::of(*seq, snapshot);
            if touched.ordered || turn.is_some() {
                changes.touch(turns::write(db, intent, turn.as_ref())?);
            }
            if touched.stored {
                forget.execute([intent])?;
                for (version, cause) in &touched.before {
                    changes.add(version, *cause, -1);
                }
            }
            let is_terminal = touched.is_over();
            // What the archive holds is closed, even if its records appear before the purge, or come back.
            if is_terminal || archive::is_closed(db, id, snapshot)? {
                if touched.stored {
                    close.execute([intent])?;
                }
                if !is_terminal {
                    timers::forget(db, intent)?;
                    changes.touch(turns::forget(db, intent)?);
                    returned.push(*seq);
                }
                continue;
            }
            let own = hold_of_owner(snapshot, holds);
            open.execute(params![
                intent,
                seq,
                snapshot.status.name(),
                snapshot.agent.as_ref().map(AgentName::as_str),
                snapshot.version.as_ref().map(AgentVersion::to_string),
                own.map(|hold| hold.cause.name()),
                snapshot.updated_at.unix_millis(),
                code(&snapshot.status),
                snapshot.kind,
                snapshot.submitted_at.unix_millis(),
                !timers.is_empty(),
                snapshot.accept_within_ms.filter(|millis| *millis > 0),
                (owes_resume(snapshot) || snapshot.owes_redrive() || snapshot.owes_top_ups()).then_some(1),
                turn.is_some(),
                children::may_matter(snapshot),
                snapshot.root.as_ref().map(IntentId::as_str),
            ])?;
            for (of, version) in holds.iter().zip(&touched.held) {
                changes.add(version, of.cause, 1);
                hold.execute(params![
                    of.agent.as_str(),
                    of.version.to_string(),
                    of.cause.name(),
                    of.since.unix_millis(),
                    intent
                ])?;
            }
        }
        Ok((changes, returned))
    }
}

/// The hold of the version that has the intent, which comes first, if there is one.
fn hold_of_owner<'a>(snapshot: &Snapshot, holds: &'a [Hold]) -> Option<&'a Hold> {
    let owner = snapshot.agent.as_ref().and(snapshot.version.as_ref());
    owner.and(holds.first())
}

fn code(status: &Status) -> Option<&str> {
    match status {
        Status::Parked { code } => Some(code),
        Status::Waiting { reason } => Some(reason.name()),
        Status::Pending
        | Status::Accepted
        | Status::InProgress
        | Status::Compensating
        | Status::Completed
        | Status::Rejected { .. }
        | Status::Failed { .. }
        | Status::Cancelled
        | Status::TimedOut
        | Status::Unknown { .. } => None,
    }
}

/// What the tables have of an intent.
#[derive(Debug, Default)]
struct Stored {
    is_open: bool,
    /// Whether something of it is due some time.
    is_timed: bool,
    /// Whether somebody has to look after children of it.
    had_children: bool,
    /// Whether it waits for a turn, or has had one.
    is_ordered: bool,
    /// The sequence of its last record.
    seq: u64,
    /// The versions that it holds, and why.
    holds: Vec<(Version, Cause)>,
    /// Whose turn it is.
    agent: Option<AgentName>,
}

fn stored(db: &Connection, intent: &IntentId) -> rusqlite::Result<Stored> {
    let mut query = db.prepare_cached(
        "SELECT holds.agent, holds.version, open_intents.agent, open_intents.timed, seq, holds.cause, ordered, has_children FROM open_intents LEFT JOIN holds USING (intent)
         WHERE intent = ?1",
    )?;
    let mut rows = query.query([intent.as_str()])?;
    let mut found = Stored::default();
    while let Some(row) = rows.next()? {
        (found.is_open, found.seq) = (true, row.get(4)?);
        found.is_timed = row.get(3)?;
        found.is_ordered = row.get(6)?;
        found.had_children = row.get(7)?;
        // An intent that no agent ever had holds nothing, but is still open.
        if row.get_ref(0)?.as_str_or_null()?.is_some() {
            found.holds.push(((parsed(row, 0)?, parsed(row, 1)?), cause(row, 5)?));
        }
        if row.get_ref(2)?.as_str_or_null()?.is_some() {
            found.agent = Some(parsed(row, 2)?);
        }
    }
    Ok(found)
}

pub(in crate::projection) fn cause(row: &Row<'_>, column: usize) -> rusqlite::Result<Cause> {
    // A name unknown to this build can only come from another schema.
    Ok(Cause::from_name(row.get_ref(column)?.as_str()?).unwrap_or(Cause::Unknown))
}

fn since(row: &Row<'_>, column: usize) -> rusqlite::Result<Timestamp> {
    row.get(column).map(Timestamp::from_unix_millis)
}

/// How many open intents hold which version, and why.
pub(in crate::projection) fn counts(db: &Connection) -> rusqlite::Result<Counts> {
    let mut query =
        db.prepare_cached("SELECT agent, version, cause, count(*) FROM holds GROUP BY agent, version, cause")?;
    let mut rows = query.query([])?;
    let mut found = Counts::new();
    while let Some(row) = rows.next()? {
        let version = (parsed(row, 0)?, parsed(row, 1)?);
        found.entry(version).or_default().insert(cause(row, 2)?, row.get(3)?);
    }
    Ok(found)
}

/// What holds a version, by cause.
pub(in crate::projection) fn hold_views(
    db: &Connection,
    (agent, version): &Version,
) -> rusqlite::Result<Vec<HoldView>> {
    let version = version.to_string();
    let mut causes =
        db.prepare_cached("SELECT cause, count(*) FROM holds WHERE agent = ?1 AND version = ?2 GROUP BY cause")?;
    let mut oldest = db.prepare_cached(
        "SELECT intent, since FROM holds WHERE agent = ?1 AND version = ?2 AND cause = ?3
         ORDER BY since, intent LIMIT ?4",
    )?;
    let mut views = Vec::new();
    let mut rows = causes.query(params![agent.as_str(), version])?;
    while let Some(row) = rows.next()? {
        let (cause, count) = (cause(row, 0)?, row.get(1)?);
        let named = params![agent.as_str(), version, cause.name(), NAMED];
        let named: Vec<(IntentId, Timestamp)> = oldest
            .query_map(named, |row| Ok((parsed(row, 0)?, since(row, 1)?)))?
            .collect::<Result<_, _>>()?;
        let Some((first, since)) = named.first().cloned() else {
            continue;
        };
        views.push(HoldView {
            cause,
            count,
            oldest: first,
            since,
            intents: named.into_iter().map(|(intent, _)| intent).collect(),
        });
    }
    views.sort_by_key(|view| view.cause);
    Ok(views)
}

/// Every intent that holds a version, and why, oldest first.
pub(in crate::projection) fn held(
    db: &Connection,
    (agent, version): &Version,
) -> rusqlite::Result<Vec<(IntentId, Cause)>> {
    let mut query =
        db.prepare_cached("SELECT intent, cause FROM holds WHERE agent = ?1 AND version = ?2 ORDER BY since, intent")?;
    query
        .query_map(params![agent.as_str(), version.to_string()], |row| {
            Ok((parsed(row, 0)?, cause(row, 1)?))
        })?
        .collect()
}

/// The work of a version that waits for what somebody does by hand, or that is held by hand, oldest first; without a version,
/// that of all.
pub(in crate::projection) fn by_hand(db: &Connection, agent: Option<&AgentName>) -> rusqlite::Result<Vec<IntentId>> {
    let mut ask = db.prepare_cached(
        "SELECT intent FROM holds WHERE cause = ?1 AND (?2 IS NULL OR agent = ?2) ORDER BY since, intent",
    )?;
    let of = params![Cause::ByHand.name(), agent.map(AgentName::as_str)];
    let rows = ask.query_map(of, |row| parsed(row, 0))?;
    rows.collect()
}

/// Why an intent holds the version that may owe it a ticket.
const MAY_OWE: [Cause; 3] = [Cause::Queued, Cause::Running, Cause::Delayed];

/// The open intents whose last record owes something that somebody has to pay: a ticket, if the record is not newer than
/// `before`, that it goes on, or that a child has what it was lent. Else what waits, also for a long retry, is parked or is done by
/// hand owes nothing.
pub(in crate::projection) fn owing(
    db: &Connection,
    counts: &Counts,
    before: Timestamp,
    now: Timestamp,
) -> rusqlite::Result<Vec<IntentId>> {
    // The ticket of a long retry is written by the timers when its time has come.
    let mut tickets = db.prepare_cached(
        "SELECT intent FROM holds WHERE agent = ?1 AND version = ?2 AND cause = ?3 AND since <= ?4
           AND NOT (?3 = ?5 AND EXISTS (SELECT 1 FROM timers WHERE timers.intent = holds.intent AND what = ?6 AND armed = 1 AND due > ?7))",
    )?;
    let mut resumes = db.prepare_cached("SELECT intent FROM open_intents WHERE resume IS NOT NULL")?;
    let mut found: Vec<IntentId> = Vec::new();
    for ((agent, version), causes) in counts {
        let version = version.to_string();
        for cause in MAY_OWE.into_iter().filter(|cause| causes.contains_key(cause)) {
            let (cause, delayed) = (cause.name(), Cause::Delayed.name());
            let (before, now) = (before.unix_millis(), now.unix_millis());
            let of = params![agent.as_str(), version, cause, before, delayed, timers::RETRY, now];
            for intent in tickets.query_map(of, |row| parsed(row, 0))? {
                found.push(intent?);
            }
        }
    }
    for intent in resumes.query_map([], |row| parsed(row, 0))? {
        found.push(intent?);
    }
    Ok(found)
}

/// Whether an open intent holds a version.
pub(in crate::projection) fn is_held(db: &Connection, (agent, version): &Version) -> rusqlite::Result<bool> {
    db.prepare_cached("SELECT 1 FROM holds WHERE agent = ?1 AND version = ?2 LIMIT 1")?
        .exists(params![agent.as_str(), version.to_string()])
}

/// How many intents one look at a queue gives.
const LOOKED_AT: u32 = 100;

/// Some open intents of a version whose work waits: in its queue, oldest first, then those that wait for their next attempt.
pub(in crate::projection) fn waiting_work(
    db: &Connection,
    (agent, version): &Version,
    through: u64,
    limit: u32,
) -> rusqlite::Result<Vec<IntentId>> {
    let mut ask = db.prepare_cached(
        "SELECT intent FROM holds JOIN open_intents USING (intent)
         WHERE holds.agent = ?1 AND holds.version = ?2 AND holds.cause IN ('queued', 'delayed') AND seq <= ?3
         ORDER BY holds.cause DESC, holds.since, intent LIMIT ?4",
    )?;
    let through = i64::try_from(through).unwrap_or(i64::MAX);
    let rows = ask.query_map(params![agent.as_str(), version.to_string(), through, limit], |row| {
        parsed(row, 0)
    })?;
    rows.collect()
}

/// Some open intents that wait in the queue of a version since a time or longer.
pub(in crate::projection) fn queued_since(
    db: &Connection,
    (agent, version): &Version,
    since: Timestamp,
) -> rusqlite::Result<Vec<(IntentId, u64)>> {
    let mut ask = db.prepare_cached(
        "SELECT intent, seq FROM holds JOIN open_intents USING (intent)
         WHERE holds.agent = ?1 AND holds.version = ?2 AND holds.cause = 'queued' AND holds.since <= ?3
         ORDER BY holds.since, intent LIMIT ?4",
    )?;
    let asked = params![agent.as_str(), version.to_string(), since.unix_millis(), LOOKED_AT];
    let rows = ask.query_map(asked, |row| Ok((parsed(row, 0)?, row.get(1)?)))?;
    rows.collect()
}

/// An intent that nobody took in the time that it allows.
#[derive(Debug)]
pub(crate) struct Overdue {
    /// The intent.
    pub(crate) intent: IntentId,
    /// The sequence of its last record.
    pub(crate) seq: u64,
    /// The agent that did not take it.
    pub(crate) agent: AgentName,
    /// How long one offer lasts, in milliseconds.
    pub(crate) accept_within: u64,
}

/// Some open intents that wait in a queue for longer than they allow, so many times over.
pub(in crate::projection) fn queued_too_long(
    db: &Connection,
    now: Timestamp,
    times: u32,
) -> rusqlite::Result<Vec<Overdue>> {
    let mut ask = db.prepare_cached(
        "SELECT intent, seq, agent, accept_within FROM open_intents
         WHERE accept_within IS NOT NULL AND status = 'pending' AND cause = 'queued' AND agent IS NOT NULL
           AND since + ?2 * accept_within <= ?1 LIMIT ?3",
    )?;
    let rows = ask.query_map(params![now.unix_millis(), times, LOOKED_AT], |row| {
        Ok(Overdue {
            intent: parsed(row, 0)?,
            seq: row.get(1)?,
            agent: parsed(row, 2)?,
            accept_within: row.get(3)?,
        })
    })?;
    rows.collect()
}

/// Some open intents that have not moved since a time, in the order of their ids, from the one after `after` on.
pub(in crate::projection) fn unmoved(
    db: &Connection,
    before: Timestamp,
    after: &str,
    limit: u32,
) -> rusqlite::Result<Vec<IntentId>> {
    let mut ask = db.prepare_cached(
        "SELECT intent FROM open_intents WHERE intent > ?1 AND since < ?2 AND agent IS NOT NULL ORDER BY intent LIMIT ?3",
    )?;
    let rows = ask.query_map(params![after, before.unix_millis(), limit], |row| parsed(row, 0))?;
    rows.collect()
}

/// Whether an open intent has moved since a time.
pub(in crate::projection) fn has_moved_since(db: &Connection, since: Timestamp) -> rusqlite::Result<bool> {
    db.prepare_cached("SELECT 1 FROM open_intents WHERE since >= ?1 LIMIT 1")?
        .exists([since.unix_millis()])
}

/// The agent and the version of an intent, if it is open.
pub(in crate::projection) fn place(db: &Connection, intent: &IntentId) -> rusqlite::Result<Option<Version>> {
    let mut ask = db.prepare_cached(
        "SELECT agent, version FROM open_intents WHERE intent = ?1 AND agent IS NOT NULL AND version IS NOT NULL",
    )?;
    ask.query_row([intent.as_str()], |row| Ok((parsed(row, 0)?, parsed(row, 1)?)))
        .optional()
}

/// Forgets open intents of which the ledger has nothing any more.
pub(in crate::projection) fn forget(db: &Connection, intents: &[IntentId]) -> rusqlite::Result<Changes> {
    let mut changes = Changes::default();
    let mut open = db.prepare_cached("DELETE FROM open_intents WHERE intent = ?1")?;
    for intent in intents {
        changes.release(db, intent.as_str())?;
        open.execute([intent.as_str()])?;
        timers::forget(db, intent.as_str())?;
        changes.touch(turns::forget(db, intent.as_str())?);
    }
    Ok(changes)
}

/// The kinds of the open intents that an agent has.
pub(in crate::projection) fn kinds(db: &Connection, agent: &AgentName) -> rusqlite::Result<Vec<String>> {
    let mut ask = db
        .prepare_cached("SELECT DISTINCT kind FROM open_intents WHERE agent = ?1 AND kind IS NOT NULL ORDER BY kind")?;
    let rows = ask.query_map([agent.as_str()], |row| row.get(0))?;
    rows.collect()
}
