//! Timers: what is due in the ledger is done within a second of its time, and once. The projection is the index; the head of
//! each intent decides, and the guard of the ledger decides every race.

use std::collections::{HashMap, HashSet, VecDeque};
use std::time::Duration;

use baton_envelope::{IntentId, Mutant, Timestamp};
use baton_jetstream::{Due, Error, Fired};
use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use tokio::time::Instant;

use crate::context::Context;
use crate::projection::DuePlace;
use crate::rounds::error::RoundError;
use crate::rounds::round::{Period, Round};
use crate::rounds::term::Term;

/// How often to look.
const EVERY: Duration = Duration::from_millis(200);
/// How many rows of the index to read in one look.
const PAGE: u32 = 2_000;
/// How many to do at the same time. Each waits for the server three times, for its head, its record and its ticket; on a busy
/// machine that is some 100 ms each time, in which this many have to be under way for 10,000 in a minute.
const AT_ONCE: usize = 256;
/// How long one may take. A ticket that a full stream does not take would keep its place for much longer.
const SLOW: Duration = Duration::from_secs(10);
/// How long to leave alone what cannot be done, such as a ticket for a full stream: twice as long each time.
const LATER: Duration = Duration::from_millis(250);
/// And at most so long.
const LATEST: Duration = Duration::from_secs(5);
/// How long one round goes on looking while things are under way.
const BUSY: Duration = Duration::from_secs(30);

/// Does what is due.
#[derive(Debug)]
pub(crate) struct Timers {
    /// What was done, by the record that the projection knew: it may lag, and names an intent again.
    done: HashMap<IntentId, Done>,
    /// What could not be done, and when to try again.
    later: HashMap<IntentId, Later>,
    /// Where the next look goes on. So what cannot be done, however much it is, does not hide what is due behind it.
    after: Option<DuePlace>,
    /// How often the looks have come to the end of what is due.
    turn: u64,
    /// Which connection to the server it is.
    connection: u64,
}

#[derive(Debug)]
struct Done {
    seen: u64,
    /// The turn in which the index last named it.
    turn: u64,
}

#[derive(Debug)]
struct Later {
    until: Instant,
    pause: Duration,
}

/// What is due, and when that was looked up.
type Named = (Due, Timestamp);

/// What one round came to.
#[derive(Debug, Default)]
struct Tally {
    /// Nothing is written that would take these out of the index.
    idle: Vec<Named>,
    fired: u64,
    /// Why the server cannot be asked any more.
    failed: Option<Error>,
}

impl Round for Timers {
    const NAME: &'static str = "timers";
    const PERIOD: Period = Period::Time(EVERY);

    fn begin(term: &Term) -> Self {
        Self {
            done: HashMap::new(),
            later: HashMap::new(),
            after: None,
            turn: 0,
            connection: term.cx.mesh.connections_made(),
        }
    }

    /// Looks and fires at the same time, so that one that takes long holds nobody up.
    async fn round(&mut self, term: &Term) -> Result<(), RoundError> {
        if Mutant::P3TimersSleep.is_on() {
            return Ok(());
        }
        let until = Instant::now() + BUSY;
        let mut look_at = Instant::now();
        let (mut queue, mut under_way) = (VecDeque::new(), HashSet::new());
        let mut firing = FuturesUnordered::new();
        let mut tally = Tally::default();
        loop {
            let now = Instant::now();
            let may_look = queue.is_empty() && tally.failed.is_none() && now < until;
            if may_look && look_at <= now {
                let cx = term.in_charge()?;
                tally.forget_idle(cx).await?;
                queue.extend(self.look(cx, &under_way).await?);
                // While a page is full, the next one follows as soon as there is room.
                look_at = Instant::now() + if self.after.is_none() { EVERY } else { Duration::ZERO };
            }
            while tally.failed.is_none() && firing.len() < AT_ONCE {
                let Some(named) = queue.pop_front() else { break };
                let (due, _): &Named = &named;
                under_way.insert(due.intent.clone());
                firing.push(fire(term, named));
            }
            let wakes = may_look && queue.is_empty();
            let next = tokio::select! {
                next = firing.next() => next,
                () = tokio::time::sleep_until(look_at), if wakes && !firing.is_empty() => continue,
            };
            let Some(((due, at), fired)) = next else { break };
            under_way.remove(&due.intent);
            self.settle((due, at), fired, &mut tally);
        }
        if tally.fired > 0 {
            tracing::debug!(count = tally.fired, "timers fired");
        }
        tally.forget_idle(term.in_charge()?).await?;
        tally.failed.map_or(Ok(()), |error| Err(error.into()))
    }
}

impl Timers {
    /// The next of what is due, but for what is under way, was done, or has to wait.
    async fn look(&mut self, cx: &Context, under_way: &HashSet<IntentId>) -> Result<Vec<Named>, RoundError> {
        // A server that has crashed may have lost what was done last.
        let connection = cx.mesh.connections_made();
        if std::mem::replace(&mut self.connection, connection) != connection {
            self.done.clear();
        }
        let (now, at) = (cx.mesh.now(), Instant::now());
        let mut page = cx.projection.due(now, self.after.take(), PAGE).await?;
        self.after = page.next;
        // How often one was tried counts for a while.
        self.later.retain(|_, later| later.until + LATEST > at);
        page.dues.retain(|due| {
            let waits = self.later.get(&due.intent).is_some_and(|later| later.until > at);
            let is_away = waits || under_way.contains(&due.intent);
            !is_away && !self.was_done(due)
        });
        if self.after.is_none() {
            // What the index has not named in this turn, or names by a newer record, is over.
            self.done.retain(|_, done| done.turn == self.turn);
            self.turn += 1;
        }
        Ok(page.dues.into_iter().map(|due| (due, now)).collect())
    }

    fn was_done(&mut self, due: &Due) -> bool {
        let Some(done) = self.done.get_mut(&due.intent).filter(|done| done.seen == due.seen) else {
            return false;
        };
        done.turn = self.turn;
        true
    }

    fn settle(&mut self, (due, at): Named, fired: Option<Result<Fired, Error>>, tally: &mut Tally) {
        let Some(fired) = fired else {
            tracing::warn!(intent = %due.intent, "what is due takes too long");
            self.put_off(due.intent);
            return;
        };
        match fired {
            Ok(Fired::WentOn | Fired::TimedOut | Fired::Reissued) => {
                tally.fired += 1;
                let (seen, turn) = (due.seen, self.turn);
                self.done.insert(due.intent, Done { seen, turn });
            }
            Ok(Fired::Later) => {}
            Ok(Fired::Told | Fired::Nothing) => tally.idle.push((due, at)),
            // What is under way is finished: the answers may be on their way.
            Err(error) if error.is_of_server() => tally.failed = Some(error),
            Err(error) => {
                tracing::warn!(%error, intent = %due.intent, "what is due cannot be done now");
                self.put_off(due.intent);
            }
        }
    }

    fn put_off(&mut self, intent: IntentId) {
        let pause = self
            .later
            .get(&intent)
            .map_or(LATER, |before| LATEST.min(before.pause * 2));
        let until = Instant::now() + pause;
        self.later.insert(intent, Later { until, pause });
    }
}

impl Tally {
    /// Takes out of the index what came to nothing, before somebody looks there again.
    async fn forget_idle(&mut self, cx: &Context) -> Result<(), RoundError> {
        if !self.idle.is_empty() {
            cx.projection.disarm(std::mem::take(&mut self.idle)).await?;
        }
        Ok(())
    }
}

/// Fires one; `None` when that takes too long. It may be cut off anywhere: what it has not written is still due, and a ticket
/// that it owes is found by the sweep.
async fn fire(term: &Term, named: Named) -> (Named, Option<Result<Fired, Error>>) {
    let fired = match term.in_charge() {
        Ok(cx) => tokio::time::timeout(SLOW, cx.mesh.fire(&named.0, &cx.by)).await.ok(),
        Err(_) => Some(Err(Error::no_answer(
            "firing a timer",
            "this controller no longer leads",
        ))),
    };
    (named, fired)
}
