//! The results of workers' attempts: the evidence for rollouts, the pace of drains, and the hops for replays.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use baton_envelope::{Event, IntentId, RecordSummary, Role, Tally, Timestamp, codes, is_answer, is_exhausted};
use rusqlite::{Connection, OptionalExtension as _, params};

use super::latency::Latencies;
use super::streaks::{self, Streak, Streaks};
use crate::projection::columns::{Version, malformed, parsed};

/// How long to keep the evidence of each second.
const KEPT: Duration = Duration::from_secs(24 * 60 * 60);
/// The period over which to measure the pace of a drain.
const PACE: Duration = Duration::from_secs(60);
/// How long to keep the ends of holds: longer than any question looks back.
const ENDS_KEPT: Duration = Duration::from_secs(10 * 60);
/// How many commits to remember per version.
const REMEMBERED: usize = 200;
/// The result of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Ok,
    Declined,
    Retryable,
    Terminal,
}

/// The evidence on a version in one second.
#[derive(Debug, Default)]
struct Second {
    ok: u64,
    retryable: u64,
    terminal: u64,
    declined: u64,
    cost: f64,
    costed: u64,
    latencies: Latencies,
}

/// A commit that ended a hop.
#[derive(Debug)]
struct Done {
    intent: IntentId,
    hop: u32,
    seq: u64,
}

/// What the current batch adds.
#[derive(Debug)]
pub(in crate::projection) struct Gathered {
    now: Timestamp,
    seconds: HashMap<(Version, i64), Second>,
    ended: HashMap<(Version, i64), u64>,
    streaks: Streaks,
    done: HashMap<Version, VecDeque<Done>>,
}

impl Gathered {
    pub(in crate::projection) fn new(now: Timestamp) -> Self {
        Self {
            now,
            seconds: HashMap::new(),
            ended: HashMap::new(),
            streaks: Streaks::new(),
            done: HashMap::new(),
        }
    }

    /// Adds a record; `streaks` are those before this batch.
    pub(in crate::projection) fn note(&mut self, seq: u64, summary: &RecordSummary, streaks: &Streaks) {
        let Some((version, outcome)) = attempt(summary) else {
            return;
        };
        if let Some(hop) = hop_done(summary) {
            let done = self.done.entry(version.clone()).or_default();
            if done.len() == REMEMBERED {
                done.pop_front();
            }
            done.push_back(Done {
                intent: summary.intent.clone(),
                hop,
                seq,
            });
        }
        self.count_streak(&version, outcome, summary, streaks);
        if self.now.since(summary.at) > KEPT {
            return;
        }
        let second = self.seconds.entry((version, second_of(summary.at))).or_default();
        match outcome {
            Outcome::Ok => second.ok += 1,
            Outcome::Declined => second.declined += 1,
            Outcome::Retryable => second.retryable += 1,
            Outcome::Terminal => second.terminal += 1,
        }
        if let Some(cost) = summary.cost {
            second.cost += cost;
            second.costed += 1;
        }
        if let Some(millis) = summary.took_ms {
            second.latencies.record(millis);
        }
    }

    fn count_streak(&mut self, version: &Version, outcome: Outcome, summary: &RecordSummary, before: &Streaks) {
        let exhausted = is_exhausted(&summary.event, summary.exhausted);
        // To decline is an answer of a healthy worker; a hop that is suspended has no answer yet.
        let well = matches!(outcome, Outcome::Ok | Outcome::Declined) && is_answer(&summary.event);
        if !exhausted && !well {
            return;
        }
        let known = self
            .streaks
            .get(version)
            .or_else(|| before.get(version))
            .cloned()
            .unwrap_or_default();
        let streak = if exhausted {
            known.clone().longer(summary.at)
        } else {
            Streak::default()
        };
        if known != streak {
            self.streaks.insert(version.clone(), streak);
        }
    }

    /// Counts a hold that ended.
    pub(in crate::projection) fn note_end(&mut self, version: Version, at: Timestamp) {
        if self.now.since(at) <= ENDS_KEPT {
            *self.ended.entry((version, second_of(at))).or_default() += 1;
        }
    }

    /// Adds this batch to the stored evidence; returns the streaks that changed.
    pub(in crate::projection) fn write(self, db: &Connection) -> rusqlite::Result<Streaks> {
        let mut present =
            db.prepare_cached("SELECT latency FROM evidence WHERE agent = ?1 AND version = ?2 AND second = ?3")?;
        let mut add = db.prepare_cached(
            "INSERT INTO evidence (agent, version, second, ok, retryable, terminal, declined, cost, costed, latency)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)
             ON CONFLICT DO UPDATE SET ok = ok + excluded.ok, retryable = retryable + excluded.retryable,
               terminal = terminal + excluded.terminal, declined = declined + excluded.declined,
               cost = cost + excluded.cost, costed = costed + excluded.costed, latency = excluded.latency",
        )?;
        for (((agent, version), second), mut seen) in self.seconds {
            let (agent, version) = (agent.as_str(), version.to_string());
            let stored = present
                .query_row(params![agent, version, second], |row| latencies(row, 0))
                .optional()?;
            if let Some(stored) = stored {
                seen.latencies.add(&stored);
            }
            let (ok, retryable, terminal, declined) = (seen.ok, seen.retryable, seen.terminal, seen.declined);
            let latency = seen.latencies.encode();
            add.execute(params![
                agent,
                version,
                second,
                ok,
                retryable,
                terminal,
                declined,
                seen.cost,
                seen.costed,
                latency
            ])?;
        }
        let mut end = db.prepare_cached(
            "INSERT INTO ended (agent, version, second, count) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT DO UPDATE SET count = count + excluded.count",
        )?;
        for (((agent, version), second), count) in self.ended {
            end.execute(params![agent.as_str(), version.to_string(), second, count])?;
        }
        streaks::write(db, &self.streaks)?;
        let mut remember =
            db.prepare_cached("INSERT INTO done_hops (agent, version, seq, intent, hop) VALUES (?1, ?2, ?3, ?4, ?5)")?;
        let mut forget = db.prepare_cached(
            "DELETE FROM done_hops WHERE agent = ?1 AND version = ?2 AND seq <=
             (SELECT seq FROM done_hops WHERE agent = ?1 AND version = ?2 ORDER BY seq DESC LIMIT 1 OFFSET ?3)",
        )?;
        for ((agent, version), done) in self.done {
            let (agent, version) = (agent.as_str(), version.to_string());
            for Done { intent, hop, seq } in done {
                remember.execute(params![agent, version, seq, intent.as_str(), hop])?;
            }
            forget.execute(params![agent, version, REMEMBERED])?;
        }
        Ok(self.streaks)
    }
}

/// The version whose attempt a record ends, and the result.
fn attempt(summary: &RecordSummary) -> Option<(Version, Outcome)> {
    let outcome = match &summary.event {
        // Whatever the policy makes of it: an escalation is no success.
        _ if summary.exhausted => Outcome::Terminal,
        Event::HandedOff | Event::Completed | Event::FannedOut | Event::Waiting { .. } => Outcome::Ok,
        Event::Rejected { .. } => Outcome::Declined,
        Event::RetryScheduled => Outcome::Retryable,
        // That of the agent, whatever its version.
        Event::Parked { code } if code == codes::CAP_REACHED => return None,
        Event::Failed { .. } | Event::Parked { .. } => Outcome::Terminal,
        Event::Submitted
        | Event::Claimed
        | Event::Started
        | Event::Step
        | Event::Progress
        | Event::ChildDone
        | Event::Signalled
        | Event::Resumed
        | Event::Released
        | Event::Redriven
        | Event::Rerouted
        | Event::Moved
        | Event::Repinned
        | Event::Placed
        | Event::ToppedUp
        | Event::Cancelled
        | Event::TimedOut
        | Event::Compensating
        | Event::Compensated { .. }
        | Event::Unknown { .. } => return None,
    };
    match &summary.by.role {
        Role::Worker => Some(((summary.by.agent.clone()?, summary.by.version.clone()?), outcome)),
        Role::Client | Role::Controller | Role::Operator | Role::Unknown(_) => None,
    }
}

/// The hop that a commit completed.
fn hop_done(summary: &RecordSummary) -> Option<u32> {
    if summary.exhausted {
        return None;
    }
    if summary.event == Event::HandedOff {
        // The snapshot already shows the next hop.
        return Some(summary.snapshot.hop.saturating_sub(1));
    }
    matches!(summary.event, Event::Completed | Event::FannedOut).then_some(summary.snapshot.hop)
}

const fn second_of(at: Timestamp) -> i64 {
    at.unix_millis().div_euclid(1000)
}

fn second_before(now: Timestamp, ago: Duration) -> i64 {
    second_of(now).saturating_sub(i64::try_from(ago.as_secs()).unwrap_or(i64::MAX))
}

fn latencies(row: &rusqlite::Row<'_>, column: usize) -> rusqlite::Result<Latencies> {
    Latencies::decode(row.get_ref(column)?.as_blob()?).ok_or_else(|| malformed(column, "no counts by duration"))
}

/// The evidence on a version from `since` on.
pub(in crate::projection) fn tally(
    db: &Connection,
    (agent, version): &Version,
    since: Timestamp,
    slow_over_ms: Option<f64>,
) -> rusqlite::Result<Tally> {
    let mut query = db.prepare_cached(
        "SELECT ok, retryable, terminal, declined, cost, costed, latency FROM evidence
         WHERE agent = ?1 AND version = ?2 AND second >= ?3",
    )?;
    // The first second that begins at `since` or later.
    let from = since.unix_millis().saturating_add(999).div_euclid(1000);
    let mut rows = query.query(params![agent.as_str(), version.to_string(), from])?;
    let (mut tally, mut all) = (Tally::default(), Latencies::default());
    while let Some(row) = rows.next()? {
        let (ok, retryable, terminal, declined): (u64, u64, u64, u64) =
            (row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?);
        tally.hops += ok + retryable + terminal + declined;
        tally.retryable += retryable;
        tally.terminal += terminal;
        tally.declined += declined;
        if row.get::<_, u64>(5)? > 0 {
            *tally.cost.get_or_insert(0.0) += row.get::<_, f64>(4)?;
        }
        all.add(&latencies(row, 6)?);
    }
    tally.slow = slow_over_ms.map_or(0, |limit| all.over(limit));
    (tally.p50_ms, tally.p95_ms, tally.p99_ms) = (all.percentile(50), all.percentile(95), all.percentile(99));
    Ok(tally)
}

/// How many holds of a version ended per second over the last minute; `None` if none did.
pub(in crate::projection) fn pace(
    db: &Connection,
    (agent, version): &Version,
    now: Timestamp,
) -> rusqlite::Result<Option<f64>> {
    let mut query = db.prepare_cached(
        "SELECT coalesce(sum(count), 0) FROM ended WHERE agent = ?1 AND version = ?2 AND second > ?3 AND second <= ?4",
    )?;
    let between = params![
        agent.as_str(),
        version.to_string(),
        second_before(now, PACE),
        second_of(now)
    ];
    let ended: u64 = query.query_row(between, |row| row.get(0))?;
    Ok((ended > 0).then_some(ended as f64 / PACE.as_secs_f64()))
}

/// The last hops that a version completed, newest first: intent, hop, and the sequence of the commit.
pub(in crate::projection) fn last_done(
    db: &Connection,
    (agent, version): &Version,
    n: usize,
) -> rusqlite::Result<Vec<(IntentId, u32, u64)>> {
    let mut query = db.prepare_cached(
        "SELECT intent, hop, seq FROM done_hops WHERE agent = ?1 AND version = ?2 ORDER BY seq DESC LIMIT ?3",
    )?;
    query
        .query_map(params![agent.as_str(), version.to_string(), n], |row| {
            Ok((parsed(row, 0)?, row.get(1)?, row.get(2)?))
        })?
        .collect()
}

/// Deletes rows that no question needs any more.
pub(in crate::projection) fn prune(db: &Connection, now: Timestamp) -> rusqlite::Result<()> {
    db.execute("DELETE FROM evidence WHERE second < ?1", [second_before(now, KEPT)])?;
    db.execute("DELETE FROM ended WHERE second < ?1", [second_before(now, ENDS_KEPT)])?;
    Ok(())
}
