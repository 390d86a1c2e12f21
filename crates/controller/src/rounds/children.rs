//! Children: their ends are gathered and written on their parent, many at a time; those that nobody has submitted are
//! submitted; those that nobody waits for any more are closed.
//!
//! The projection says where to look. The head of the parent decides, and the guard of the ledger decides every race. What was
//! missed is found by the same round: what is written follows from what is there, and from no message.

mod many;

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use baton_envelope::{ChildEnd, ChildSet, ChildrenDone, Extra, IntentId, Mutant, Snapshot, codes, next_undo};
use baton_jetstream::{ChildNow, Head, Missing};
use futures::StreamExt as _;
use tokio::time::Instant;

use crate::projection::{ChildRow, DueParent, Look};
use crate::rounds::error::RoundError;
use crate::rounds::round::{Period, Round};
use crate::rounds::term::Term;
use crate::rounds::undo;

/// How often to look.
const EVERY: Duration = Duration::from_millis(100);
/// How many parents to look at in one round.
const PAGE: u32 = 500;
/// How many parents to look at, and how many children to close, at the same time.
const AT_ONCE: usize = 16;
/// How long the worker of a parent may take to submit a child before it counts as missing. In a secured mesh the leader
/// submits children, and does so at once.
const SLACK: Duration = Duration::from_secs(3);
/// How long to leave a parent alone about which something cannot be done now.
pub(super) const LATER: Duration = Duration::from_secs(5);
/// How long the projection may take to catch up before a conclusion from what is missing in it.
const CATCH_UP: Duration = Duration::from_secs(8);

/// Looks after parents and children.
#[derive(Debug, Default)]
pub(crate) struct Children {
    /// Since when children of a parent are missing.
    missing: HashMap<IntentId, Instant>,
    /// Up to which record the ends of the children of a parent are recorded, where they are many.
    recorded: HashMap<IntentId, u64>,
}

impl Round for Children {
    const NAME: &'static str = "children";
    const PERIOD: Period = Period::Time(EVERY);

    fn begin(_: &Term) -> Self {
        Self::default()
    }

    async fn round(&mut self, term: &Term) -> Result<(), RoundError> {
        let cx = term.in_charge()?;
        let due = cx.projection.due_parents(cx.mesh.now(), PAGE).await?;
        if due.is_empty() {
            return Ok(());
        }
        let (missing, recorded) = (&self.missing, &self.recorded);
        let looks = due.into_iter().map(|due| async move {
            let since = missing.get(&due.parent).copied();
            let after = recorded.get(&due.parent).copied().unwrap_or_default();
            let found = Box::pin(look(term, &due.parent, since, after)).await;
            (due, found)
        });
        let looks: Vec<_> = looks.collect();
        let mut looks = futures::stream::iter(looks).buffer_unordered(AT_ONCE);
        let mut looked: Vec<(DueParent, Look)> = Vec::new();
        let mut since: Vec<(IntentId, bool, Option<u64>)> = Vec::new();
        while let Some((due, found)) = looks.next().await {
            match found {
                Ok((Found { next, is_missing }, through)) => {
                    since.push((due.parent.clone(), is_missing, through));
                    looked.push((due, next));
                }
                Err(RoundError::Failed(error)) if !error.is_of_server() => {
                    tracing::warn!(%error, intent = %due.parent, "its children cannot be looked after now");
                    let at = cx.mesh.now().plus(LATER);
                    looked.push((due, Look::At(at)));
                }
                Err(error) => return Err(error),
            }
        }
        drop(looks);
        for (parent, is_missing, through) in since {
            match through {
                Some(through) => drop(self.recorded.insert(parent.clone(), through)),
                None => drop(self.recorded.remove(&parent)),
            }
            match is_missing {
                true => drop(self.missing.entry(parent).or_insert_with(Instant::now)),
                false => drop(self.missing.remove(&parent)),
            }
        }
        Ok(cx.projection.looked_at(looked).await?)
    }
}

/// What was found at a parent.
struct Found {
    /// When to look again.
    next: Look,
    /// Whether children have no record yet that should have one.
    is_missing: bool,
}

/// What is known of the children of one call.
struct Known<'s> {
    set: &'s ChildSet,
    ids: IntentId,
    /// The children that have a record, by their place.
    rows: BTreeMap<u32, ChildRow>,
}

impl<'s> Known<'s> {
    fn of(parent: &IntentId, set: &'s ChildSet, rows: &[ChildRow]) -> Self {
        let ids = IntentId::of_children(parent, set.hop, &set.name);
        let own = rows
            .iter()
            .filter_map(|row| Some((row.child.place_in(&ids)?, row.clone())));
        let rows = own.filter(|(index, _)| *index < set.count).collect();
        Self { set, ids, rows }
    }

    fn child(&self, parent: &IntentId, index: u32) -> IntentId {
        IntentId::of_child(parent, self.set.hop, &self.set.name, index)
    }

    /// The children whose end is not recorded.
    fn unrecorded(&self) -> impl Iterator<Item = u32> {
        let ended = self.set.ended();
        (0..self.set.count).filter(move |index| !ended.get(*index as usize).copied().unwrap_or_default())
    }

    /// Those that no record is known of.
    fn missing(&self) -> Vec<u32> {
        self.unrecorded()
            .filter(|index| !self.rows.contains_key(index))
            .collect()
    }

    /// Those that are open.
    fn open(&self) -> Vec<u32> {
        let is_open = |index: &u32| self.rows.get(index).is_some_and(|row| !row.ended);
        self.unrecorded().filter(is_open).collect()
    }

    /// The ends that are not recorded.
    fn ends(&self) -> Vec<ChildEnd> {
        let rows = self
            .unrecorded()
            .filter_map(|index| Some((index, self.rows.get(&index)?)));
        let ended = rows.filter(|(_, row)| row.ended);
        ended.map(|(index, row)| end_of(index, row)).collect()
    }

    /// Adds what the ledger and the archive have of children that the projection does not know. Those that are in neither stay
    /// missing.
    async fn find(&mut self, term: &Term, parent: &IntentId, missing: &[u32]) -> Result<(), RoundError> {
        let ids: Vec<_> = missing.iter().map(|index| (self.child(parent, *index), None)).collect();
        let found = term.cx.mesh.children_now(&ids).await?;
        for ((index, (child, _)), now) in missing.iter().zip(&ids).zip(&found) {
            if let Some(row) = row_now(parent, child, now) {
                self.rows.insert(*index, row);
            }
        }
        Ok(())
    }
}

/// A child of this parent, as what stands under its id has it; `None` where nothing does. Work that somebody else has put under
/// that id is no child, and neither is what nobody can read: the call gets a refusal in its place, and neither its result nor a
/// say in its end.
pub(super) fn row_now(parent: &IntentId, child: &IntentId, now: &ChildNow) -> Option<ChildRow> {
    let head = now.head.as_deref();
    let seq = now.unreadable.or(head.map(|head| head.seq))?;
    let own = head.map(|head| &head.record.snapshot);
    let (state, code, ended) = match own.filter(|own| own.parent.as_ref() == Some(parent)) {
        Some(own) => (own.status.name(), own.status.code(), own.status.is_terminal()),
        None => ("rejected", Some(codes::CONFLICT), true),
    };
    Some(ChildRow {
        child: child.clone(),
        seq,
        state: state.to_owned(),
        code: code.map(str::to_owned),
        ended,
    })
}

pub(super) fn end_of(index: u32, row: &ChildRow) -> ChildEnd {
    ChildEnd {
        index,
        id: Some(row.child.clone()),
        state: row.state.clone(),
        code: row.code.clone(),
        seq: row.seq,
        spent: None,
        overrun: None,
        extra: Extra::new(),
    }
}

fn done_of(set: &ChildSet, ends: Vec<ChildEnd>) -> ChildrenDone {
    ChildrenDone {
        hop: set.hop,
        name: set.name.clone(),
        ends,
        extra: Extra::new(),
    }
}

/// What the projection has of the children of a parent; where some that are waited for are missing, once it has caught up.
async fn rows_of(
    term: &Term,
    parent: &IntentId,
    snapshot: &Snapshot,
    is_waited_for: bool,
) -> Result<Vec<ChildRow>, RoundError> {
    let cx = term.in_charge()?;
    let rows = cx.projection.children_of(parent).await?;
    let cared_for = |set: &&ChildSet| set.is_awaited(snapshot) || set.is_over(snapshot);
    let mut sets = snapshot.children.iter().filter(cared_for);
    let is_missing = sets.any(|set| !Known::of(parent, set, &rows).missing().is_empty());
    if !(is_missing && is_waited_for) {
        return Ok(rows);
    }
    // What the projection does not have yet must not pass for what is not there.
    cx.projection.caught_up(CATCH_UP).await?;
    Ok(cx.projection.children_of(parent).await?)
}

/// Does for one parent what is to be done. `since` is since when children of it are missing; the ends `after` a record are not
/// recorded yet, where they are many. Tells up to which record they are then.
async fn look(
    term: &Term,
    parent: &IntentId,
    since: Option<Instant>,
    after: u64,
) -> Result<(Found, Option<u64>), RoundError> {
    let cx = term.in_charge()?;
    let Some(head) = cx.mesh.head(parent).await? else {
        let next = Look::Never;
        return Ok((
            Found {
                next,
                is_missing: false,
            },
            None,
        ));
    };
    let slack = if cx.mesh.is_secured() { Duration::ZERO } else { SLACK };
    let is_waited_for = since.is_some_and(|since| since.elapsed() >= slack);
    if let Some((found, through)) = many::gather(term, &head, after, (!is_waited_for, slack)).await? {
        return Ok((found, Some(through)));
    }
    let found = look_at_all(term, &head, is_waited_for, slack).await?;
    Ok((found, None))
}

/// As [`look`], at all of the children.
async fn look_at_all(term: &Term, head: &Head, is_waited_for: bool, slack: Duration) -> Result<Found, RoundError> {
    let (parent, snapshot) = (&head.record.intent, &head.record.snapshot);
    let rows = rows_of(term, parent, snapshot, is_waited_for).await?;
    let (mut done, mut to_submit) = (Vec::new(), Vec::new());
    let (mut is_settled, mut is_left) = (true, false);
    for set in snapshot.children.iter().filter(|set| !set.is_undo()) {
        let mut known = Known::of(parent, set, &rows);
        let is_awaited = set.is_awaited(snapshot);
        if !is_awaited && set.detach {
            continue;
        }
        let mut missing = known.missing();
        if !missing.is_empty() && is_waited_for {
            known.find(term, parent, &missing).await?;
            missing = known.missing();
        }
        if is_awaited {
            let ends = known.ends();
            if !ends.is_empty() {
                done.push(done_of(set, ends));
            }
            is_settled = false;
            match is_waited_for {
                true if missing.is_empty() => {}
                true => to_submit.push((set, missing)),
                false => is_left |= !missing.is_empty(),
            }
            continue;
        }
        is_left |= !missing.is_empty();
        let mut to_close = known.open();
        if is_waited_for {
            to_close.extend(&missing);
        }
        is_settled &= to_close.is_empty() && missing.is_empty();
        if !Mutant::P7OrphansLive.is_on() {
            close(term, head, &known, &to_close).await?;
        }
        // The last end of a call that is over takes it out of the snapshot.
        let ends = known.ends();
        if !snapshot.status.is_terminal() && !ends.is_empty() && ends.len() == known.unrecorded().count() {
            done.push(done_of(set, ends));
        }
    }
    if !done.is_empty() {
        let cx = term.in_charge()?;
        cx.mesh.record_ends(head, &done, &cx.by).await?;
    }
    let is_refused = submit(term, head, to_submit).await?;
    if is_refused {
        return Ok(Found {
            next: Look::At(term.cx.mesh.now().plus(LATER)),
            is_missing: true,
        });
    }
    if let Some(next) = next_undo(snapshot) {
        let later = undo::go_on(term, head, next, &rows).await?;
        if !is_left {
            return Ok(Found {
                next: later,
                is_missing: false,
            });
        }
    }
    let next = match (snapshot.status.is_terminal() && is_settled, is_left) {
        (true, _) => Look::Never,
        (false, true) => Look::At(term.cx.mesh.now().plus(slack.max(EVERY))),
        (false, false) => Look::WhenMoved,
    };
    Ok(Found {
        next,
        is_missing: is_left,
    })
}

/// Submits what nobody has submitted of open calls. `true` where some of it is not taken now, and is to be tried again.
async fn submit(term: &Term, parent: &Head, to_submit: Vec<(&ChildSet, Vec<u32>)>) -> Result<bool, RoundError> {
    let intent = &parent.record.intent;
    let (mut is_left, mut first) = (false, Ok(()));
    for (set, missing) in to_submit {
        if Mutant::P5ChildrenForgotten.is_on() {
            continue;
        }
        let cx = term.in_charge()?;
        // What is in the way of one call must not keep the others from it.
        match cx.mesh.submit_missing(parent, set, &missing, &cx.by).await {
            Ok(Missing { new, rejected }) => {
                let left = missing.len().saturating_sub(new + rejected);
                tracing::info!(%intent, wait = set.name, new, rejected, left, "children that nobody had submitted are looked after");
                is_left |= left > 0;
            }
            Err(error) => first = first.and(Err(error)),
        }
    }
    first?;
    Ok(is_left)
}

/// Closes children that nobody waits for.
async fn close(term: &Term, parent: &Head, known: &Known<'_>, indices: &[u32]) -> Result<(), RoundError> {
    let of = &parent.record.intent;
    let closing = indices.iter().map(|index| async move {
        let cx = term.in_charge()?;
        let child = known.child(of, *index);
        let closed = cx.mesh.close_child(parent, &child, &cx.by).await?;
        if let Some(taken) = closed.and_then(|closed| closed.taken) {
            cx.tell_taken(Some(&taken)).await;
            cx.drop_ticket(&taken.agent, &taken.version, &taken.intent).await;
        }
        Ok::<_, RoundError>(())
    });
    let closing: Vec<_> = closing.collect();
    let mut closing = futures::stream::iter(closing).buffer_unordered(AT_ONCE);
    let mut count = 0_u32;
    while let Some(closed) = closing.next().await {
        closed?;
        count += 1;
    }
    if count > 0 {
        tracing::info!(intent = %of, calls = %known.ids, count, "children that nobody waits for are closed");
    }
    Ok(())
}
