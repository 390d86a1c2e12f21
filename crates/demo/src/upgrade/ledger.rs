//! Follows the ledger from its first record on. The scenario waits for its content and is judged by it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use baton_envelope::{IntentId, Record, Status};
use baton_jetstream::{Head, LedgerMark, LedgerTail, Mesh};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::error::DemoError;
use crate::harness::LOOK;

/// How long to wait after an error before reading the ledger again.
const PAUSE: Duration = Duration::from_millis(250);

/// All records of every intent, in order.
type Histories = BTreeMap<IntentId, Vec<Head>>;

/// Follows the ledger until it is dropped.
#[derive(Debug)]
pub(super) struct Ledger {
    seen: Arc<Mutex<Histories>>,
    task: JoinHandle<()>,
}

impl Drop for Ledger {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Ledger {
    pub(super) async fn follow(mesh: &Mesh) -> Result<Self, DemoError> {
        let end = mesh.ledger_end().await?;
        let tail = mesh.tail_ledger(&end.created, LedgerMark::default());
        let seen: Arc<Mutex<Histories>> = Arc::default();
        let task = tokio::spawn(read(tail, Arc::clone(&seen)));
        Ok(Self { seen, task })
    }

    /// Waits until this many intents have completed.
    pub(super) async fn until_completed(&self, count: usize, max: Duration) -> Result<(), DemoError> {
        let completed = |seen: &Histories| {
            let is_completed =
                |history: &&Vec<Head>| present(history).is_some_and(|status| *status == Status::Completed);
            match seen.values().filter(is_completed).count() {
                done if done >= count => Ok(()),
                done => Err(format!("only {done} of {count} intents completed")),
            }
        };
        self.until(completed, max).await
    }

    /// Waits until all of these intents have ended or are parked.
    pub(super) async fn until_over(&self, intents: &[IntentId], max: Duration) -> Result<(), DemoError> {
        let over = |seen: &Histories| {
            let is_open = |intent: &&IntentId| {
                let history = seen.get(*intent);
                !history.and_then(|history| present(history)).is_some_and(is_over)
            };
            match intents.iter().filter(is_open).count() {
                0 => Ok(()),
                open => Err(format!("{open} of {} intents have not ended", intents.len())),
            }
        };
        self.until(over, max).await
    }

    /// The histories of these intents; an empty one for an intent without records.
    pub(super) fn histories(&self, intents: Vec<IntentId>) -> Vec<(IntentId, Vec<Head>)> {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let history = |intent: IntentId| {
            let history = seen.remove(&intent).unwrap_or_default();
            (intent, history)
        };
        intents.into_iter().map(history).collect()
    }

    async fn until(
        &self,
        probe: impl Fn(&Histories) -> Result<(), String> + Sync,
        max: Duration,
    ) -> Result<(), DemoError> {
        let until = Instant::now() + max;
        loop {
            let found = probe(&self.seen.lock().unwrap_or_else(PoisonError::into_inner));
            match found {
                Ok(()) => return Ok(()),
                Err(problem) if Instant::now() > until => {
                    return Err(DemoError::Stuck(format!("{problem} within {max:?}")));
                }
                Err(_) => tokio::time::sleep(LOOK).await,
            }
        }
    }
}

/// Whether nothing more happens without a person.
fn is_over(status: &Status) -> bool {
    status.is_terminal() || matches!(status, Status::Parked { .. })
}

fn present(history: &[Head]) -> Option<&Status> {
    history.last().map(|head| &head.record.snapshot.status)
}

async fn read(mut tail: LedgerTail, seen: Arc<Mutex<Histories>>) {
    loop {
        match tail.next_batch().await {
            Ok(Some(batch)) => {
                let heads = batch.records.iter().filter_map(|(seq, body)| {
                    let record = Record::decode(body).ok()?;
                    Some(Head::new(record, *seq))
                });
                let heads: Vec<Head> = heads.collect();
                let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
                for head in heads {
                    seen.entry(head.record.intent.clone()).or_default().push(head);
                }
            }
            Ok(None) => return,
            Err(_) => tokio::time::sleep(PAUSE).await,
        }
    }
}
