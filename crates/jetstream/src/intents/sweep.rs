//! Finding open intents whose ticket is lost and writing it again; ending intents whose deadline has passed.
//!
//! A ticket can be missing when a submitter died between its two writes, or when a power cut took the last writes of a
//! work stream. It is known to be missing when the intent should have one and everything queued for its version at that
//! time is gone. Sweeping is safe to repeat and safe to run twice at once: a worker checks a reissued ticket against
//! the ledger before running it.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use baton_envelope::control::Unreadable;
use baton_envelope::{
    AgentName, AgentVersion, Author, IntentId, Need, Timestamp, in_server_time, is_ticket_lost, needs,
};

use crate::error::Error;
use crate::ledger::{Head, HeadParts, subject_of_key};
use crate::server::{ControllerMesh, LedgerEnd};

/// How often to look at all intents, whatever the index of the ledger says: it may have missed something for a reason that nobody
/// thought of.
const ALL_EVERY: Duration = Duration::from_secs(10 * 60);

/// By how much a record may be newer than the server stored it, before its writer's clock counts as ahead.
const AHEAD: Duration = Duration::from_secs(1);

/// What one sweep did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SweepReport {
    /// Open intents that were examined.
    pub open: usize,
    /// Tickets that were written again.
    pub reissued: usize,
    /// Waiting intents that went on: what they waited for had come.
    pub resumed: usize,
    /// Intents whose deadline had passed.
    pub timed_out: usize,
    /// Intents whose children got what they had been lent more.
    pub topped_up: usize,
    /// Intents that could not be swept this time; the log says why.
    pub failed: usize,
    /// Archived intents whose records came back and were purged again.
    pub returned: usize,
    /// Closed intents that records after their end had opened, and that were closed again.
    pub closed_again: usize,
}

/// What one intent needed.
enum Help {
    None,
    Reissued,
    TimedOut,
    Resumed,
    ToppedUp,
}

/// Whether an open intent had been closed before.
enum Closed {
    No,
    Again,
    /// Its head is so new that somebody may be at work on it.
    TooNew,
}

/// What one sweep has read so far.
#[derive(Default)]
struct Seen {
    /// The intents whose ticket the sweep before held for lost.
    before: HashMap<IntentId, u64>,
    oldest: HashMap<(AgentName, AgentVersion), Option<Timestamp>>,
    /// The intents that have a ticket in the stream, whether it is delivered or not.
    queued: HashMap<(AgentName, AgentVersion), HashSet<IntentId>>,
}

/// Which intents a sweep looks at. One that waits, is set aside or is done by hand owes nothing, and is left out.
#[derive(Debug, Clone, Default)]
pub struct ToSweep {
    /// All of the ledger, whatever else is named here.
    pub all: bool,
    /// Open intents that owe something.
    pub owing: Vec<IntentId>,
    /// Subjects of the ledger with a record that does not follow from those before it: it cannot be read, is void, or comes
    /// after the end of its intent.
    pub odd: HashSet<String>,
}

/// What a sweep does about intents that the archive holds. The sweep itself does not know which these are.
pub trait ClosedInLedger: Sync {
    /// Of these open intents, purges those that the archive holds, and returns them: their records came back after a
    /// crash, or a process that had been frozen wrote them again. They are closed, and a sweep does nothing for them.
    ///
    /// # Errors
    /// When the archive cannot be consulted, or the server does not answer.
    fn purge_returned(&self, open: &[Head]) -> impl Future<Output = Result<Vec<IntentId>, Error>> + Send;

    /// Takes note of closed intents that are in the ledger.
    ///
    /// # Errors
    /// When the note cannot be stored.
    fn note_closed(&self, closed: Vec<Head>) -> impl Future<Output = Result<(), Error>> + Send;
}

/// For a mesh without an archive.
#[derive(Debug, Clone, Copy)]
pub struct NoArchive;

impl ClosedInLedger for NoArchive {
    async fn purge_returned(&self, _open: &[Head]) -> Result<Vec<IntentId>, Error> {
        Ok(Vec::new())
    }

    async fn note_closed(&self, _closed: Vec<Head>) -> Result<(), Error> {
        Ok(())
    }
}

/// Sweeps one mesh.
#[derive(Debug, Clone)]
pub struct Sweeper {
    mesh: ControllerMesh,
    by: Author,
    /// How long after its last record to leave an intent alone.
    slack: Duration,
    /// The odd subjects that the last sweep is not done with.
    undone: HashSet<String>,
    /// When all intents were looked at, how many records the ledger lacked then, and which connection it was.
    all: Option<(Instant, u64, u64)>,
    /// The intents whose ticket the last sweep held for lost, with the head that owes it.
    lost: Arc<Mutex<HashMap<IntentId, u64>>>,
    /// The intents whose last record the last sweep could not read.
    unreadable: Vec<Unreadable>,
}

impl Sweeper {
    /// A sweeper that leaves intents alone until `slack` after their last record.
    pub fn new(mesh: &ControllerMesh, by: Author, slack: Duration) -> Self {
        Self {
            mesh: mesh.clone(),
            by,
            slack,
            undone: HashSet::new(),
            all: None,
            lost: Arc::default(),
            unreadable: Vec::new(),
        }
    }

    /// The intents whose last record the last sweep could not read.
    pub fn unreadable(&self) -> &[Unreadable] {
        &self.unreadable
    }

    /// Whether the last sweep is done with an odd subject.
    pub fn is_done_with(&self, subject: &str) -> bool {
        !self.undone.contains(subject)
    }

    /// Whether the next sweep must look at all intents. An index of the ledger has all that was written; only records that
    /// a crash of the server brought back are news to it. After a crash the connection is another one, or the ledger lacks
    /// fewer records than before.
    pub fn must_look_at_all(&self, end: &LedgerEnd) -> bool {
        self.all.is_none_or(|(at, removed, connection)| {
            at.elapsed() >= ALL_EVERY || end.removed() < removed || self.mesh.connections_made() != connection
        })
    }

    /// One pass over these intents. `end` is the end of the ledger before anybody looked for them.
    ///
    /// # Errors
    /// When the server does not answer.
    pub async fn sweep(
        &mut self,
        suspects: ToSweep,
        end: &LedgerEnd,
        archive: &impl ClosedInLedger,
    ) -> Result<SweepReport, Error> {
        let mut report = SweepReport::default();
        let mut seen = Seen {
            before: std::mem::take(&mut *self.lost.lock().unwrap_or_else(PoisonError::into_inner)),
            ..Seen::default()
        };
        let (begun, connection) = (Instant::now(), self.mesh.connections_made());
        let ToSweep { all, owing, odd } = suspects;
        let (mut unreadable, mut undone) = (Vec::new(), HashSet::new());
        let subjects = match all {
            true => self.mesh.ledger_subjects().await?,
            false => self.subjects_of(&owing, &odd),
        };
        let mut parts = HeadParts::of(&subjects);
        while let Some((heads, others)) = parts.next(&self.mesh).await? {
            unreadable.extend(others);
            let (closed, open): (Vec<Head>, Vec<Head>) = heads
                .into_iter()
                .partition(|head| head.record.snapshot.status.is_terminal());
            archive.note_closed(closed).await?;
            let returned = archive.purge_returned(&open).await?;
            report.returned += returned.len();
            for head in open.into_iter().map(in_time) {
                if returned.contains(&head.record.intent) {
                    continue;
                }
                let subject = self.mesh.subjects().ledger(&head.record.intent);
                if odd.contains(&subject) {
                    match self.was_closed(&head).await {
                        Ok(Closed::Again) => {
                            report.closed_again += 1;
                            continue;
                        }
                        Ok(Closed::No) => {}
                        Ok(Closed::TooNew) => {
                            undone.insert(subject);
                        }
                        Err(error @ Error::NoAnswer { .. }) => return Err(error),
                        Err(error) => {
                            tracing::warn!(%error, intent = %head.record.intent, "an intent could not be closed again");
                            undone.insert(subject);
                            report.failed += 1;
                            continue;
                        }
                    }
                }
                if head.record.snapshot.owes_top_ups() {
                    // Beside whatever else it needs: neither may wait for the other to succeed.
                    self.count(&head, Need::TopUps, &mut seen, &mut report).await?;
                }
                let need = needs(&head.record, self.mesh.now(), self.slack);
                if need == Need::Closed {
                    continue;
                }
                report.open += 1;
                // An import writes records that are old, and goes on for a moment.
                let is_new = head.stored_at.is_some_and(|at| at.plus(self.slack) > self.mesh.now());
                if is_new && need == Need::Ticket {
                    continue;
                }
                self.count(&head, need, &mut seen, &mut report).await?;
            }
        }
        undone.extend(
            unreadable
                .iter()
                .filter_map(|one| subject_of_key(self.mesh.subjects(), one)),
        );
        (self.unreadable, self.undone) = (unreadable, undone);
        if all {
            self.all = Some((begun, end.removed(), connection));
        }
        Ok(report)
    }

    /// The subjects of what a sweep looks at, and of what the last one could not read.
    fn subjects_of(&self, owing: &[IntentId], odd: &HashSet<String>) -> Vec<String> {
        let subjects = self.mesh.subjects();
        let unread = self.unreadable.iter().filter_map(|one| subject_of_key(subjects, one));
        let mut found: HashSet<String> = owing.iter().map(|intent| subjects.ledger(intent)).collect();
        found.extend(odd.iter().cloned());
        found.extend(unread);
        found.into_iter().collect()
    }

    /// Closes an open intent again that had been closed before; not before its head is older than the slack: what moves on is
    /// not looked at.
    async fn was_closed(&self, head: &Head) -> Result<Closed, Error> {
        if head.record.snapshot.updated_at.plus(self.slack) > self.mesh.now() {
            return Ok(Closed::TooNew);
        }
        let Some(standing) = self.mesh.keep_closed(head, &self.by).await? else {
            return Ok(Closed::No);
        };
        let (intent, seq, records) = (&head.record.intent, head.seq, standing.contained.len());
        tracing::warn!(%intent, seq, records, "records after its end had opened it; it is closed again");
        Ok(Closed::Again)
    }

    /// Helps one intent, and counts how.
    async fn count(&self, head: &Head, need: Need, seen: &mut Seen, report: &mut SweepReport) -> Result<(), Error> {
        match self.help(head, need, seen).await {
            Ok(Help::TimedOut) => report.timed_out += 1,
            Ok(Help::Reissued) => report.reissued += 1,
            Ok(Help::Resumed) => report.resumed += 1,
            Ok(Help::ToppedUp) => report.topped_up += 1,
            Ok(Help::None) => {}
            // One agent whose stream is gone or full must not keep the other intents from being swept.
            Err(error) if error.is_of_server() => return Err(error),
            Err(error) => {
                tracing::warn!(%error, intent = %head.record.intent, "cannot sweep an intent");
                report.failed += 1;
            }
        }
        Ok(())
    }

    async fn help(&self, head: &Head, need: Need, seen: &mut Seen) -> Result<Help, Error> {
        if matches!(need, Need::Closed | Need::None) {
            return Ok(Help::None);
        }
        // Where the mesh signs, the sweep has verified this record by itself. Before acting on it, it is judged by all.
        let judged = match self.mesh.rules() {
            Some(_) => self.mesh.head(&head.record.intent).await?,
            None => None,
        };
        let head = match &judged {
            Some(judged) if judged.record.id != head.record.id => return Ok(Help::None),
            judged => judged.as_ref().unwrap_or(head),
        };
        let (done, help) = match need {
            Need::Closed | Need::None => return Ok(Help::None),
            Need::TimeOut => (self.end(head).await?, Help::TimedOut),
            Need::Ticket => (self.reissue_if_lost(head, seen).await?, Help::Reissued),
            Need::Resume => (
                self.mesh.resume(&head.record.intent, &self.by, |_| false).await?,
                Help::Resumed,
            ),
            Need::Redrive => (
                self.mesh.redrive_funded(&head.record.intent, &self.by).await?,
                Help::Resumed,
            ),
            Need::TopUps => (
                self.mesh.pay_debts(&head.record.intent, &self.by).await?,
                Help::ToppedUp,
            ),
        };
        Ok(if done { help } else { Help::None })
    }

    async fn end(&self, head: &Head) -> Result<bool, Error> {
        self.mesh.time_out(head, &self.by).await
    }

    async fn reissue_if_lost(&self, head: &Head, seen: &mut Seen) -> Result<bool, Error> {
        let snapshot = &head.record.snapshot;
        let (Some(agent), Some(version)) = (&snapshot.agent, &snapshot.version) else {
            return Ok(false);
        };
        // Not lost: the leader writes it when the breaker is closed.
        if self.mesh.routes().withholds(agent, version) {
            return Ok(false);
        }
        let key = (agent.clone(), version.clone());
        let oldest = match seen.oldest.get(&key) {
            Some(at) => *at,
            None => {
                let at = self.oldest_ticket(agent, version).await?;
                seen.oldest.insert(key.clone(), at);
                at
            }
        };
        if !is_ticket_lost(snapshot, oldest, self.slack) {
            return Ok(false);
        }
        let intent = &head.record.intent;
        self.lost
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(intent.clone(), head.seq);
        if seen.before.get(intent) == Some(&head.seq) && self.is_queued(intent, key, seen).await? {
            return Ok(false);
        }
        if let Err(error) = self.mesh.reissue(head).await {
            return self.mesh.or_park(intent, &self.by, Err(error)).await;
        }
        tracing::info!(intent = %head.record.intent, %agent, "its ticket was lost, and is written again");
        Ok(true)
    }

    /// Whether the ticket that the last sweep wrote is still in the stream. Then it is not lost: no consumer delivers it, and
    /// another would not be delivered either.
    async fn is_queued(
        &self,
        intent: &IntentId,
        key: (AgentName, AgentVersion),
        seen: &mut Seen,
    ) -> Result<bool, Error> {
        if !seen.queued.contains_key(&key) {
            let (agent, version) = &key;
            let tickets = self.mesh.undelivered_tickets(agent, version).await?;
            let drifted = self
                .mesh
                .drifted_consumers(&self.mesh.subjects().work_stream(agent))
                .await?;
            let why: Vec<String> = drifted
                .iter()
                .map(|one| format!("{}: {}", one.consumer, one.differences.join(", ")))
                .collect();
            tracing::warn!(%agent, %version, consumers = ?why, "tickets were written again and are not delivered: `baton doctor` says what to do");
            let intents = tickets.into_iter().map(|ticket| ticket.intent).collect();
            seen.queued.insert(key.clone(), intents);
        }
        Ok(seen.queued.get(&key).is_some_and(|intents| intents.contains(intent)))
    }

    /// When the oldest ticket of a version that may still be delivered was stored. Of the version, not of its agent:
    /// another version without workers may have tickets that stay.
    ///
    /// A ticket below the floor of its consumer was acknowledged and will not be delivered again, but a power cut can
    /// bring it back to the stream. It must not count as queued work forever.
    async fn oldest_ticket(&self, agent: &AgentName, version: &AgentVersion) -> Result<Option<Timestamp>, Error> {
        let stream = self.mesh.subjects().work_stream(agent);
        // A stream that does not exist does not answer a direct get. Do not mistake that for an unreachable server.
        let what = format!("STREAM.INFO.{stream}");
        self.mesh
            .ask::<serde::de::IgnoredAny>(&what, &serde_json::json!({}))
            .await??;
        let mut places = self.mesh.undelivered_from(agent, version).await?;
        if places.is_empty() {
            places.push((self.mesh.subjects().work_version(agent, version), 1));
        }
        let mut oldest: Option<Timestamp> = None;
        for (subject, from) in places {
            let stored = self.first_stored(&stream, &subject, from).await?;
            oldest = match (oldest, stored) {
                (Some(one), Some(other)) => Some(one.min(other)),
                (one, other) => one.or(other),
            };
        }
        Ok(oldest)
    }

    /// When the first message of a subject, at or after a sequence, was stored.
    async fn first_stored(&self, stream: &str, subject: &str, from: u64) -> Result<Option<Timestamp>, Error> {
        let request = serde_json::json!({ "seq": from, "next_by_subj": subject, "batch": 1 });
        let (found, _) = self.mesh.direct_batch_of(stream, &request).await?;
        let Some(first) = found.first() else { return Ok(None) };
        match first.stored_at() {
            Some(at) => Ok(Some(at)),
            None => Err(Error::api(
                format!("reading the oldest ticket of {subject}"),
                "it has no time of storing",
            )),
        }
    }
}

/// A head whose writer's clock is ahead, in the time of the server: else it would pass for new until that time has come.
fn in_time(head: Head) -> Head {
    match head.stored_at {
        Some(at) if head.record.at > at.plus(AHEAD) => Head {
            record: in_server_time(head.record, at),
            ..head
        },
        Some(_) | None => head,
    }
}
