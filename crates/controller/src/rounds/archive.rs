//! The archive: bundles closed intents, verifies that the archive has them, and only then purges the ledger.
//!
//! Every part may be repeated, after a crash at any point or by a second leader at the same moment: a bundle depends on
//! the records alone, what was purged is gone, and a purge names the sequence up to which the archive holds the intent.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use baton_envelope::{Bundle, Record};
use baton_jetstream::{Due, Error};
use futures::StreamExt as _;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::Instant;

use crate::projection::{Closed, Handled};
use crate::rounds::error::RoundError;
use crate::rounds::round::{Period, Round};
use crate::rounds::term::Term;

/// How many closed intents one round handles.
const BATCH: usize = 1000;
/// How far the projection may lag the ledger before archiving pauses. After each purge of more than one message the
/// server recounts what is pending for each consumer of the ledger. For a consumer near the end it scans one block of
/// messages; for one in the first half, all subjects. With 50,000 subjects, other requests went unanswered for 7 s, and
/// the lagging consumer fell further behind.
const BEHIND: u64 = 5000;
/// How many intents to handle at the same time. Each takes four requests in sequence, so this bounds the rate; many
/// more would make commits wait.
const AT_ONCE: usize = 48;
/// The time between rounds if the last one found nothing more to do.
const PAUSE: Duration = Duration::from_millis(500);
/// How long to leave an intent alone that could not be archived. Once somebody has mended the cause, `baton doctor` is content no
/// later than this.
const AGAIN: Duration = Duration::from_secs(10);
/// How long the index may take to catch up before a conclusion from what is missing in it.
const CATCH_UP: Duration = Duration::from_secs(10);

/// How many bytes of bundles to have in memory at the same time, and the unit in which that is counted: so many small ones
/// as are handled at a time fit, of those that are larger fewer. Each is there some five times: as records, as a bundle,
/// compressed, and as it was read back.
const ROOM: u32 = 16 * 1024 * 1024;
const UNIT: u32 = 256 * 1024;

/// Archives closed intents.
#[derive(Debug)]
pub(crate) struct Archive {
    /// Whether there was more to do than one round handles.
    more: bool,
    room: Room,
}

/// Room for bundles. Before an intent is read nobody knows how large it is: it is taken for as large as the last one.
#[derive(Debug)]
struct Room {
    units: Semaphore,
    last: AtomicU32,
}

impl Room {
    /// Large ones may come first.
    fn new() -> Self {
        Self {
            units: Semaphore::new((ROOM / UNIT) as usize),
            last: AtomicU32::new(ROOM / UNIT / 4),
        }
    }

    /// Waits for the room that one more takes. `None` never: nobody closes it.
    async fn take(&self) -> Option<SemaphorePermit<'_>> {
        self.units.acquire_many(self.last.load(Ordering::Relaxed)).await.ok()
    }

    /// Takes note of how large a bundle was.
    fn saw(&self, bundle: &Bundle) {
        let bytes: usize = bundle.records.iter().map(|record| record.body.len()).sum();
        let bytes = u32::try_from(bytes).unwrap_or(ROOM).clamp(1, ROOM);
        self.last.store(bytes.div_ceil(UNIT), Ordering::Relaxed);
    }
}

impl Round for Archive {
    const NAME: &'static str = "archive";
    /// A round sends several thousand requests.
    const TIMEOUT: Duration = Duration::from_secs(10 * 60);
    const PERIOD: Period = Period::Time(PAUSE);

    fn begin(_: &Term) -> Self {
        Self {
            more: false,
            room: Room::new(),
        }
    }

    fn due(&mut self, _: &Term, turn: u64) -> Period {
        match turn == 0 || std::mem::take(&mut self.more) {
            true => Period::Time(Duration::ZERO),
            false => Self::PERIOD,
        }
    }

    async fn round(&mut self, term: &Term) -> Result<(), RoundError> {
        self.more = archive_due(term, &self.room).await? == BATCH;
        Ok(())
    }
}

/// Archives what is due, and returns how many intents were due.
async fn archive_due(term: &Term, room: &Room) -> Result<usize, RoundError> {
    let until = term.cx.mesh.now().minus(term.cx.config.archive.grace);
    let due = term.cx.projection.due_for_archive(until, BATCH).await?;
    let count = due.len();
    if count == 0 {
        return Ok(0);
    }
    let behind = term.cx.projection.behind().await?;
    if behind > BEHIND {
        tracing::debug!(behind, "archiving waits for the projection");
        return Ok(0);
    }
    // What no checkpoint covers stays: purged, it would be missing in the next one.
    let covered = term.cx.mesh.covered_through().await?;
    let started = Instant::now();
    let mut done = Vec::with_capacity(count);
    let mut work = futures::stream::iter(due)
        .map(|closed| async move {
            let _room = room.take().await;
            archive_one(term, closed, covered, room).await
        })
        .buffer_unordered(AT_ONCE);
    let mut interrupted = None;
    while let Some(handled) = work.next().await {
        match handled {
            Ok(handled) => done.push(handled),
            // The server is away or refuses writes: the rest stays due.
            Err(error) => {
                interrupted = Some(error);
                break;
            }
        }
        if !term.cx.leadership.is_leading() {
            break;
        }
    }
    drop(work);
    let handled = done.len();
    let failed = done.iter().filter(|one| matches!(one, Handled::Failed { .. })).count();
    term.cx.projection.handled(done).await?;
    let millis = started.elapsed().as_millis();
    tracing::debug!(handled, failed, millis, "archived");
    match interrupted {
        Some(error) => Err(error),
        None => Ok(count),
    }
}

/// Archives one intent. An error means that the server is away. A problem with the intent itself is recorded and does
/// not delay the others.
async fn archive_one(term: &Term, closed: Closed, covered: Option<u64>, room: &Room) -> Result<Handled, RoundError> {
    let intent = closed.intent.clone();
    match Box::pin(bundle_and_purge(term, &closed, covered, room)).await {
        Ok(handled) => Ok(handled),
        Err(RoundError::Failed(error)) if !error.is_of_server() => {
            let problem = error.to_string();
            tracing::warn!(%intent, problem, "a closed intent stays in the ledger");
            let again = term.cx.mesh.now().plus(AGAIN);
            Ok(Handled::Failed { intent, problem, again })
        }
        Err(error) => Err(error),
    }
}

async fn bundle_and_purge(
    term: &Term,
    closed: &Closed,
    covered: Option<u64>,
    room: &Room,
) -> Result<Handled, RoundError> {
    let intent = closed.intent.clone();
    let Some(bundle) = term.cx.mesh.stored_records(&intent).await? else {
        return Ok(Handled::Gone(intent));
    };
    room.saw(&bundle);
    let all = bundle.records.iter().chain(&bundle.void);
    let last = all.map(|record| record.seq).max().unwrap_or_default();
    if covered.is_some_and(|covered| covered < last) {
        let config = &term.cx.config;
        let due = term.cx.mesh.now().plus(config.checkpoint_interval);
        let due = due.minus(config.archive.grace);
        return Ok(Handled::Early { intent, due });
    }
    let opens = bundle
        .records
        .first()
        .is_some_and(|first| Record::decode(&first.body).is_ok_and(|record| record.is_opening()));
    if !opens {
        return remainder(term, closed).await;
    }
    let facts = bundle.verify().map_err(|error| Error::Bundle(Box::new(error)))?;
    // A refused raw intent has one record, which stays as long as its id must be remembered. Archiving it earlier gains
    // nothing.
    let alone = bundle.records.len() == 1;
    let remembered_until = facts.ended_at.plus(term.cx.config.archive.keep_chosen_ids);
    if alone && !facts.generated && remembered_until > term.cx.mesh.now() {
        let due = remembered_until.minus(term.cx.config.archive.grace);
        return Ok(Handled::Early { intent, due });
    }
    let last = bundle.records.last().and_then(|last| Record::decode(&last.body).ok());
    let has_children = last.as_ref().is_some_and(|last| !last.snapshot.children.is_empty());
    if last.is_some_and(|last| !last.snapshot.signals.is_empty()) {
        // What nobody has read becomes dead letters before the records that hold it are gone.
        let due = Due {
            intent: intent.clone(),
            seen: closed.seq,
            waits: Vec::new(),
        };
        term.in_charge()?.mesh.fire(&due, &term.cx.by).await?;
    }
    if has_children && !term.cx.projection.is_settled(&intent).await? {
        // Not before its children have ended: they are found by what it says of them.
        let due = term.cx.mesh.now().plus(AGAIN).minus(term.cx.config.archive.grace);
        return Ok(Handled::Early { intent, due });
    }
    let archive_seq = term.in_charge()?.mesh.archive_bundle(&bundle, &facts).await?;
    // A chosen id keeps its terminal record, which is the last one.
    let gone = facts.generated || alone;
    let below = if gone { facts.seq + 1 } else { facts.seq };
    term.in_charge()?.mesh.purge_records(&intent, below).await?;
    term.in_charge()?.mesh.remove_void(&bundle).await?;
    Ok(Handled::Archived {
        intent,
        archive_seq,
        gone,
    })
}

/// Handles the remainder of an intent whose earlier records were purged. The archive has them unless it dropped them
/// because of their age.
async fn remainder(term: &Term, closed: &Closed) -> Result<Handled, RoundError> {
    let intent = closed.intent.clone();
    term.cx.projection.archive_caught_up(CATCH_UP).await?;
    if let Some((archive_seq, _)) = term
        .cx
        .mesh
        .bundle_of(&intent, term.cx.projection.find_archived(&intent).await?)
        .await?
    {
        return Ok(Handled::Archived {
            intent,
            archive_seq,
            gone: false,
        });
    }
    let Some(head) = term.cx.mesh.head(&intent).await? else {
        return Ok(Handled::Gone(intent));
    };
    let over = head
        .record
        .snapshot
        .updated_at
        .plus(term.cx.config.archive.keep_chosen_ids);
    if over > term.cx.mesh.now() {
        tracing::warn!(%intent, "the earlier records of a closed intent are gone, and the archive does not have them");
        return Ok(Handled::Incomplete { intent, until: over });
    }
    term.in_charge()?.mesh.purge_records(&intent, head.seq + 1).await?;
    Ok(Handled::Gone(intent))
}
