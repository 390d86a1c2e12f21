//! Finding open intents whose ticket is lost and writing it again; ending intents whose deadline has passed.
//!
//! A ticket can be missing when a submitter died between its two writes, or when a power cut took the last writes of a
//! work stream. It is known to be missing when the intent should have one and everything queued for its version at that
//! time is gone. Sweeping is safe to repeat and safe to run twice at once: a worker checks a reissued ticket against
//! the ledger before running it.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use baton_envelope::control::Unreadable;
use baton_envelope::{AgentName, AgentVersion, Author, IntentId, Need, Timestamp, is_ticket_lost, needs};

use crate::error::Error;
use crate::ledger::{Head, HeadParts};
use crate::server::ControllerMesh;

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
    /// The sequence of the head at which the history of an open intent was last read, and it had not been closed before.
    open_at: HashMap<IntentId, u64>,
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
            open_at: HashMap::new(),
            lost: Arc::default(),
            unreadable: Vec::new(),
        }
    }

    /// The intents whose last record the last sweep could not read.
    pub fn unreadable(&self) -> &[Unreadable] {
        &self.unreadable
    }

    /// One pass over all intents.
    ///
    /// # Errors
    /// When the server does not answer.
    pub async fn sweep(&mut self, archive: &impl ClosedInLedger) -> Result<SweepReport, Error> {
        let mut report = SweepReport::default();
        let mut seen = Seen {
            before: std::mem::take(&mut *self.lost.lock().unwrap_or_else(PoisonError::into_inner)),
            ..Seen::default()
        };
        // Forget what was learnt of intents that are no longer open.
        let known = std::mem::take(&mut self.open_at);
        let mut unreadable = Vec::new();
        let subjects = self.mesh.ledger_subjects().await?;
        let mut parts = HeadParts::of(&subjects);
        while let Some((heads, others)) = parts.next(&self.mesh).await? {
            unreadable.extend(others);
            let (closed, open): (Vec<Head>, Vec<Head>) = heads
                .into_iter()
                .partition(|head| head.record.snapshot.status.is_terminal());
            archive.note_closed(closed).await?;
            let returned = archive.purge_returned(&open).await?;
            report.returned += returned.len();
            for head in open {
                if returned.contains(&head.record.intent) {
                    continue;
                }
                match self.was_closed(&head, &known).await {
                    Ok(true) => {
                        report.closed_again += 1;
                        continue;
                    }
                    Ok(false) => {}
                    Err(error @ Error::NoAnswer { .. }) => return Err(error),
                    Err(error) => {
                        tracing::warn!(%error, intent = %head.record.intent, "an intent could not be closed again");
                        report.failed += 1;
                        continue;
                    }
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
                match self.help(&head, need, &mut seen).await {
                    Ok(Help::TimedOut) => report.timed_out += 1,
                    Ok(Help::Reissued) => report.reissued += 1,
                    Ok(Help::Resumed) => report.resumed += 1,
                    Ok(Help::None) => {}
                    // One agent whose stream is gone or full must not keep the other intents from being swept.
                    Err(error) if error.is_of_server() => return Err(error),
                    Err(error) => {
                        tracing::warn!(%error, intent = %head.record.intent, "cannot sweep an intent");
                        report.failed += 1;
                    }
                }
            }
        }
        self.unreadable = unreadable;
        Ok(report)
    }

    /// Closes an open intent again that had been closed before. Its history is read once for each head, when that is older
    /// than the slack: what moves on is not looked at.
    async fn was_closed(&mut self, head: &Head, known: &HashMap<IntentId, u64>) -> Result<bool, Error> {
        let intent = &head.record.intent;
        if known.get(intent) != Some(&head.seq) {
            if head.record.snapshot.updated_at.plus(self.slack) > self.mesh.now() {
                return Ok(false);
            }
            if let Some(standing) = self.mesh.keep_closed(head, &self.by).await? {
                let (seq, records) = (head.seq, standing.contained.len());
                tracing::warn!(%intent, seq, records, "records after its end had opened it; it is closed again");
                return Ok(true);
            }
        }
        self.open_at.insert(intent.clone(), head.seq);
        Ok(false)
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
        self.mesh.reissue(head).await?;
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
            let tickets = self.mesh.queued_tickets(agent, version).await?;
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
