//! What a writer wants to happen to an intent, and the record it becomes.

use crate::amounts::{Hold, Spend, TopUp};
use crate::base::ids::{IntentId, RecordId};
use crate::base::json::Json;
use crate::base::names::AgentVersion;
use crate::base::protocol::PROTOCOL;
use crate::base::timestamp::Timestamp;
use crate::base::wire::Extra;
use crate::context::Completeness;
use crate::intent::broadcast::Broadcast;
use crate::intent::by_hand::ByHand;
use crate::intent::children::{ChildrenDone, forget_over};
use crate::intent::error_info::ErrorInfo;
use crate::intent::event::Event;
use crate::intent::in_order::InOrder;
use crate::intent::record::{Author, Conversion, Record, StepEntry};
use crate::intent::snapshot::Snapshot;
use crate::intent::status::{IllegalTransition, Status, next};
use crate::intent::undo::{PlannedUndo, Undo};
use crate::intent::wait_reason::WaitReason;
use crate::intent::waits::{OpenWait, SignalEntry, UnreadSignal, WaitResult, WaitSpec};
use crate::message::envelope::Envelope;
use crate::message::raw::RawKept;
use crate::people::PeopleEntry;
use crate::version::path::PathEntry;

/// What makes each write unique: the record id, the time, the author.
#[derive(Debug, Clone)]
pub struct Stamp {
    /// The id of the record.
    pub id: RecordId,
    /// The time of the writer's clock.
    pub at: Timestamp,
    /// Who writes.
    pub by: Author,
}

/// A record that is not sealed yet: an event, and the state after it.
///
/// Acts make drafts ([`act`](crate::act)). A draft is valid only for the head it was made from: a writer that loses to
/// another runs the act again. Two fields of the snapshot are known only at the write: `updated_at` and, if the head
/// itself holds the envelope, `envelope_seq`. [`Draft::seal`] fills them in.
#[derive(Debug, Clone, PartialEq)]
pub struct Draft {
    /// What happens.
    pub event: Event,
    /// The state after it.
    pub snapshot: Snapshot,
    /// The envelope of the new ticket, if this gives work to an agent.
    pub envelope: Option<Box<Envelope>>,
    /// The recorded step.
    pub step: Option<StepEntry>,
    /// A note, or the reason in words.
    pub note: Option<String>,
    /// The error, if there was one.
    pub error: Option<ErrorInfo>,
    /// The raw message, if it was refused.
    pub raw: Option<Box<RawKept>>,
    /// How long the attempt that ends here ran, in milliseconds.
    pub took_ms: Option<u64>,
    /// The cost of that attempt.
    pub cost: Option<Json>,
    /// How much of the view that the attempt was given could be had.
    pub context: Option<Completeness>,
    /// The conversion of the envelope.
    pub conversion: Option<Box<Conversion>>,
    /// In the first record: whether Baton made the intent id.
    pub generated_id: bool,
    /// The waits that a handler asks for.
    pub waits: Vec<WaitSpec>,
    /// The signal.
    pub signal: Option<Box<SignalEntry>>,
    /// What the waits came to.
    pub results: Vec<WaitResult>,
    /// What the holder tells of its progress.
    pub state: Option<Json>,
    /// What was done about an approval.
    pub people: Option<Box<PeopleEntry>>,
    /// The time of the record, where that is not when it is written: work that was due at a time begins then, whoever
    /// submits it, and however late.
    pub at: Option<Timestamp>,
    /// When its writer looked at what it rests on, where that is more than the head: the record is as old as that, however
    /// late it is written.
    pub looked_at: Option<Timestamp>,
    /// Whether the attempts of the hop that ends here are used up.
    pub exhausted: bool,
    /// The ends of children.
    pub children: Vec<ChildrenDone>,
    /// What each receiver of a broadcast gets.
    pub broadcast: Option<Box<Broadcast>>,
    /// What takes the hop back that ends here.
    pub undo: Option<Box<Undo>>,
    /// What is undone, the latest first.
    pub undos: Vec<PlannedUndo>,
    /// What the holder reserves.
    pub hold: Option<Box<Hold>>,
    /// What was spent.
    pub spend: Option<Box<Spend>>,
    /// What was added to the budget.
    pub top_up: Option<Box<TopUp>>,
    /// Until when the head that it follows was put off.
    pub(crate) put_off: Option<Timestamp>,
}

impl Draft {
    /// Starts a draft for an event and the state after it.
    pub(crate) fn first(event: Event, snapshot: Snapshot) -> Self {
        Self {
            event,
            snapshot,
            envelope: None,
            step: None,
            note: None,
            error: None,
            raw: None,
            took_ms: None,
            cost: None,
            context: None,
            conversion: None,
            generated_id: false,
            waits: Vec::new(),
            signal: None,
            results: Vec::new(),
            state: None,
            people: None,
            at: None,
            looked_at: None,
            exhausted: false,
            children: Vec::new(),
            broadcast: None,
            undo: None,
            undos: Vec::new(),
            hold: None,
            spend: None,
            top_up: None,
            put_off: None,
        }
    }

    /// Starts a draft that follows a head. The act then makes its other changes.
    ///
    /// # Errors
    /// When the event may not follow the status of the head.
    pub(crate) fn after(head: &Snapshot, event: Event) -> Result<Self, IllegalTransition> {
        let status = next(Some(&head.status), &event)?;
        let mut snapshot = head.clone();
        snapshot.status = status;
        if !event.only_adds() {
            snapshot.wake_at = None;
        }
        Ok(Self {
            put_off: head.wake_at,
            ..Self::first(event, snapshot)
        })
    }

    /// Gives work to a version of its agent, with a fresh attempt count and a new epoch. The envelope takes the
    /// ledger's pins: its author may have seen older ones.
    #[must_use]
    pub(crate) fn put(mut self, mut envelope: Envelope, version: AgentVersion) -> Self {
        let snapshot = &mut self.snapshot;
        if envelope.hop > snapshot.hop {
            snapshot.waits.clear();
            snapshot.order = None;
            snapshot.channel = None;
            // Nobody waits for the children of the hop that is over.
            snapshot.hop = envelope.hop;
            forget_over(snapshot);
            snapshot.path.push(PathEntry {
                agent: envelope.to.clone(),
                version: version.clone(),
                extra: Extra::new(),
            });
        }
        if let Some(last) = snapshot.path.last_mut().filter(|last| last.agent == envelope.to) {
            // The same hop again, perhaps on another version: a later return to this agent goes to that version.
            last.version = version.clone();
        }
        // The route says whether people or workers do it (`Draft::by_hand`); without a word, what was said of this version.
        let is_same = snapshot.agent.as_ref() == Some(&envelope.to) && snapshot.version.as_ref() == Some(&version);
        snapshot.manual = (is_same && snapshot.is_by_hand()).then(|| Box::new(ByHand::of(envelope.id)));
        snapshot.agent = Some(envelope.to.clone());
        snapshot.version = Some(version);
        snapshot.hop = envelope.hop;
        snapshot.max_hops = envelope.max_hops;
        snapshot.priority = envelope.priority;
        snapshot.kind.clone_from(&envelope.kind);
        snapshot.accept_within_ms = accept_within(&envelope);
        snapshot.attempt = 1;
        snapshot.epoch = snapshot.epoch.saturating_add(1);
        snapshot.holder = None;
        snapshot.given_back = None;
        snapshot.envelope = Some(envelope.id);
        snapshot.envelope_seq = None;
        snapshot.error = None;
        envelope.pins.clone_from(&snapshot.pins);
        self.envelope = Some(Box::new(envelope));
        self
    }

    /// Says whether the work that this puts before a version is done by hand there, as the route of its agent tells
    /// ([`Route::is_manual`](crate::Route::is_manual)). Then no ticket belongs to it.
    #[must_use]
    pub fn by_hand(mut self, is_manual: bool) -> Self {
        let envelope = self.envelope.as_ref().filter(|_| is_manual);
        self.snapshot.manual = envelope.map(|envelope| Box::new(ByHand::of(envelope.id)));
        self
    }

    /// Says where the raw message of work with a key stands in the intake: it gets its place once all before it are routed.
    #[must_use]
    pub fn routed_from(mut self, intake: Option<u64>) -> Self {
        if let Some(order) = &mut self.snapshot.order {
            order.intake = intake.filter(|_| order.key.is_some());
        }
        self
    }

    /// Has work that could begin now wait for its turn among the submitters of its agent.
    #[must_use]
    pub fn in_turn_of(mut self, submitter: Option<&str>) -> Self {
        let snapshot = &mut self.snapshot;
        if let Some(submitter) = submitter.filter(|_| snapshot.status == Status::Pending && snapshot.order.is_none()) {
            snapshot.order = Some(Box::new(InOrder::of_submitter(snapshot.hop, submitter.to_owned())));
            snapshot.status = Status::Waiting {
                reason: WaitReason::Order,
            };
        }
        self
    }

    /// Sets the instance that holds the hop.
    #[must_use]
    pub(crate) fn held_by(mut self, instance: &str) -> Self {
        self.snapshot.holder = Some(instance.to_owned());
        self
    }

    /// Takes the hop from its holder. The new epoch makes the ledger refuse whatever the holder still writes.
    #[must_use]
    pub(crate) fn without_holder(mut self) -> Self {
        self.snapshot.holder = None;
        self.snapshot.given_back = None;
        self.snapshot.epoch = self.snapshot.epoch.saturating_add(1);
        self
    }

    /// Like [`Draft::without_holder`], by a healthy holder: the next delivery burns no attempt.
    #[must_use]
    pub(crate) fn given_back(self) -> Self {
        let mut draft = self.without_holder();
        draft.snapshot.given_back = Some(draft.snapshot.epoch);
        draft
    }

    /// Puts the present hop's envelope, under a new id, in the place of the one it has. The envelope takes the ledger's
    /// pins: its author may have seen older ones.
    #[must_use]
    pub(crate) fn renewed(mut self, mut envelope: Envelope) -> Self {
        self.snapshot.envelope = Some(envelope.id);
        self.snapshot.envelope_seq = None;
        envelope.pins.clone_from(&self.snapshot.pins);
        self.envelope = Some(Box::new(envelope));
        self
    }

    /// Sets the error of the record and of the snapshot.
    #[must_use]
    pub(crate) fn with_error(mut self, error: ErrorInfo) -> Self {
        self.snapshot.error = Some(error.clone());
        self.error = Some(error);
        self
    }

    /// Says what takes the hop back that ends here.
    #[must_use]
    pub fn undone_by(mut self, undo: Option<Box<Undo>>) -> Self {
        if undo.is_some() {
            self.snapshot.count_undo();
        }
        self.undo = undo;
        self
    }

    /// Counts what the attempt that ends here has spent beside what its records say.
    pub fn has_spent(&mut self, spend: Spend) {
        if let Some(budget) = &mut self.snapshot.budget {
            budget.spend(&spend);
            self.spend = Some(Box::new(spend));
        }
    }

    /// Sets the note.
    #[must_use]
    pub fn with_note(mut self, note: Option<String>) -> Self {
        self.note = note;
        self
    }

    /// Sets what the tree remembers when this ends the intent.
    #[must_use]
    pub fn remembering(mut self, context: Option<Json>) -> Self {
        self.snapshot.context = context;
        self
    }

    /// Makes the record to write after the one at ledger sequence `head_seq` (0 if there is none).
    pub fn seal(self, intent: IntentId, head_seq: u64, stamp: Stamp) -> Record {
        let mut snapshot = self.snapshot;
        let at = self.looked_at.unwrap_or(stamp.at);
        let is_kept = |wake_at: &Timestamp| Some(*wake_at) == self.put_off && snapshot.status == Status::Pending;
        if let Some(wake_at) = snapshot.wake_at.filter(is_kept) {
            // The delay of a retry is by the clock of its writer, which may be ahead of this one: no more is left than was meant.
            // Work that begins later has a time that somebody named, which stands.
            let meant = wake_at.since(snapshot.updated_at);
            snapshot.wake_at = Some(wake_at.min(at.plus(meant)));
        }
        snapshot.updated_at = at;
        if self.envelope.is_none() && snapshot.envelope.is_some() && snapshot.envelope_seq.is_none() {
            snapshot.envelope_seq = Some(head_seq);
        }
        if head_seq > 0 && !self.event.gives_place() {
            snapshot.take_place(head_seq);
        }
        let is_asked = |open: &OpenWait| self.waits.iter().any(|wait| wait.name == open.name);
        let is_told = |unread: &UnreadSignal| self.signal.as_ref().is_some_and(|signal| signal.id == unread.id);
        snapshot.place_waits(head_seq, |open| !is_asked(open), |unread| !is_told(unread));
        snapshot.place_children(head_seq, |set| !self.waits.iter().any(|wait| wait.name == set.name));
        if let (Some(budget), Some(took_ms)) = (&mut snapshot.budget, self.took_ms) {
            budget.run_for(took_ms);
        }
        let assumed = snapshot.account();
        let mut envelope = self.envelope;
        if let (Some(envelope), Some(budget)) = (&mut envelope, &snapshot.budget)
            && self.event != Event::Submitted
        {
            envelope.budget = Some(Box::new(budget.shown()));
        }
        let said = self.people.as_ref().and_then(|entry| entry.said);
        snapshot.place_votes(head_seq, |seat| said != Some(seat.said));
        Record {
            protocol: PROTOCOL,
            id: stamp.id,
            intent,
            event: self.event,
            at: self.at.unwrap_or(stamp.at),
            by: stamp.by,
            snapshot,
            envelope,
            step: self.step,
            note: self.note,
            error: self.error,
            raw: self.raw,
            took_ms: self.took_ms,
            cost: self.cost,
            conversion: self.conversion,
            generated_id: self.generated_id,
            waits: self.waits,
            signal: self.signal,
            results: self.results,
            state: self.state,
            people: self.people,
            exhausted: self.exhausted,
            children: self.children,
            broadcast: self.broadcast,
            undo: self.undo,
            undos: self.undos,
            context: self.context,
            hold: self.hold,
            spend: self.spend,
            assumed,
            top_up: self.top_up,
            extra: Extra::new(),
        }
    }
}

/// How long an intent's work may wait to be taken, where the intent itself says so.
pub(crate) fn accept_within(envelope: &Envelope) -> Option<u64> {
    envelope.policy.as_ref()?.accept_within_ms
}
