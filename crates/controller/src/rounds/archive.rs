//! The archiving duty: bundles what is closed, verifies that the archive has it, and only then purges the ledger.
//!
//! Only the leading controller archives. Every part of it may be repeated, after a crash at any point or by a second
//! leader at the same moment: a bundle is a function of the records, what was purged is not there, and a purge names the
//! sequence up to which the archive holds the intent.

use std::time::Duration;

use baton_envelope::{IntentId, Record};
use baton_jetstream::{ClosedInLedger, Error, Head, holds_life};
use futures::StreamExt as _;
use tokio::time::Instant;

use crate::context::Context;
use crate::duty::Duty;
use crate::projection::{Closed, Handled, Life};

/// How many closed intents one round takes on.
const BATCH: usize = 1000;
/// How many records the projection may be behind the ledger while intents are archived. With each purge of more than one
/// message the server counts anew what is pending for each consumer of the ledger. For one that is near the end it looks
/// through one block of messages; for one in the first half, through all subjects: with 50,000 of them, other requests
/// were not answered for 7 s, and the consumer that was behind fell further behind.
const BEHIND: u64 = 5000;
/// How many of them are worked on at the same time. Each is four requests one after the other, so this is what bounds the
/// rate; many more would make those who commit wait behind them.
const AT_ONCE: usize = 48;
/// How long from one round to the next when there was nothing more to do.
const PAUSE: Duration = Duration::from_millis(500);
/// How often it is looked for what should have been purged and was not.
const TIDY_EVERY: Duration = Duration::from_secs(10);
/// How long after it was archived an intent with a generated id is left to whoever archived it.
const TIDY_AFTER: Duration = Duration::from_secs(10);
/// How long after that a controller that does not lead looks whether the leader has purged.
const OTHERS_LATER: Duration = Duration::from_secs(60);
/// How many heads one question to the server names.
const CHUNK: usize = 1000;
/// How long an intent that could not be archived is left alone.
const AGAIN: Duration = Duration::from_secs(60);
/// How long the index may take to catch up, where something is concluded from what is not in it.
const CATCH_UP: Duration = Duration::from_secs(10);
/// How long after its grace time a closed intent that nobody knows of is taken on by the sweep.
const ADOPT_AFTER: Duration = Duration::from_secs(10);

/// The leader's duty towards closed intents.
#[derive(Debug)]
pub(crate) struct Archiving;

impl Duty for Archiving {
    const NAME: &'static str = "archive";

    async fn run(self, cx: Context) {
        let at_work = AtWork { cx };
        let stopped = at_work.cx.clone();
        stopped.until_stopped(Box::pin(at_work.rounds())).await;
    }
}

struct AtWork {
    cx: Context,
}

impl AtWork {
    async fn rounds(&self) {
        let mut tidied: Option<Instant> = None;
        loop {
            let mut pause = PAUSE;
            if self.cx.leadership.is_leading() && self.cx.config.archive.enabled {
                match self.archive_due().await {
                    Ok(BATCH..) => pause = Duration::ZERO,
                    Ok(_) => {}
                    Err(error) => tracing::warn!(%error, "closed intents cannot be archived now, trying again"),
                }
            }
            if tidied.is_none_or(|at| at.elapsed() > TIDY_EVERY) {
                tidied = Some(Instant::now());
                if let Err(error) = self.tidy().await {
                    tracing::warn!(%error, "the ledger cannot be tidied now, trying again");
                }
            }
            tokio::time::sleep(pause).await;
        }
    }

    /// One round over what is due; gives how many that were.
    async fn archive_due(&self) -> Result<usize, Error> {
        let until = self.cx.mesh.now().minus(self.cx.config.archive.grace);
        let due = self.cx.projection.due_for_archive(until, BATCH).await?;
        let count = due.len();
        if count == 0 {
            return Ok(0);
        }
        let behind = self.cx.projection.behind().await?;
        if behind > BEHIND {
            tracing::debug!(behind, "archiving waits for the projection");
            return Ok(0);
        }
        let started = Instant::now();
        let mut done = Vec::with_capacity(count);
        let mut work = futures::stream::iter(due)
            .map(|closed| self.archive_one(closed))
            .buffer_unordered(AT_ONCE);
        let mut interrupted = None;
        while let Some(handled) = work.next().await {
            match handled {
                Ok(handled) => done.push(handled),
                // No server, or none that takes anything: what is not done stays due.
                Err(error) => {
                    interrupted = Some(error);
                    break;
                }
            }
            if !self.cx.leadership.is_leading() {
                break;
            }
        }
        drop(work);
        let handled = done.len();
        let failed = done.iter().filter(|one| matches!(one, Handled::Failed { .. })).count();
        self.cx.projection.handled(done).await?;
        let millis = started.elapsed().as_millis();
        tracing::debug!(handled, failed, millis, "archived");
        match interrupted {
            Some(error) => Err(error),
            None => Ok(count),
        }
    }

    /// Archives one intent. An error means that the server is away; anything that is wrong with the intent itself is
    /// recorded, and does not keep the others waiting.
    async fn archive_one(&self, closed: Closed) -> Result<Handled, Error> {
        let intent = closed.intent.clone();
        match Box::pin(self.bundle_and_purge(&closed)).await {
            Ok(handled) => Ok(handled),
            Err(error @ Error::NoAnswer { .. }) => Err(error),
            Err(error) => {
                let problem = error.to_string();
                tracing::warn!(%intent, problem, "a closed intent stays in the ledger");
                let again = self.cx.mesh.now().plus(AGAIN);
                Ok(Handled::Failed { intent, problem, again })
            }
        }
    }

    async fn bundle_and_purge(&self, closed: &Closed) -> Result<Handled, Error> {
        let intent = closed.intent.clone();
        let Some(bundle) = self.cx.mesh.stored_records(&intent).await? else {
            return Ok(Handled::Gone(intent));
        };
        let opens = bundle
            .records
            .first()
            .is_some_and(|first| Record::decode(&first.body).is_ok_and(|record| record.is_opening()));
        if !opens {
            return self.remainder(closed).await;
        }
        let facts = bundle.verify().map_err(|error| Error::Bundle(Box::new(error)))?;
        // A raw intent that was refused has one record, which stays for as long as its id is to be remembered. So there is
        // nothing to gain before that.
        let alone = bundle.records.len() == 1;
        let remembered_until = facts.ended_at.plus(self.cx.config.archive.keep_chosen_ids);
        if alone && !facts.generated && remembered_until > self.cx.mesh.now() {
            let due = remembered_until.minus(self.cx.config.archive.grace);
            return Ok(Handled::Early { intent, due });
        }
        let archive_seq = self.cx.mesh.archive_bundle(&bundle, &facts).await?;
        // A chosen id keeps its terminal record, which is the last one: nothing follows it.
        let gone = facts.generated || alone;
        let below = if gone { facts.seq + 1 } else { facts.seq };
        self.cx.mesh.purge_records(&intent, below).await?;
        Ok(Handled::Archived {
            intent,
            archive_seq,
            gone,
        })
    }

    /// What is left of an intent whose earlier records were purged: the archive has it, unless it has dropped it for its
    /// age.
    async fn remainder(&self, closed: &Closed) -> Result<Handled, Error> {
        let intent = closed.intent.clone();
        self.cx.projection.archive_caught_up(CATCH_UP).await?;
        if let Some((archive_seq, _)) = self
            .cx
            .mesh
            .bundle_of(&intent, self.cx.projection.find_archived(&intent).await?)
            .await?
        {
            return Ok(Handled::Archived {
                intent,
                archive_seq,
                gone: false,
            });
        }
        let Some(head) = self.cx.mesh.head(&intent).await? else {
            return Ok(Handled::Gone(intent));
        };
        let over = head
            .record
            .snapshot
            .updated_at
            .plus(self.cx.config.archive.keep_chosen_ids);
        if over > self.cx.mesh.now() {
            let problem = "the archive does not have its earlier records (any more)".to_owned();
            return Ok(Handled::Failed {
                intent,
                problem,
                again: over,
            });
        }
        self.cx.mesh.purge_records(&intent, head.seq + 1).await?;
        Ok(Handled::Gone(intent))
    }

    /// Purges what the archive has and the ledger should not have any more: terminal records of chosen ids whose time is
    /// over, and what a leader left that died between archiving and purging. A controller that does not lead only learns
    /// what was purged.
    async fn tidy(&self) -> Result<(), Error> {
        let leading = self.cx.leadership.is_leading() && self.cx.config.archive.enabled;
        let later = if leading { Duration::ZERO } else { OTHERS_LATER };
        let now = self.cx.mesh.now();
        if let Some(end) = self.cx.mesh.archive_end().await.ok().filter(|end| end.first_seq > 1) {
            self.cx.projection.prune_archived(end.first_seq).await?;
        }
        let generated = now.minus(TIDY_AFTER + later);
        let chosen = now.minus(self.cx.config.archive.keep_chosen_ids + later);
        loop {
            let over = self.cx.projection.over_in_ledger(generated, chosen, BATCH).await?;
            let count = over.len();
            let mut done = Vec::with_capacity(count);
            for chunk in over.chunks(CHUNK) {
                let intents: Vec<IntentId> = chunk.iter().map(|closed| closed.intent.clone()).collect();
                let there = self.cx.mesh.heads(&intents).await?;
                for closed in chunk {
                    let head = there.iter().find(|head| head.record.intent == closed.intent);
                    match head {
                        None => done.push(Handled::Gone(closed.intent.clone())),
                        // Another life of the same id is not what was archived.
                        Some(head) if head.seq > closed.seq => done.push(Handled::Gone(closed.intent.clone())),
                        Some(_) if !leading => {}
                        Some(_) => {
                            self.cx.mesh.purge_records(&closed.intent, closed.seq + 1).await?;
                            done.push(Handled::Gone(closed.intent.clone()));
                        }
                    }
                }
            }
            let settled = done.len();
            self.cx.projection.handled(done).await?;
            if settled < count || count < BATCH {
                return Ok(());
            }
        }
    }
}

/// What a sweep asks of the archive's index.
#[derive(Debug)]
pub(crate) struct Closings(pub(crate) Context);

impl ClosedInLedger for Closings {
    async fn purge_returned(&self, open: &[Head]) -> Result<Vec<IntentId>, Error> {
        let lives = open.iter().map(Life::of).collect();
        let mut purged = Vec::new();
        for (index, archive_seq) in self.0.projection.returned(lives).await? {
            let Some(head) = open.get(index) else { continue };
            // The index knows fingerprints only: it is the bundle that says whose it is.
            let bundle = match self.0.mesh.bundle_at(archive_seq).await {
                Ok(bundle) => bundle,
                Err(error @ Error::NoAnswer { .. }) => return Err(error),
                // Dropped for its age, or altered: one bundle must not keep all other intents from being swept.
                Err(error) => {
                    tracing::warn!(%error, intent = %head.record.intent, "the bundle of an open intent cannot be read");
                    continue;
                }
            };
            let submitted_at = head.record.snapshot.submitted_at;
            if bundle.intent != head.record.intent || !holds_life(&bundle, submitted_at).unwrap_or(false) {
                continue;
            }
            tracing::warn!(intent = %bundle.intent, seq = head.seq, "records of an archived intent are back: purged again");
            self.0.mesh.purge_records(&bundle.intent, head.seq + 1).await?;
            purged.push(bundle.intent);
        }
        Ok(purged)
    }

    async fn note_closed(&self, closed: Vec<Head>) -> Result<(), Error> {
        let before = self.0.mesh.now().minus(self.0.config.archive.grace + ADOPT_AFTER);
        let mut old = closed;
        old.retain(|head| head.record.snapshot.updated_at <= before);
        if old.is_empty() {
            return Ok(());
        }
        Ok(self.0.projection.adopt(old).await?)
    }
}

impl Life {
    fn of(head: &Head) -> Self {
        Self {
            intent: head.record.intent.clone(),
            submitted_at: head.record.snapshot.submitted_at,
        }
    }
}
