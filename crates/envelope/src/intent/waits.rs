//! Waits: what a hop waits for without holding a process, and what ends a wait.
//!
//! A wait is a step whose result comes from outside. What is open stands in the snapshot, so that every writer can tell
//! from the head alone whether the intent is to go on.

use crate::base::ids::IntentId;
use crate::base::json::Json;
use crate::base::mutants::Mutant;
use crate::base::timestamp::Timestamp;
use crate::base::wire::{Extra, wire_object};
use crate::base::wire_enum::wire_enum;
use crate::intent::children::{ChildEnd, Children, children_of};
use crate::intent::onward::Onward;
use crate::intent::snapshot::Snapshot;
use crate::intent::status::Status;
use crate::intent::wait_reason::WaitReason;
use crate::people::{Approval, Ballot};

/// The longest name of a wait or of a signal, in characters.
pub const LONGEST_WAIT_NAME: usize = 64;
/// How many waits a hop may have open at a time.
pub const MOST_WAITS: usize = 256;
/// How many bytes of JSON these may take in the snapshot, with the state of their approvals: each record of the intent has them.
pub const LONGEST_WAITS: usize = 64 * 1024;
/// The longest title of a wait, in characters.
const LONGEST_TITLE: usize = 200;

wire_enum! {
    /// What a wait waits for.
    pub enum WaitKind {
        /// A signal of the wait's name.
        Signal = "signal",
        /// The decision of people.
        Approval = "approval",
        /// A point in time.
        Sleep = "sleep",
        /// One message of an outside system; it comes as a signal of the wait's name.
        Callback = "callback",
        /// The ends of children.
        Children = "children",
    }
}

wire_enum! {
    /// What becomes of a hop whose wait has run out of time.
    #[derive(Default)]
    pub enum OnTimeout {
        /// The handler goes on, and finds that the time is over.
        #[default]
        Give = "give",
        /// The intent is parked.
        Park = "park",
        /// The intent fails.
        Fail = "fail",
    }
}

wire_enum! {
    /// How a wait ended.
    pub enum WaitOutcome {
        /// A signal came.
        Signalled = "signalled",
        /// People have decided.
        Decided = "decided",
        /// The time of a sleep has come.
        Slept = "slept",
        /// Its time is over, and nothing came.
        TimedOut = "timed_out",
        /// Another wait of the same call came first.
        Abandoned = "abandoned",
        /// As many children have ended as its join asks for.
        Joined = "joined",
    }
}

wire_object! {
    /// A wait as a handler asks for it; the record `waiting` holds it.
    pub struct WaitSpec {
        /// The name, a subject token; unique within the hop, also among the names of steps.
        req name: String,
        /// What it waits for.
        req kind: WaitKind,
        /// How long it waits at most, in milliseconds from the time at which its record is stored.
        opt after_ms: u64,
        /// What becomes of the hop when that time is over.
        def then: OnTimeout,
        /// Whether one wait of the call is enough; by default the hop goes on when all have ended.
        def any: bool,
        /// What it is about, for people.
        opt title: String,
        /// What people are asked, for `approval`; who they are is fixed.
        opt approval: Approval,
        /// The children, for `children`.
        opt children: Children,
        /// Where the work goes when they have ended, for a handler that does not come back.
        opt onward: Box<Onward>,
    }
}

wire_object! {
    /// An open wait of the snapshot.
    pub struct OpenWait {
        /// The hop that waits.
        req hop: u32,
        /// The name of the wait.
        req name: String,
        /// What it waits for.
        req kind: WaitKind,
        /// How long it waits at most, in milliseconds from the time at which its record is stored.
        opt after_ms: u64,
        /// What becomes of the hop when that time is over.
        def then: OnTimeout,
        /// Whether one wait of the call is enough.
        def any: bool,
        /// The ledger sequence of the record that opened it; absent in that record itself.
        opt seq: u64,
        /// What people have decided, once that is certain.
        opt decided: String,
        /// The state of an approval.
        opt ballot: Ballot,
    }
}

wire_object! {
    /// A signal of the snapshot that no wait has taken.
    pub struct UnreadSignal {
        /// The name.
        req name: String,
        /// The id of its message.
        req id: String,
        /// The ledger sequence of the record that holds it; absent in that record itself.
        opt seq: u64,
    }
}

wire_object! {
    /// A signal, in the record `signalled`.
    pub struct SignalEntry {
        /// The name.
        req name: String,
        /// The id of its message: a message that comes again is the same signal.
        req id: String,
        /// What it says; JSON as it was, or a string.
        def data: Json,
        /// `base64` when the data is a string of base64 because the message was not text.
        opt data_encoding: String,
        /// Who sent it, where the subject or the sender says so.
        opt by: String,
        /// When its message was stored.
        opt at: Timestamp,
    }
}

wire_object! {
    /// What a wait came to, in the record `resumed`.
    pub struct WaitResult {
        /// The name of the wait.
        req name: String,
        /// What it waited for.
        req kind: WaitKind,
        /// How it ended.
        req outcome: WaitOutcome,
        /// The signal's data, or the decision; `null` without any.
        def data: Json,
        /// `base64` when the data is a string of base64 because the message was not text.
        opt data_encoding: String,
        /// Who ended it, where known.
        opt by: String,
        /// When what ended it was stored.
        opt at: Timestamp,
        /// The ledger sequence of the record of the signal or of the decision that ended it.
        opt seq: u64,
        /// The children that had ended, in their order, for `children`.
        def children: Vec<ChildEnd>,
    }
}

impl WaitSpec {
    /// A wait of this name, without a time limit.
    pub fn new(name: impl Into<String>, kind: WaitKind) -> Self {
        Self {
            name: name.into(),
            kind,
            after_ms: None,
            then: OnTimeout::default(),
            any: false,
            title: None,
            approval: None,
            children: None,
            onward: None,
            extra: Extra::new(),
        }
    }

    /// A wait of this name for the decision of people. The approval is [fixed](Approval::fixed) before.
    pub fn for_people(name: impl Into<String>, approval: Approval) -> Self {
        Self {
            after_ms: approval.due_ms,
            title: approval.title.clone(),
            approval: Some(approval),
            ..Self::new(name, WaitKind::Approval)
        }
    }

    /// The open wait that it becomes.
    pub(crate) fn open(&self, hop: u32) -> OpenWait {
        OpenWait {
            hop,
            name: self.name.clone(),
            kind: self.kind.clone(),
            after_ms: self.after_ms,
            then: self.then.clone(),
            any: self.any,
            seq: None,
            decided: None,
            ballot: self.approval.as_ref().map(Ballot::of),
            extra: Extra::new(),
        }
    }

    /// Why the wait cannot be asked for, in words.
    ///
    /// # Errors
    /// A bad name, or a sleep without a time.
    pub fn check(&self) -> Result<(), String> {
        check_wait_name(&self.name)?;
        match (&self.kind, self.after_ms) {
            (WaitKind::Sleep, None) => Err(format!(
                "wait \"{}\" is a sleep without a time; fix: say how long it sleeps, with `until` such as \"10m\" (in Rust `within`)",
                self.name
            )),
            (WaitKind::Approval, _) if self.approval.is_none() => Err(format!(
                "wait \"{}\" is an approval without `approval`: say what people are asked, or give {{}}",
                self.name
            )),
            (WaitKind::Children, _) if self.children.is_none() => Err(format!(
                "wait \"{}\" is for children and names none in `children`",
                self.name
            )),
            (WaitKind::Unknown(kind), _) => Err(format!(
                "wait \"{}\": kind \"{kind}\" is none of signal, approval, sleep, callback, children",
                self.name
            )),
            (_, _) => Ok(()),
        }
    }

    /// Why the title cannot be written, in words.
    ///
    /// # Errors
    /// When it is longer than 200 characters.
    pub fn check_title(&self) -> Result<(), String> {
        match self.title.as_deref().map_or(0, |title| title.chars().count()) {
            0..=LONGEST_TITLE => Ok(()),
            length => Err(format!(
                "wait \"{}\": `title` has {length} characters, and may have {LONGEST_TITLE}; fix: put the rest into the state or a note",
                self.name
            )),
        }
    }
}

impl OpenWait {
    /// What ends it when its time is over: an approval has a default.
    fn at_due(&self) -> Ends {
        match &self.ballot {
            Some(ballot) => Ends::Decision(ballot.at_due().choice),
            None => Ends::Time,
        }
    }
}

/// What the subject of a signal says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignalSubject {
    /// The intent.
    pub intent: IntentId,
    /// The name of the signal.
    pub name: String,
}

impl SignalSubject {
    /// Reads what stands behind `mesh.signal.`.
    ///
    /// # Errors
    /// Names the token that is wrong, and what it should be.
    pub fn read(rest: &str) -> Result<Self, String> {
        let (intent, name) = rest.split_once('.').ok_or("give an intent and a name")?;
        let intent = intent.parse().map_err(|error| format!("{error}"))?;
        check_wait_name(name)?;
        let name = name.to_owned();
        Ok(Self { intent, name })
    }
}

/// Checks the name of a wait or of a signal: it becomes a subject token.
///
/// # Errors
/// Names the rule.
pub fn check_wait_name(name: &str) -> Result<(), String> {
    let is_valid = !name.is_empty()
        && name.len() <= LONGEST_WAIT_NAME
        && name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
    match is_valid {
        true => Ok(()),
        false => Err(format!(
            "\"{}\" is no name of a wait or signal: 1 to {LONGEST_WAIT_NAME} characters of A-Z a-z 0-9 _ - (it becomes a subject token)",
            crate::base::text::quoted(name, 80)
        )),
    }
}

/// Whether a hop may have these waits open at a time.
///
/// # Errors
/// Says how many there may be, where they are more.
pub fn check_room(waits: &[WaitSpec]) -> Result<(), String> {
    if waits.len() > MOST_WAITS {
        let count = waits.len();
        return Err(format!(
            "the hop asks for {count} waits at a time, and {MOST_WAITS} are the most; fix: wait for fewer at a time"
        ));
    }
    let open: Vec<OpenWait> = waits.iter().map(|wait| wait.open(1)).collect();
    let bytes = Json::of(&open).map_or(0, |json| json.get().len());
    match bytes {
        0..=LONGEST_WAITS => Ok(()),
        _ => Err(format!(
            "the {} waits of the hop take {bytes} bytes with those who are asked, and {LONGEST_WAITS} are the most; fix: wait for fewer \
             at a time, or ask fewer people",
            waits.len()
        )),
    }
}

/// What a `waiting` status says of these waits: the first of them tells.
pub fn reason_of(waits: &[WaitSpec]) -> WaitReason {
    match waits.first().map(|wait| &wait.kind) {
        Some(WaitKind::Approval) => WaitReason::Human,
        Some(WaitKind::Sleep) => WaitReason::Time,
        Some(WaitKind::Callback) => WaitReason::Tool,
        Some(WaitKind::Children) => WaitReason::Children,
        Some(WaitKind::Signal | WaitKind::Unknown(_)) | None => WaitReason::Signal,
    }
}

/// What ends one wait.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ends {
    /// The unread signal with this message id.
    Signal {
        /// The id of its message.
        id: String,
        /// The record that holds it; `None` for the head itself.
        seq: Option<u64>,
    },
    /// The decision of people.
    Decision(String),
    /// Its time is over.
    Time,
    /// Another wait of the same call.
    Another,
    /// As many children have ended as its join asks for.
    Children,
}

/// The open waits of the present hop, in the order in which they were asked for.
pub fn open_waits(snapshot: &Snapshot) -> impl Iterator<Item = &OpenWait> {
    let hop = snapshot.hop;
    snapshot.waits.iter().filter(move |wait| wait.hop == hop)
}

/// What each wait of a waiting hop ends with, in their order; `None` while the hop has to wait on. `is_due` tells whose time
/// is over. A signal counts before a time: one that was unread when the time came is taken.
///
/// A function of the head alone: whoever writes, gets a redelivery or sweeps may ask it, and pays the `resumed` that the
/// head then owes.
pub fn satisfied(head: &Snapshot, is_due: impl Fn(&OpenWait) -> bool) -> Option<Vec<(&OpenWait, Ends)>> {
    if !matches!(head.status, Status::Waiting { .. }) {
        return None;
    }
    let mut unread: Vec<&UnreadSignal> = head.signals.iter().collect();
    let waits: Vec<&OpenWait> = open_waits(head).collect();
    let is_any = waits.first()?.any;
    let mut ends: Vec<Option<Ends>> = Vec::with_capacity(waits.len());
    for wait in &waits {
        ends.push(told(head, wait, &mut unread));
        if is_any && ends.last().is_some_and(Option::is_some) {
            break;
        }
    }
    let heard = |ends: &[Option<Ends>]| ends.iter().any(Option::is_some);
    if !(is_any && heard(&ends)) {
        for (wait, end) in waits.iter().zip(&mut ends) {
            if end.is_none() && wait.after_ms.is_some() && is_due(wait) {
                *end = Some(wait.at_due());
                if is_any {
                    break;
                }
            }
        }
    }
    if is_any {
        let winner = ends.iter().position(Option::is_some)?;
        let of = |(at, wait)| {
            let end = match at == winner {
                true => ends.get(winner).cloned().flatten().unwrap_or(Ends::Another),
                false => Ends::Another,
            };
            (wait, end)
        };
        return Some(waits.into_iter().enumerate().map(of).collect());
    }
    waits
        .into_iter()
        .zip(ends)
        .map(|(wait, end)| Some((wait, end?)))
        .collect()
}

/// The open waits of the present hop whose answer is there already, though the hop has to wait on, and what it is.
pub fn answered_waits(head: &Snapshot) -> Vec<(&OpenWait, Ends)> {
    let mut unread: Vec<&UnreadSignal> = head.signals.iter().collect();
    open_waits(head)
        .filter_map(|wait| Some((wait, told(head, wait, &mut unread)?)))
        .collect()
}

/// What has been told to a wait, without a clock. A signal that it takes is gone for the others.
fn told(head: &Snapshot, wait: &OpenWait, unread: &mut Vec<&UnreadSignal>) -> Option<Ends> {
    match wait.kind {
        WaitKind::Signal | WaitKind::Callback => {
            let at = unread.iter().position(|signal| signal.name == wait.name)?;
            let signal = unread.remove(at);
            Some(Ends::Signal {
                id: signal.id.clone(),
                seq: signal.seq,
            })
        }
        WaitKind::Approval => wait.decided.clone().map(Ends::Decision),
        WaitKind::Children => {
            let is_decided = children_of(head, wait).is_some_and(|set| set.is_decided());
            (is_decided && !Mutant::P6NeverJoins.is_on()).then_some(Ends::Children)
        }
        WaitKind::Sleep | WaitKind::Unknown(_) => None,
    }
}

/// Whether a waiting head is to go on whatever the time is.
pub fn owes_resume(head: &Snapshot) -> bool {
    satisfied(head, |_| false).is_some()
}

/// How waits that a handler asks for compare with those that its hop has open already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// None are open: they are new.
    New,
    /// The same are open: they keep the time at which they end.
    Same,
    /// Others are open: the handler is not the one that asked for them.
    Changed,
}

/// Compares the waits that a handler asks for with those that are open.
pub fn compare_waits(head: &Snapshot, asked: &[WaitSpec]) -> Asked {
    let open: Vec<&OpenWait> = open_waits(head).collect();
    // So many children as before: nobody asks for others under the names of those that are at work.
    let has_same = |open: &OpenWait, asked: &WaitSpec| match (&asked.children, children_of(head, open)) {
        (Some(asked), Some(set)) => asked.children.len() == set.count as usize,
        (Some(_), None) | (None, _) => asked.children.is_none(),
    };
    let is_same = |(open, asked): (&&OpenWait, &WaitSpec)| {
        open.name == asked.name && open.kind == asked.kind && has_same(open, asked)
    };
    match () {
        () if open.is_empty() => Asked::New,
        () if open.len() == asked.len() && open.iter().zip(asked).all(is_same) => Asked::Same,
        () => Asked::Changed,
    }
}
