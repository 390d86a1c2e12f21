//! An intent with its children, and theirs: as the ledger and the archive have them.

use baton_envelope::{ChildSet, Children, IntentId, JoinRule, Snapshot, opened_calls};
use futures::StreamExt as _;
use futures::future::BoxFuture;

use crate::error::Error;
use crate::ledger::Head;
use crate::server::Mesh;

/// How many intents to read at the same time.
const AT_ONCE: usize = 32;

/// An intent of a tree.
#[derive(Debug, Clone)]
pub struct Branch {
    /// The intent.
    pub intent: IntentId,
    /// Its last record; `None` when it has none: nobody has submitted it yet, or the archive has dropped it.
    pub head: Option<Box<Head>>,
    /// The calls that it made, in their order.
    pub calls: Vec<CallOf>,
}

/// A call, with its children; or an undo, which is a call with one child.
#[derive(Debug, Clone)]
pub struct CallOf {
    /// The hop that called.
    pub hop: u32,
    /// The name of the wait.
    pub name: String,
    /// When the caller goes on.
    pub join: JoinRule,
    /// How many must complete, for `some`.
    pub need: Option<u32>,
    /// How many children there are.
    pub count: u32,
    /// Whether the caller still waits for them.
    pub is_awaited: bool,
    /// The children that were read, in their order.
    pub children: Vec<Branch>,
}

impl Mesh {
    /// An intent with its children and theirs, at most so many intents in all. The children of those that were read last may
    /// be missing then: [`CallOf::count`] tells.
    ///
    /// # Errors
    /// When there is no such intent, the server does not answer, or no controller says where an archived intent is.
    pub async fn tree(&self, intent: &IntentId, most: usize) -> Result<Branch, Error> {
        let mut left = most;
        let mut branch = self.stump(intent.clone()).await?;
        self.grow(&mut branch, &mut left).await?;
        match branch.head {
            Some(_) => Ok(branch),
            None => Err(Error::NoIntent(intent.clone())),
        }
    }

    /// An intent with its calls, whose children are not read yet.
    async fn stump(&self, intent: IntentId) -> Result<Branch, Error> {
        let trail = self.trail(&intent).await?;
        let last = trail.last().map(|head| head.record.snapshot.clone());
        let mut calls = Vec::new();
        for head in &trail {
            for (name, children) in opened_calls(&head.record.waits) {
                let hop = head.record.snapshot.hop;
                let is_own = |set: &&ChildSet| set.hop == hop && set.name == name;
                let is_awaited = last.as_ref().is_some_and(|snapshot| {
                    let set = snapshot.children.iter().find(is_own);
                    set.is_some_and(|set| set.is_awaited(snapshot))
                });
                calls.push(call_of(hop, name, children, is_awaited));
            }
        }
        calls.extend(last.iter().flat_map(|last| undos_in(&trail, last)));
        let head = trail.into_iter().next_back().map(Box::new);
        Ok(Branch { intent, head, calls })
    }

    fn grow<'t>(&'t self, branch: &'t mut Branch, left: &'t mut usize) -> BoxFuture<'t, Result<(), Error>> {
        Box::pin(async move {
            for call in &mut branch.calls {
                let count = (call.count as usize).min(*left);
                *left -= count;
                let ids = (0..call.count).take(count);
                let ids = ids.map(|index| IntentId::of_child(&branch.intent, call.hop, &call.name, index));
                let reads: Vec<_> = ids.map(|id| self.stump(id)).collect();
                let read: Vec<Result<Branch, Error>> = futures::stream::iter(reads).buffered(AT_ONCE).collect().await;
                call.children = read.into_iter().collect::<Result<_, _>>()?;
            }
            for child in branch.calls.iter_mut().flat_map(|call| &mut call.children) {
                self.grow(child, left).await?;
            }
            Ok(())
        })
    }
}

/// The undos of an intent, each a call with one child.
fn undos_in(trail: &[Head], last: &Snapshot) -> Vec<CallOf> {
    let sets = trail.iter().flat_map(|head| &head.record.snapshot.children);
    let mut found: Vec<CallOf> = Vec::new();
    for set in sets.filter(|set| set.is_undo()) {
        if found.iter().any(|call| call.name == set.name) {
            continue;
        }
        found.push(CallOf {
            hop: set.hop,
            name: set.name.clone(),
            join: set.join.clone(),
            need: None,
            count: set.count,
            is_awaited: last
                .children
                .iter()
                .any(|now| now.name == set.name && now.is_awaited(last)),
            children: Vec::new(),
        });
    }
    found
}

fn call_of(hop: u32, name: &str, children: &Children, is_awaited: bool) -> CallOf {
    CallOf {
        hop,
        name: name.to_owned(),
        join: children.join.clone(),
        need: children.need,
        count: u32::try_from(children.children.len()).unwrap_or(u32::MAX),
        is_awaited,
        children: Vec::new(),
    }
}

impl Branch {
    /// Whether it has ended, and so have all below it that were read.
    pub fn is_over(&self) -> bool {
        let is_own = self
            .head
            .as_ref()
            .is_some_and(|head| head.record.snapshot.status.is_terminal());
        let mut children = self.calls.iter().flat_map(|call| &call.children);
        is_own && children.all(Self::is_over)
    }
}

impl CallOf {
    /// How many of its children have ended.
    pub fn ended(&self) -> usize {
        let heads = self.children.iter().filter_map(|child| child.head.as_ref());
        heads.filter(|head| head.record.snapshot.status.is_terminal()).count()
    }
}
