//! Calling other agents from a hop: children, and what they came to.

use std::time::Duration;

use baton_envelope::codes;
use baton_envelope::context::EnvelopeContext;
use baton_envelope::{
    Body, Child, ChildEnd, Children, ErrorInfo, IntentId, JoinRule, Json, OnTimeout, Priority, Snapshot, Status,
    Timestamp, WaitSpec,
};
use futures::{StreamExt as _, TryStreamExt as _};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::fault::Fault;
use crate::hop::{Hop, HopClock};
use crate::memory::LeftBehind;
use crate::spending::Amounts;
use crate::waiting::Waited;

/// The state of a child that has not ended, as [`Called::state`] gives it.
const OPEN: &str = "open";
/// How many results that are objects to read at the same time: each may have 64 MiB.
const AT_ONCE: usize = 4;

/// What one child is asked.
#[derive(Debug, Clone)]
pub struct Call {
    child: Child,
}

/// Children that are asked together, and when the hop goes on.
#[derive(Debug, Clone)]
pub struct Calls {
    name: Option<String>,
    children: Children,
    after_ms: Option<u64>,
    then: OnTimeout,
}

/// The end of a child, as its parent sees it, and whoever is next after a fan-out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(from = "Written", into = "Written")]
pub struct Called {
    index: u32,
    id: IntentId,
    state: String,
    code: Option<String>,
    result: Option<Body>,
    error: Option<ErrorInfo>,
}

/// What the children of a call came to. It is the payload of whoever is next after a fan-out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Joined {
    children: Vec<Called>,
    #[serde(rename = "timed_out", default, skip_serializing_if = "std::ops::Not::not")]
    is_timed_out: bool,
}

/// The end of a child, as a payload has it.
#[derive(Serialize, Deserialize)]
struct Written {
    index: u32,
    id: IntentId,
    state: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    code: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    result: Option<Json>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    result_encoding: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    error: Option<ErrorInfo>,
}

impl From<Called> for Written {
    fn from(called: Called) -> Self {
        let (result, result_encoding) = called.result.map(|body| (body.json, body.encoding)).unzip();
        Self {
            index: called.index,
            id: called.id,
            state: called.state,
            code: called.code,
            result,
            result_encoding: result_encoding.flatten(),
            error: called.error,
        }
    }
}

impl From<Written> for Called {
    fn from(written: Written) -> Self {
        let encoding = written.result_encoding;
        Self {
            index: written.index,
            id: written.id,
            state: written.state,
            code: written.code,
            result: written.result.map(|json| Body { json, encoding }),
            error: written.error,
        }
    }
}

impl Call {
    /// Asks this agent, with this payload.
    ///
    /// # Errors
    /// When the agent's name is invalid, or the payload cannot be serialized as JSON.
    pub fn new<T: Serialize + ?Sized>(agent: &str, payload: &T) -> Result<Self, Fault> {
        let to = agent
            .parse()
            .map_err(|error| Fault::terminal(codes::BAD_AGENT_NAME, format!("{error}")))?;
        let payload =
            Json::of(payload).map_err(|error| Fault::terminal(codes::NOT_JSON, format!("the payload: {error}")))?;
        let mut child = Child::new(payload);
        child.to = Some(to);
        Ok(Self { child })
    }

    /// Sets the kind of work.
    #[must_use]
    pub fn with_kind(mut self, kind: impl Into<String>) -> Self {
        self.child.kind = Some(kind.into());
        self
    }

    /// Sets the priority, instead of that of the calling intent.
    #[must_use]
    pub const fn with_priority(mut self, priority: Priority) -> Self {
        self.child.priority = Some(priority);
        self
    }

    /// Lends it this much of the budget of the calling intent. Of a meter that is not named it gets an even share of what is left; of
    /// a cost that is no amount, nothing.
    #[must_use]
    pub fn with_budget(mut self, lent: Amounts) -> Self {
        self.child.budget = Some(Box::new(lent.or_nothing()));
        self
    }

    /// Sets a deadline. That of the calling intent, less 5 s, holds all the same.
    #[must_use]
    pub const fn with_deadline(mut self, deadline: Timestamp) -> Self {
        self.child.deadline = Some(deadline);
        self
    }
}

impl Calls {
    /// These children. The hop goes on when all have ended, whatever they came to.
    pub fn of(calls: impl IntoIterator<Item = Call>) -> Self {
        let children = calls.into_iter().map(|call| call.child).collect();
        Self {
            name: None,
            children: Children::new(children, JoinRule::Collect),
            after_ms: None,
            then: OnTimeout::Give,
        }
    }

    /// Names the wait, for people; the name is unique within the hop, as those of steps and waits are.
    #[must_use]
    pub fn named(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// The hop goes on when all have completed. As soon as one comes to another end it goes on as well, and the rest is
    /// cancelled.
    #[must_use]
    pub fn all(mut self) -> Self {
        self.children.join = JoinRule::All;
        self
    }

    /// The hop goes on when the first child has completed, or none can any more.
    #[must_use]
    pub fn any(mut self) -> Self {
        self.children.join = JoinRule::Any;
        self
    }

    /// The hop goes on when so many have completed, or that many cannot any more.
    #[must_use]
    pub fn at_least(mut self, count: u32) -> Self {
        (self.children.join, self.children.need) = (JoinRule::Some, Some(count));
        self
    }

    /// Waits no longer than this, counted from the moment at which the server stores that it waits, and goes on with what
    /// there is by then.
    #[must_use]
    pub fn within(mut self, time: Duration) -> Self {
        self.after_ms = Some(u64::try_from(time.as_millis()).unwrap_or(u64::MAX));
        self
    }

    /// When the time is over, the intent is parked for a person.
    #[must_use]
    pub fn or_park(mut self) -> Self {
        self.then = OnTimeout::Park;
        self
    }

    /// When the time is over, the intent fails.
    #[must_use]
    pub fn or_fail(mut self) -> Self {
        self.then = OnTimeout::Fail;
        self
    }

    /// Leaves children that are still open alone when the hop goes on, or the intent ends. By default they are cancelled.
    #[must_use]
    pub fn detached(mut self) -> Self {
        self.children.detach = true;
        self
    }

    /// The wait for them, by this name where they have none.
    pub(crate) fn wait(self, name: &str) -> WaitSpec {
        let name = self.name.clone().unwrap_or_else(|| name.to_owned());
        self.spec(name)
    }

    fn spec(self, name: String) -> WaitSpec {
        WaitSpec {
            after_ms: self.after_ms,
            then: self.then,
            ..WaitSpec::for_children(name, self.children)
        }
    }
}

impl Called {
    /// Its place in the call, from 0.
    pub const fn index(&self) -> u32 {
        self.index
    }

    /// Its intent.
    pub const fn id(&self) -> &IntentId {
        &self.id
    }

    /// The name of its last status, such as `completed` or `failed`; `open` when it had not ended.
    pub fn state(&self) -> &str {
        &self.state
    }

    /// Whether it has completed.
    pub fn is_completed(&self) -> bool {
        self.state == "completed"
    }

    /// The code of its last status, if it has one.
    pub fn code(&self) -> Option<&str> {
        self.code.as_deref()
    }

    /// Its last error.
    pub const fn error(&self) -> Option<&ErrorInfo> {
        self.error.as_ref()
    }

    /// Its result, unparsed; `null` where it has none.
    pub fn json(&self) -> Json {
        self.result.as_ref().map(|body| body.json.clone()).unwrap_or_default()
    }

    /// The bytes of a result that is not text.
    pub fn bytes(&self) -> Option<Vec<u8>> {
        let body = self.result.as_ref()?;
        Body::bytes(&body.json, body.encoding.as_deref())
    }

    /// Its result.
    ///
    /// # Errors
    /// When it has not completed, or its result is not what the caller takes: no attempt can mend that.
    pub fn result<T: DeserializeOwned>(&self) -> Result<T, Fault> {
        let Some(result) = self.result.as_ref().filter(|_| self.is_completed()) else {
            let why = self
                .error
                .as_ref()
                .map_or_else(String::new, |error| format!(": {}: {}", error.code, error.message));
            let text = format!("child {} ({}) is {}{why}", self.index, self.id, self.state);
            return Err(Fault::terminal(codes::CHILD_FAILED, text));
        };
        result.json.read().map_err(|error| {
            let text = format!(
                "the result of child {} ({}) is not what this agent takes: {error}",
                self.index, self.id
            );
            Fault::terminal(codes::BAD_PAYLOAD, text)
        })
    }
}

impl Joined {
    /// The children, in the order in which they were asked.
    pub fn children(&self) -> &[Called] {
        &self.children
    }

    /// The children that have completed, in their order.
    pub fn completed(&self) -> impl Iterator<Item = &Called> {
        self.children.iter().filter(|child| child.is_completed())
    }

    /// Whether the time was over before as many had ended as the call asked for.
    pub const fn is_timed_out(&self) -> bool {
        self.is_timed_out
    }

    /// The children, in the order in which they were asked.
    pub fn into_children(self) -> Vec<Called> {
        self.children
    }
}

impl Hop {
    /// Asks another agent and waits for what it comes to, without a process, a slot or a delivery being held: the hop is
    /// suspended as for [`Hop::wait`], and runs again from its first line when the child has ended. In every attempt the same
    /// call is the same child.
    ///
    /// # Errors
    /// The suspension; or when the agent's name is invalid, or the payload cannot be serialized.
    pub async fn call<T: Serialize + ?Sized>(&mut self, agent: &str, payload: &T) -> Result<Called, Fault> {
        let call = Call::new(agent, payload)?;
        let name = self.name_call(agent);
        let mut joined = self.join(Calls::of([call]).named(name)).await?.children;
        joined
            .pop()
            .ok_or_else(|| Fault::terminal(codes::BAD_WAIT, "the call has no child"))
    }

    /// Asks several agents and waits until all have ended, whatever they came to. Gives them in their order.
    ///
    /// # Errors
    /// As [`Hop::call`].
    pub async fn call_all(&mut self, calls: impl IntoIterator<Item = Call>) -> Result<Vec<Called>, Fault> {
        Ok(self.join(Calls::of(calls)).await?.children)
    }

    /// Asks several agents, and waits until as many have ended as the calls ask for. What they came to is whole, however large: a
    /// result above 64 KiB is an object, which is read and verified here. Where it cannot be had, the intent is parked, whatever
    /// the handler makes of the fault.
    ///
    /// # Errors
    /// As [`Hop::call`].
    pub async fn join(&mut self, calls: Calls) -> Result<Joined, Fault> {
        let name = match &calls.name {
            Some(name) => name.clone(),
            None => self.name_call("calls"),
        };
        let count = calls.children.children.len();
        let mut waited = self.ask(vec![calls.spec(name)]).await?;
        let waited = waited
            .pop()
            .ok_or_else(|| Fault::terminal(codes::BAD_WAIT, "no wait was asked for"))?;
        self.joined(&waited, count).await
    }

    /// The name of the next call of this kind: the same in every attempt.
    fn name_call(&mut self, of: &str) -> String {
        let number = self.calls.entry(of.to_owned()).or_default();
        *number = number.saturating_add(1);
        match *number {
            1 => of.to_owned(),
            number => format!("{of}-{number}"),
        }
    }

    /// What the children of a call came to, with their results from the ledger or from the archive.
    pub(crate) async fn joined(&mut self, waited: &Waited, count: usize) -> Result<Joined, Fault> {
        let name = waited.name();
        let (intent, hop) = (self.intent().clone(), self.number());
        let id = |index: u32| IntentId::of_child(&intent, hop, name, index);
        let ends = &waited.result().children;
        let read = self.read_children(ends, id).await;
        let (read, joined) = self.or_park(read)?;
        let mut read = read.into_iter().peekable();
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        let mut children = Vec::with_capacity(ends.len());
        for index in 0..count {
            let ended = read.next_if(|called| called.index == index);
            children.push(ended.unwrap_or_else(|| Called {
                index,
                id: id(index),
                state: OPEN.to_owned(),
                code: None,
                result: None,
                error: None,
            }));
        }
        self.joined.extend(joined);
        Ok(Joined {
            children,
            is_timed_out: waited.is_timed_out(),
        })
    }

    /// Puts what children came to beside their ends in the recorded waits, for a program that reads them. A replay has the ends
    /// alone.
    pub(crate) async fn tell_children(&mut self) -> Result<(), Fault> {
        if self.is_replay() {
            return Ok(());
        }
        let names: Vec<String> = self.waits.keys().cloned().collect();
        for name in names {
            let Some(ends) = self.waits.get(&name).map(|result| result.children.clone()) else {
                continue;
            };
            if ends.is_empty() {
                continue;
            }
            let (intent, hop) = (self.intent().clone(), self.number());
            let id = |index: u32| IntentId::of_child(&intent, hop, &name, index);
            let read = self.read_children(&ends, id).await;
            let (called, joined) = self.or_park(read)?;
            self.joined.extend(joined);
            let told = ends.into_iter().zip(called).map(|(end, called)| told(end, called));
            if let Some(result) = self.waits.get_mut(&name) {
                result.children = told.collect();
            }
        }
        Ok(())
    }

    /// What children came to, and what those leave that have completed.
    async fn read_children(&self, ends: &[ChildEnd], id: impl Fn(u32) -> IntentId) -> Result<Read, Unread> {
        let HopClock::Mesh(mesh) = &self.clock else {
            let what = "what the children of a call came to is not known to a replay";
            let refused = self
                .sandbox()
                .map_or_else(Fault::fenced, |sandbox| sandbox.refuse(what));
            return Err(Unread::Fault(refused));
        };
        let ids: Vec<_> = ends.iter().map(|end| (id(end.index), Some(end.seq))).collect();
        let found = mesh.children_now(&ids).await.map_err(Unread::Mesh)?;
        let mut joined = Vec::new();
        let mut snapshots = Vec::with_capacity(found.len());
        for now in found {
            // Without one the archive has dropped it for its age, or other work stands under its id.
            let snapshot = now.head.map(|head| head.record.snapshot);
            let snapshot = snapshot.filter(|snapshot| snapshot.parent.as_ref() == Some(self.intent()));
            joined.extend(snapshot.as_ref().and_then(left_by));
            snapshots.push(snapshot);
        }
        let reads = snapshots.into_iter().map(|snapshot| async {
            let Some(snapshot) = snapshot else {
                return Ok((None, None));
            };
            let body = match &snapshot.result_ref {
                Some(object) => Some(mesh.body_of(self.envelope.root(), object).await?),
                None => snapshot.result.map(|json| Body {
                    json,
                    encoding: snapshot.result_encoding,
                }),
            };
            Ok::<_, baton_jetstream::Error>((body, snapshot.error))
        });
        let reads: Vec<_> = reads.collect();
        let read = futures::stream::iter(reads).buffered(AT_ONCE).try_collect::<Vec<_>>();
        let read = Box::pin(read).await.map_err(Unread::Mesh)?;
        let called = |((end, (id, _)), (result, error)): ((&ChildEnd, (IntentId, Option<u64>)), _)| Called {
            index: end.index,
            id,
            state: end.state.clone(),
            code: end.code.clone(),
            result,
            error,
        };
        let called = ends.iter().zip(ids).zip(read).map(called).collect();
        Ok((called, joined))
    }

    /// What was read of children. Where the object that a result is cannot be had, the intent is parked, whatever the handler makes
    /// of the fault: no attempt would find it.
    fn or_park(&mut self, read: Result<Read, Unread>) -> Result<Read, Fault> {
        let error = match read {
            Ok(read) => return Ok(read),
            Err(Unread::Fault(fault)) => return Err(fault),
            Err(Unread::Mesh(error)) => error,
        };
        if !error.is_of_object() {
            return Err(Fault::unwritten(&error));
        }
        let (code, text) = (error.code(), error.to_string());
        self.without = Some(Box::new(ErrorInfo::new(code, text.clone())));
        Err(Fault::terminal(code, text))
    }
}

/// What children came to, and what they leave.
type Read = (Vec<Called>, Vec<LeftBehind>);

/// Why it cannot be read what children came to.
enum Unread {
    Fault(Fault),
    Mesh(baton_jetstream::Error),
}

/// What a child leaves of what it knew, where it has completed.
fn left_by(child: &Snapshot) -> Option<LeftBehind> {
    let context: EnvelopeContext = child.context.as_ref()?.read().ok()?;
    let head = context.head.filter(|_| child.status == Status::Completed)?;
    Some(LeftBehind {
        head,
        gaps: context.gaps,
    })
}

/// The end of a child, with what it came to.
fn told(mut end: ChildEnd, called: Called) -> ChildEnd {
    end.id = Some(called.id);
    if let Some(Body { json, encoding }) = called.result {
        end.extra.insert("result".to_owned(), json);
        if let Some(encoding) = encoding {
            end.extra.insert("result_encoding".to_owned(), Json::string(&encoding));
        }
    }
    if let Some(error) = called.error.and_then(|error| Json::of(&error).ok()) {
        end.extra.insert("error".to_owned(), error);
    }
    end
}
