//! Children: submitted with the record that asks for them, gathered when they have ended, closed when nobody waits for them.
//!
//! Everything here may be repeated by anyone: the ids of children follow from their call, a first record is guarded by the
//! absence of any, and an end that is recorded is not recorded again.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use baton_envelope::{
    AgentName, Author, Child, ChildEnd, ChildSet, Children, ChildrenDone, Envelope, ErrorInfo, IntentId, MOST_ENDS,
    MOST_SPELT, NewChild, Record, Role, Status, act, codes, opened_calls,
};
use futures::StreamExt as _;

use super::cancel::undo;
use super::submit::{DueWork, Submitted};
use super::taken::TakenFrom;
use crate::error::Error;
use crate::ledger::{Advanced, Decision, Head, Known};
use crate::server::{ControllerMesh, Mesh};

/// How many children to submit or to read at the same time.
pub(super) const AT_ONCE: usize = 64;

/// How long after the record of its parent a child may have been archived, at the earliest. Whoever submits it later asks the
/// archive first, and only the leader does so.
const LATE: Duration = Duration::from_secs(60);

/// A call: the children, and what their envelopes are made of.
#[derive(Debug)]
pub(crate) struct Call<'c> {
    /// The record that opened it.
    opener: &'c Record,
    /// The envelope of the parent's hop; none for a message that no hop has sent.
    envelope: Option<&'c Envelope>,
    /// The name of the wait.
    name: &'c str,
    children: &'c Children,
}

/// A child that was closed because nobody waits for it any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClosedChild {
    /// The child.
    pub child: IntentId,
    /// Whoever may still run what was taken away.
    pub taken: Option<TakenFrom>,
}

/// What stands of a child in the ledger or in the archive.
#[derive(Debug, Clone, Default)]
pub struct ChildNow {
    /// Its last record; `None` when it has none.
    pub head: Option<Box<Head>>,
    /// The sequence of the first of what stands under its id, where nobody can read any of that.
    pub unreadable: Option<u64>,
}

impl ChildNow {
    /// Whether nothing at all stands under its id.
    fn is_nothing(&self) -> bool {
        self.head.is_none() && self.unreadable.is_none()
    }
}

/// What became of children that somebody tried to submit.
#[derive(Debug, Default)]
pub(super) struct Tried {
    /// How many are new.
    pub(super) new: usize,
    /// Those that are refused, by their place.
    pub(super) refused: Vec<(u32, Error)>,
    /// Why others could not be submitted, the first of these reasons.
    pub(super) failed: Option<Error>,
}

impl Mesh {
    /// Submits the children of the calls that a record opens. A process that holds no right to write for others leaves them to
    /// the leader, and so does one that comes late.
    pub(crate) async fn submit_children(&self, opener: &Record, by: &Author) -> Result<(), Error> {
        if !self.may_submit(by) || self.now().since(opener.at) >= LATE {
            return Ok(());
        }
        let envelope = self.parent_envelope(opener).await?;
        for (name, children) in opened_calls(&opener.waits) {
            let call = Call {
                opener,
                envelope: envelope.as_deref(),
                name,
                children,
            };
            let all: Vec<u32> = (0..u32::try_from(children.children.len()).unwrap_or(u32::MAX)).collect();
            let tried = self.submit_these(&call, &all, by).await;
            if let Some((index, error)) = tried.refused.first() {
                let count = tried.refused.len();
                tracing::warn!(%error, intent = %opener.intent, wait = name, index, count, "children are refused, and left to the leader");
            }
            match tried.failed {
                // The message is taken in, whatever becomes of one copy: the leader goes on with those that are missing.
                Some(error) if opener.broadcast.is_some() => {
                    tracing::warn!(%error, intent = %opener.intent, "not every receiver has its copy yet");
                }
                Some(error) => return Err(error),
                None => {}
            }
        }
        Ok(())
    }

    /// Submits some children of a call. One that cannot be submitted keeps no other from it.
    async fn submit_these(&self, call: &Call<'_>, indices: &[u32], by: &Author) -> Tried {
        let looked_at = self.now();
        let work = indices
            .iter()
            .map(|index| async move { (*index, self.submit_child(call, *index, by, looked_at).await) });
        let work: Vec<_> = work.collect();
        let mut work = futures::stream::iter(work).buffer_unordered(AT_ONCE);
        let mut tried = Tried::default();
        while let Some((index, done)) = work.next().await {
            match done {
                Ok(is_new) => tried.new += usize::from(is_new),
                Err(error) if error.refuses().is_some() => tried.refused.push((index, error)),
                Err(error) => tried.failed = tried.failed.or(Some(error)),
            }
        }
        tried
    }

    /// Submits a child; `false` when somebody has done so before, or has closed it before it began.
    async fn submit_child(
        &self,
        call: &Call<'_>,
        index: u32,
        by: &Author,
        looked_at: baton_envelope::Timestamp,
    ) -> Result<bool, Error> {
        let child = call.children.children.get(index as usize);
        let Some((child, to)) = child.and_then(|child| Some((child, call.children.agent_of(child)?))) else {
            // Whoever committed the call has seen to that.
            return Err(Error::BadEnvelope {
                field: "to",
                problem: format!("child {index} of call \"{}\" names no agent", call.name),
            });
        };
        let snapshot = &call.opener.snapshot;
        let mut envelope = match (&call.opener.broadcast, call.envelope) {
            (Some(sent), None) => {
                let (of, id) = ((&call.opener.intent, snapshot), self.clock().envelope_id());
                sent.copy(of, call.children, (index, to), id)
            }
            (Some(sent), Some(envelope)) => self.child_of(call, envelope, (index, &sent.child_of_hop(child), to))?,
            (None, Some(envelope)) => self.child_of(call, envelope, (index, child, to))?,
            (None, None) => return Ok(false),
        };
        envelope.budget = snapshot.child_budget(call.name, index).map(Box::new);
        let intent = envelope.intent.clone();
        let due = DueWork {
            at: call.opener.at,
            looked_at,
            note: String::new(),
            path: snapshot.path.clone(),
        };
        match self.submit_due(envelope, by.clone(), &due).await? {
            Submitted::New { .. } => Ok(true),
            Submitted::Repeated(_) => Ok(false),
            Submitted::Conflict { head, field } => {
                if head.record.snapshot.parent.as_ref() != Some(&call.opener.intent) {
                    tracing::warn!(%intent, seq = head.seq, field, "the id of a child is taken by other work");
                }
                Ok(false)
            }
        }
    }

    /// The envelope of a child of a hop.
    fn child_of(
        &self,
        call: &Call<'_>,
        of: &Envelope,
        (index, child, to): (u32, &Child, &AgentName),
    ) -> Result<Envelope, Error> {
        let snapshot = &call.opener.snapshot;
        let from = match (&snapshot.agent, &snapshot.version) {
            (Some(agent), Some(version)) => format!("{agent}@{version}"),
            (_, _) => call.opener.by.instance.clone(),
        };
        let envelope = of.child(NewChild {
            id: self.clock().envelope_id(),
            call: (snapshot.hop, call.name),
            index,
            children: call.children,
            child,
            to,
            from: &from,
            pins: &snapshot.pins,
        });
        // Whoever committed the call has seen to that.
        envelope.map_err(|limit| Error::BadEnvelope {
            field: "max_hops",
            problem: limit.to_string(),
        })
    }

    /// Submits some children of a call that an earlier record, the opener, has opened.
    pub(super) async fn submit_of_set(
        &self,
        opener: &Head,
        set: &ChildSet,
        indices: &[u32],
        by: &Author,
    ) -> Result<Tried, Error> {
        let envelope = self.parent_envelope(&opener.record).await?;
        let call = opened_calls(&opener.record.waits).find(|(name, _)| *name == set.name);
        let Some((name, children)) = call else {
            return Ok(Tried::default());
        };
        let call = Call {
            opener: &opener.record,
            envelope: envelope.as_deref(),
            name,
            children,
        };
        Ok(self.submit_these(&call, indices, by).await)
    }

    /// Submits what is missing of the detached calls of a hop that is about to go on: afterwards nobody looks after them.
    /// `false` when that is not for this process to do: then the leader lets the hop go on.
    pub(crate) async fn submit_detached(&self, parent: &Head, by: &Author) -> Result<bool, Error> {
        let snapshot = &parent.record.snapshot;
        let is_left = |set: &&ChildSet| set.detach && !set.is_complete() && set.is_awaited(snapshot);
        for set in snapshot.children.iter().filter(is_left) {
            let ended = set.ended().into_iter();
            let open = (0..).zip(ended).filter(|(_, ended)| !ended).map(|(index, _)| index);
            let open: Vec<u32> = open.collect();
            let id = |index: &u32| {
                (
                    IntentId::of_child(&parent.record.intent, set.hop, &set.name, *index),
                    None,
                )
            };
            let ids: Vec<_> = open.iter().map(id).collect();
            let found = self.children_now(&ids).await?;
            let missing = open.into_iter().zip(found).filter(|(_, now)| now.is_nothing());
            let missing: Vec<u32> = missing.map(|(index, _)| index).collect();
            if missing.is_empty() {
                continue;
            }
            if !self.may_submit(by) {
                return Ok(false);
            }
            let opener = self.opener(parent, set).await?;
            let tried = self.submit_of_set(&opener, set, &missing, by).await?;
            // The leader ends one that is never taken; until then the hop waits.
            if let Some((index, error)) = tried.refused.into_iter().next() {
                return Err(Error::api(
                    format!("submitting child {index} of call {}", set.name),
                    error,
                ));
            }
            if let Some(error) = tried.failed {
                return Err(error);
            }
        }
        Ok(true)
    }

    /// Whether a process may submit children. In a secured mesh, and where records are signed, only controllers do.
    fn may_submit(&self, by: &Author) -> bool {
        by.role == Role::Controller || !(self.is_secured() || self.proofs().is_some())
    }

    /// The record that opened a call.
    pub(super) async fn opener(&self, parent: &Head, set: &ChildSet) -> Result<Head, Error> {
        match set.seq {
            Some(seq) if seq != parent.seq => self.record_at(&parent.record.intent, seq).await,
            Some(_) | None => Ok(parent.clone()),
        }
    }

    /// The envelope of the hop that a record suspends; none where that is no hop, but a message that no hop has sent.
    async fn parent_envelope(&self, opener: &Record) -> Result<Option<Box<Envelope>>, Error> {
        match (&opener.broadcast, &opener.snapshot.agent) {
            (Some(_), None) => Ok(None),
            (_, _) => self.hop_envelope(opener).await.map(Some),
        }
    }

    /// The envelope of the hop that a record leaves.
    pub(super) async fn hop_envelope(&self, opener: &Record) -> Result<Box<Envelope>, Error> {
        self.envelope_at(&opener.intent, opener.snapshot.envelope_seq).await
    }

    /// The ends of the children of a call that are recorded, in the order of the children.
    pub(crate) async fn ends_of(&self, head: &Head, hop: u32, name: &str) -> Result<Vec<ChildEnd>, Error> {
        let history = self.history_through(&head.record.intent, head.seq).await?;
        let of_call = history
            .iter()
            .flat_map(|head| &head.record.children)
            .filter(|done| done.hop == hop && done.name == name);
        let ends: BTreeMap<u32, ChildEnd> = of_call
            .flat_map(|done| &done.ends)
            .map(|end| (end.index, end.clone()))
            .collect();
        let is_spelt = ends.len() <= MOST_SPELT;
        let short = |end: ChildEnd| ChildEnd {
            // It follows from the call and its place: the record must fit into one message.
            id: end.id.filter(|_| is_spelt),
            // `child_done` has settled it.
            spent: None,
            overrun: None,
            ..end
        };
        Ok(ends.into_values().map(short).collect())
    }

    /// The last records of children, from the ledger or from the archive, in this order.
    /// With the sequence of a last record that is known a server that lags behind cannot answer with an older one.
    ///
    /// # Errors
    /// When the server does not answer, or the archive is needed and no controller says where a bundle is.
    pub async fn children_now(&self, children: &[(IntentId, Option<u64>)]) -> Result<Vec<ChildNow>, Error> {
        let mut together = self.heads_together(children).await?;
        let work = children.iter().map(|(child, last)| {
            let head = together.remove(child);
            let head = head.filter(|head| last.is_none_or(|last| head.seq >= last));
            async move {
                match head {
                    Some(head) => Ok(ChildNow {
                        head: Some(head),
                        ..ChildNow::default()
                    }),
                    None => self.child_now(child, *last).await,
                }
            }
        });
        let work: Vec<_> = work.collect();
        let found: Vec<Result<ChildNow, Error>> = futures::stream::iter(work).buffered(AT_ONCE).collect().await;
        found.into_iter().collect()
    }

    /// The heads of those children that the ledger tells of in one answer for many. None where each head is judged by the records
    /// before it, or where a replica that lags behind could answer: then the leader tells of each.
    async fn heads_together(
        &self,
        children: &[(IntentId, Option<u64>)],
    ) -> Result<HashMap<IntentId, Box<Head>>, Error> {
        if children.len() < 2 || self.proofs().is_some() || self.replicas() > 1 {
            return Ok(HashMap::new());
        }
        let ids: Vec<IntentId> = children.iter().map(|(child, _)| child.clone()).collect();
        let heads = Box::pin(self.heads(&ids)).await?;
        let heads = heads
            .into_iter()
            .map(|head| (head.record.intent.clone(), Box::new(head)));
        Ok(heads.collect())
    }

    /// As [`Mesh::children_now`], for one.
    async fn child_now(&self, child: &IntentId, last: Option<u64>) -> Result<ChildNow, Error> {
        let mut head = match Box::pin(self.last_record(child)).await {
            Err(Error::NoneReadable { seq, .. }) => {
                return Ok(ChildNow {
                    unreadable: Some(seq),
                    ..ChildNow::default()
                });
            }
            head => head?,
        };
        if let (Some(last), Some(found)) = (last, &head)
            && found.seq < last
        {
            head = Some(self.record_at(child, last).await?);
        }
        Ok(ChildNow {
            head: head.map(Box::new),
            ..ChildNow::default()
        })
    }
}

impl ControllerMesh {
    /// Records ends of children on their parent, and pays what it then owes. Returns how many records that took: none when
    /// all was known, or the parent has ended.
    ///
    /// # Errors
    /// When the server does not answer.
    pub async fn record_ends(&self, parent: &Head, done: &[ChildrenDone], by: &Author) -> Result<usize, Error> {
        let mut records = 0;
        let done = self.with_spending(parent, done).await?;
        for page in pages(&done) {
            // Whoever calls has just read it.
            let known = match records {
                0 => Known::Read(parent),
                _ => Known::Unread,
            };
            let written = self.advance(&parent.record.intent, by, known, |head, _| {
                let Some(head) = head.filter(|head| !head.snapshot.status.is_terminal()) else {
                    return Ok(Decision::Nothing);
                };
                let draft = act::child_done(head.snapshot, &page)?;
                Ok::<_, Error>(draft.map_or(Decision::Nothing, Decision::from))
            });
            if let Advanced::Committed(_) = written.await? {
                records += 1;
            }
        }
        Ok(records)
    }

    /// The ends with what the children have spent, where their call has lent them something.
    async fn with_spending(&self, parent: &Head, done: &[ChildrenDone]) -> Result<Vec<ChildrenDone>, Error> {
        let (of, snapshot) = (&parent.record.intent, &parent.record.snapshot);
        let mut done = done.to_vec();
        for of_call in &mut done {
            let (hop, name) = (of_call.hop, of_call.name.clone());
            let is_own = |set: &&ChildSet| set.hop == hop && set.name == name && !set.shares.is_empty();
            let Some(set) = snapshot.children.iter().find(is_own) else {
                continue;
            };
            let id = |end: &ChildEnd| (IntentId::of_child(of, hop, &name, end.index), Some(end.seq));
            let ids: Vec<_> = of_call.ends.iter().map(id).collect();
            let found = self.children_now(&ids).await?;
            for (end, now) in of_call.ends.iter_mut().zip(found) {
                let last = now.head.map(|head| head.record.snapshot);
                end.account(set, of, last.as_ref());
            }
        }
        Ok(done)
    }

    /// Closes a child that nobody waits for: an open one is cancelled, and one without a record never begins. `None` when it
    /// has ended already.
    ///
    /// # Errors
    /// When the server does not answer.
    pub async fn close_child(
        &self,
        parent: &Head,
        child: &IntentId,
        by: &Author,
    ) -> Result<Option<ClosedChild>, Error> {
        let (of, status) = (&parent.record.intent, &parent.record.snapshot.status);
        let reason = match status.is_terminal() {
            true => format!("its parent {of} has ended ({status})"),
            false => format!("its parent {of} does not wait for it any more"),
        };
        let root = parent.record.snapshot.root.clone().unwrap_or_else(|| of.clone());
        let mut taken = None;
        let closed = self.advance(child, by, Known::Unread, |head, stamp| {
            let Some(head) = head else {
                let error = ErrorInfo::new(codes::PARENT_CLOSED, reason.clone());
                return Ok(act::never_begin(stamp.at, root.clone(), of.clone(), error).into());
            };
            let status = &head.snapshot.status;
            // One of which an undo has failed waits for a person, and so does its parent.
            let undoes = parent.record.snapshot.is_undoing();
            let is_stuck = undoes && !parent.record.snapshot.status.is_terminal() && head.snapshot.is_undoing();
            if status.is_terminal() || *status == Status::Compensating || is_stuck {
                return Ok(Decision::Nothing);
            }
            taken = TakenFrom::before(child, head.snapshot);
            // What a parent did is undone with what its children did.
            let draft = match undoes {
                true => undo(head.snapshot, &reason)?,
                false => act::cancel(head.snapshot, &reason)?,
            };
            Ok::<_, Error>(draft.into())
        });
        let is_closed = matches!(closed.await?, Advanced::Committed(_));
        let child = child.clone();
        Ok(is_closed.then_some(ClosedChild { child, taken }))
    }
}

/// Cuts ends into what one record may hold.
fn pages(done: &[ChildrenDone]) -> Vec<Vec<ChildrenDone>> {
    let mut pages = Vec::new();
    for of_call in done {
        for ends in of_call.ends.chunks(MOST_ENDS) {
            pages.push(vec![ChildrenDone {
                ends: ends.to_vec(),
                ..of_call.clone()
            }]);
        }
    }
    pages
}
