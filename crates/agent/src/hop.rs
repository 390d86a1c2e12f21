//! One hop, as a handler sees it.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::{Arc, OnceLock};

use baton_envelope::codes;
use baton_envelope::{
    AgentVersion, Envelope, ErrorInfo, Expects, INLINE_LIMIT, IntentId, Json, ObjectRef, PersonName, ProtocolRange,
    StepEntry, Task, Timestamp, Undo, WaitResult, WaitSpec, act,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::caps::Caps;
use crate::claim::{AppendError, Claim};
use crate::fault::Fault;
use crate::given::{Context, OwnView};
use crate::memory::LeftBehind;
use crate::sandbox::Sandbox;

/// How many steps and waits a hop may record, and of how many bytes: each later attempt reads all of them.
const MOST_RECORDED: usize = 1_000;
const MOST_BYTES: usize = 4 * 1024 * 1024;
/// How many bytes a reference to an object takes, at most.
const REFERENCE: usize = 256;

/// The groups of people that a worker knows, by name.
pub(crate) type Groups = BTreeMap<String, Vec<PersonName>>;

/// One hop of one intent: what an agent may know about it and do with it.
#[derive(Debug)]
pub struct Hop {
    pub(crate) envelope: Arc<Envelope>,
    pub(crate) attempt: u32,
    pub(crate) epoch: u64,
    pub(crate) journal: Journal,
    pub(crate) steps: BTreeMap<String, Json>,
    /// What its waits came to.
    pub(crate) waits: BTreeMap<String, WaitResult>,
    /// The waits that it is suspended for: whatever the handler returns then does not count.
    pub(crate) suspended: Option<Vec<WaitSpec>>,
    /// Why an object that it needs cannot be had: whatever the handler returns then does not count.
    pub(crate) without: Option<Box<ErrorInfo>>,
    /// The groups of people that its worker knows.
    pub(crate) groups: Arc<Groups>,
    /// What it makes its own view with.
    pub(crate) own_view: Arc<OwnView>,
    /// Of the mesh, in the server's time.
    pub(crate) clock: HopClock,
    /// The versions of the protocol that the agent reads.
    pub(crate) protocol: ProtocolRange,
    /// The most bytes that a result may have: what is too large for a message is an object.
    pub(crate) largest: usize,
    /// The mesh, to read from; a replay reads, too.
    pub(crate) mesh: Option<baton_jetstream::WorkerMesh>,
    /// The version that runs it; `None` in a replay, which writes nothing.
    pub(crate) version: Option<AgentVersion>,
    /// The view that it was given, once it was read.
    pub(crate) context: Option<Context>,
    /// What its agent may spend in a day; `None` in a replay, which spends nothing.
    pub(crate) caps: Option<Arc<Caps>>,
    /// What the last call of the hop left, and the children that this attempt has joined.
    pub(crate) joined: Vec<LeftBehind>,
    /// How many bytes this attempt has recalled.
    pub(crate) recalled: usize,
    /// How many signals this attempt has sent.
    pub(crate) signals_sent: u32,
    /// How many calls this attempt has made, by what names them.
    pub(crate) calls: BTreeMap<String, u32>,
    /// What its handler has started and still runs when the handler is over, such as a program that is told to end.
    pub(crate) remains: OnceLock<TaskTracker>,
    /// Cancelled when the hop is this holder's no longer.
    pub(crate) cancelled: CancellationToken,
}

/// Tells the time to a hop.
#[derive(Debug, Clone)]
pub(crate) enum HopClock {
    /// As the mesh does.
    Mesh(baton_jetstream::WorkerMesh),
    /// The time at which a replay began.
    Fixed(Timestamp),
}

impl HopClock {
    pub(crate) fn now(&self) -> Timestamp {
        match self {
            Self::Mesh(mesh) => mesh.now(),
            Self::Fixed(at) => *at,
        }
    }
}

/// Where a hop keeps its records.
#[derive(Debug)]
pub(crate) enum Journal {
    /// In the ledger, through the claim on the hop.
    Ledger(Arc<Mutex<Claim>>),
    /// Nowhere: this is a replay.
    Sandbox(Arc<Sandbox>),
}

impl Hop {
    /// The intent.
    pub fn intent(&self) -> &IntentId {
        &self.envelope.intent
    }

    /// The envelope that this hop received.
    pub fn envelope(&self) -> &Envelope {
        &self.envelope
    }

    /// The envelope as a JSON document, in the newest form that both this agent and this build know: an agent gets the
    /// form that it declares to read, whatever form the sender wrote.
    pub fn document(&self) -> Json {
        let form = self.protocol.newest_common(ProtocolRange::of_forms());
        let document = form.and_then(|form| self.envelope.document(form).ok());
        // An agent that reads no form known here gets no work; a replay on it shows the form that exists.
        document.unwrap_or_else(|| Json::of(self.envelope()).unwrap_or_default())
    }

    /// What the sender says of the work: its goal, where it stands, what is asked.
    pub fn task(&self) -> Option<&Task> {
        self.envelope.task.as_ref()
    }

    /// What the sender expects back. Baton checks the result by it before it is committed.
    pub fn expects(&self) -> Option<&Expects> {
        self.envelope.expects.as_deref()
    }

    /// The payload, unparsed.
    pub fn payload(&self) -> &Json {
        &self.envelope.payload
    }

    /// The number of this hop, from 1.
    pub fn number(&self) -> u32 {
        self.envelope.hop
    }

    /// The number of this attempt, from 1.
    pub fn attempt(&self) -> u32 {
        self.attempt
    }

    /// The fencing number of this holder: pass it to a system that can refuse older ones.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Whether this is a replay: the hop ran before, and nothing done here is written. Recorded steps return their
    /// results and no other step runs. A handler with effects outside steps must leave those out.
    pub fn is_replay(&self) -> bool {
        self.sandbox().is_some()
    }

    pub(crate) fn sandbox(&self) -> Option<&Sandbox> {
        match &self.journal {
            Journal::Ledger(_) => None,
            Journal::Sandbox(sandbox) => Some(sandbox),
        }
    }

    /// The steps recorded so far, including those of earlier attempts.
    pub fn steps(&self) -> &BTreeMap<String, Json> {
        &self.steps
    }

    /// A key that is the same in every attempt of this step. Pass it to the system that the effect calls, so that the
    /// system does not repeat an effect that happened but could not be recorded.
    pub fn idempotency_key(&self, step: &str) -> String {
        format!("{}:{}:{step}", self.envelope.intent, self.envelope.hop)
    }

    /// Runs an effect once: the ledger records its result, and later attempts get the recorded result instead.
    ///
    /// Names are unique within a hop. A crash between the effect and its record can still make the effect run again;
    /// use [`Hop::idempotency_key`] against that.
    ///
    /// # Errors
    /// The effect's own error; or when another holder has taken the hop, or the ledger cannot be written. In a replay,
    /// when the step has no record.
    pub async fn step<T, E, F, Fut>(&mut self, name: &str, effect: F) -> Result<T, Fault>
    where
        T: Serialize + DeserializeOwned,
        E: Into<Fault>,
        F: FnOnce() -> Fut,
        Fut: Future<Output = Result<T, E>>,
    {
        self.step_with(name, effect, |_| Ok(None)).await
    }

    /// Runs an effect once, and records its result with what takes it back.
    pub(crate) async fn step_with<T, E, F, Fut>(
        &mut self,
        name: &str,
        effect: F,
        undo: impl FnOnce(&T) -> Result<Option<Undo>, Fault>,
    ) -> Result<T, Fault>
    where
        T: Serialize + DeserializeOwned,
        E: Into<Fault>,
        F: FnOnce() -> Fut,
        Fut: Future<Output = Result<T, E>>,
    {
        if let Some(recorded) = self.steps.get(name) {
            return recorded.read().map_err(|error| {
                Fault::terminal(
                    codes::STEP_CHANGED,
                    format!("the recorded result of step \"{name}\": {error}"),
                )
            });
        }
        if let Some(sandbox) = self.sandbox() {
            return Err(sandbox.new_step(name));
        }
        self.may_record(name)?;
        // First record the holder of the hop, guarded: if a step that this holder does not know of is already recorded,
        // the ledger refuses the write here, before the effect.
        self.visible().await?;
        let value = effect().await.map_err(Into::into)?;
        let result = Json::of(&value)
            .map_err(|error| Fault::terminal(codes::NOT_JSON, format!("the result of step \"{name}\": {error}")))?;
        self.record_step(name, result, undo(&value)?).await?;
        Ok(value)
    }

    /// The object that a large result of a step is; `None` where it stands in the record.
    async fn as_step_object(&self, result: &Json) -> Result<Option<ObjectRef>, Fault> {
        let (Journal::Ledger(_), Some(mesh), Some(version)) = (&self.journal, &self.mesh, &self.version) else {
            return Ok(None);
        };
        if result.get().len() <= INLINE_LIMIT {
            return Ok(None);
        }
        let by = (&self.envelope.to, version);
        let stored = Box::pin(mesh.as_step_object(self.envelope.root(), by, result)).await;
        stored.map_err(|error| Fault::unstored(&error))
    }

    /// Whether the hop may record a step of this name.
    pub(crate) fn may_record(&self, name: &str) -> Result<(), Fault> {
        if self.waits.contains_key(name) {
            let text = format!("\"{name}\" is a recorded wait, and now a step");
            return Err(Fault::terminal(codes::STEP_CHANGED, text));
        }
        self.has_room(1)
    }

    /// Whether the hop may record so many more steps or waits.
    pub(crate) fn has_room(&self, more: usize) -> Result<(), Fault> {
        // One that is an object takes the room of its name.
        let of_steps = self.steps.values().map(|result| result.get().len());
        let of_steps = of_steps.map(|bytes| if bytes > INLINE_LIMIT { REFERENCE } else { bytes });
        let of_waits = self.waits.values().map(|result| result.data.get().len());
        let (count, bytes) = (
            self.steps.len() + self.waits.len(),
            of_steps.chain(of_waits).sum::<usize>(),
        );
        if count + more <= MOST_RECORDED && bytes < MOST_BYTES {
            return Ok(());
        }
        let text = format!(
            "the hop has recorded {count} steps and waits of {bytes} bytes, and {MOST_RECORDED} and {MOST_BYTES} are the most, so there \
             is no room for {more} more; go on in a new hop: hand off to {} itself, with what is left to do in the payload",
            self.envelope.to
        );
        Err(Fault::terminal(codes::HOP_TOO_LONG, text))
    }

    /// Publishes how far the hop is: `baton intents state` shows the last one. It is no step, and no later attempt sees it.
    ///
    /// # Errors
    /// When another holder has taken the hop, or the ledger cannot be written.
    pub async fn publish_state<T: Serialize + ?Sized>(&mut self, state: &T) -> Result<(), Fault> {
        let state = Json::of(state).map_err(|error| Fault::terminal(codes::NOT_JSON, format!("the state: {error}")))?;
        let Journal::Ledger(claim) = &self.journal else {
            return Ok(());
        };
        self.visible().await?;
        let mut claim = claim.lock().await;
        claim
            .append(|head| act::publish_state(head, state.clone()))
            .await
            .map_err(lost)
    }

    /// Tells an open intent something: the first wait of that name takes it. In every attempt the same call is the same signal.
    ///
    /// # Errors
    /// When the name is no subject token, the data cannot be written as JSON, or the server does not take it.
    pub async fn signal<T: Serialize + ?Sized>(
        &mut self,
        intent: &IntentId,
        name: &str,
        data: &T,
    ) -> Result<(), Fault> {
        let data = Json::of(data).map_err(|error| Fault::terminal(codes::NOT_JSON, format!("the signal: {error}")))?;
        let HopClock::Mesh(mesh) = &self.clock else {
            return Err(self
                .sandbox()
                .map_or_else(Fault::fenced, |sandbox| sandbox.new_step(name)));
        };
        self.signals_sent = self.signals_sent.saturating_add(1);
        let id = format!(
            "{}:{}:signal:{}",
            self.envelope.intent, self.envelope.hop, self.signals_sent
        );
        let body = data.get().as_bytes().to_vec();
        match mesh.send_signal(intent, name, Some(&id), body.into()).await {
            Ok(_) => Ok(()),
            Err(baton_jetstream::Error::BadEnvelope { problem, .. }) => Err(Fault::terminal(codes::BAD_WAIT, problem)),
            Err(error) => Err(Fault::unwritten(&error)),
        }
    }

    /// The subject on which an outside system ends a callback of this name: one message, with any body.
    pub fn callback_subject(&self, name: &str) -> String {
        match &self.clock {
            HopClock::Mesh(mesh) => mesh.subjects().signal(self.intent(), name),
            HopClock::Fixed(_) => String::new(),
        }
    }

    /// What the waits of this hop came to so far.
    pub fn waits(&self) -> &BTreeMap<String, WaitResult> {
        &self.waits
    }

    /// Adds a note to the intent's history.
    ///
    /// # Errors
    /// When another holder has taken the hop, or the ledger cannot be written.
    pub async fn progress(&mut self, note: &str) -> Result<(), Fault> {
        let Journal::Ledger(claim) = &self.journal else {
            return Ok(());
        };
        self.visible().await?;
        let mut claim = claim.lock().await;
        claim.append(|head| act::progress(head, note)).await.map_err(lost)
    }

    /// Resolves when the hop is this holder's no longer: somebody cancelled or paused the intent, killed the agent or moved
    /// the work. Usually it does so within a second. That another worker has taken it over is seen at the next write. Nothing that the handler does
    /// from then on counts, and it is dropped a second later.
    ///
    /// The future does not borrow the hop, so that it can be awaited beside a step:
    ///
    /// ```
    /// # use baton_agent::{Fault, Hop};
    /// # async fn ask_the_model() -> Result<String, Fault> { Ok(String::new()) }
    /// # async fn handle(hop: &mut Hop) -> Result<String, Fault> {
    /// let cancelled = hop.cancelled();
    /// tokio::select! {
    ///     answer = hop.step("ask", ask_the_model) => answer,
    ///     () = cancelled => Err(Fault::terminal("STOPPED", "nobody wants it any more")),
    /// }
    /// # }
    /// ```
    pub fn cancelled(&self) -> impl Future<Output = ()> + Send + use<> {
        self.cancelled.clone().cancelled_owned()
    }

    /// Whether the hop is this holder's no longer, as far as this worker has heard.
    pub fn is_cancelled(&self) -> bool {
        self.cancelled.is_cancelled()
    }

    /// Tracks what goes on when the handler is over: a hop that is given back waits for it, so that no other attempt runs
    /// beside it.
    pub(crate) fn remains(&self) -> TaskTracker {
        self.remains.get_or_init(TaskTracker::new).clone()
    }

    pub(crate) async fn visible(&self) -> Result<(), Fault> {
        match &self.journal {
            Journal::Ledger(claim) => claim.lock().await.make_visible().await.map_err(lost),
            Journal::Sandbox(_) => Ok(()),
        }
    }

    pub(crate) async fn record_step(&mut self, name: &str, result: Json, undo: Option<Undo>) -> Result<(), Fault> {
        let mut entry = match self.as_step_object(&result).await? {
            Some(object) => StepEntry::by_ref(name, object),
            None => StepEntry::new(name, result.clone()),
        };
        entry.undo = undo.map(Box::new);
        self.append_step(entry).await?;
        self.steps.insert(name.to_owned(), result);
        Ok(())
    }
}

pub(crate) fn lost(error: AppendError) -> Fault {
    match error {
        AppendError::Fenced(_) => Fault::fenced(),
        AppendError::Failed(baton_jetstream::Error::TooLarge { what, size, limit }) => Fault::terminal(
            codes::PAYLOAD_TOO_LARGE,
            format!("{what}: {size} bytes, and the server takes at most {limit} in one message"),
        ),
        AppendError::Failed(error) | AppendError::Unsettled(error) => Fault::unwritten(&error),
    }
}
