//! Work that a person or a script does by hand, in place of workers: what the ledger says of it, and which step may follow.

use crate::base::ids::EnvelopeId;
use crate::base::timestamp::Timestamp;
use crate::base::wire::{Extra, wire_object};
use crate::intent::act;
use crate::intent::draft::Draft;
use crate::intent::error_info::ErrorInfo;
use crate::intent::snapshot::Snapshot;
use crate::intent::status::{IllegalTransition, Status};
use crate::message::body::Body;

wire_object! {
    /// That a hop is worked by hand: no ticket belongs to it.
    pub struct ByHand {
        /// The envelope of the hop. A writer before 1.4 carries this object along when it puts other work before an agent;
        /// so it counts only while the snapshot names the same envelope.
        req envelope: EnvelopeId,
        /// How long its holder expects to take, in milliseconds.
        opt estimate_ms: u64,
        /// When a controller gives the hop back, if somebody still holds it.
        opt until: Timestamp,
    }
}

impl ByHand {
    /// Work that nobody has taken yet.
    pub(crate) fn of(envelope: EnvelopeId) -> Self {
        Self {
            envelope,
            estimate_ms: None,
            until: None,
            extra: Extra::new(),
        }
    }
}

impl Snapshot {
    /// What is known of the present hop where it is worked by hand; `None` where workers do it.
    pub fn by_hand(&self) -> Option<&ByHand> {
        self.manual
            .as_deref()
            .filter(|manual| Some(manual.envelope) == self.envelope)
    }

    /// Whether the present hop is worked by hand.
    pub fn is_by_hand(&self) -> bool {
        self.by_hand().is_some()
    }

    /// When the hop is given back, if somebody holds it by hand until then.
    pub fn back_at(&self) -> Option<Timestamp> {
        let is_held = matches!(self.status, Status::Accepted | Status::InProgress);
        self.by_hand().filter(|_| is_held)?.until
    }
}

/// What a person does with work.
#[derive(Debug, Clone, PartialEq)]
pub enum HandStep {
    /// Takes it.
    Accept {
        /// How long the person expects to take, in milliseconds.
        estimate_ms: Option<u64>,
        /// When it is given back if it is not done by then.
        until: Option<Timestamp>,
    },
    /// Begins with it.
    Start,
    /// Leaves a note.
    Progress(String),
    /// Ends the intent with a result, and perhaps a note.
    Complete(Body, Option<String>),
    /// Declines it.
    Reject(ErrorInfo),
    /// Ends the intent as failed.
    Fail(ErrorInfo),
    /// Hands it to another agent; the caller drafts the record, because that needs a route.
    HandOff,
    /// Gives it back unfinished.
    Release(String),
}

impl HandStep {
    /// Its name, as in the verb of its question.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Accept { .. } => "accept",
            Self::Start => "start",
            Self::Progress(_) => "progress",
            Self::Complete(..) => "complete",
            Self::Reject(_) => "reject",
            Self::Fail(_) => "fail",
            Self::HandOff => "hand_off",
            Self::Release(_) => "release",
        }
    }

    /// The name of the status that it leads to.
    pub const fn leads_to(&self) -> &'static str {
        match self {
            Self::Accept { .. } => "accepted",
            Self::Start | Self::Progress(_) => "in_progress",
            Self::Complete(..) => "completed",
            Self::Reject(_) => "rejected",
            Self::Fail(_) => "failed",
            Self::HandOff | Self::Release(_) => "pending",
        }
    }

    /// The names of the statuses that it may follow.
    pub const fn follows(&self) -> &'static [&'static str] {
        match self {
            Self::Accept { .. } | Self::Reject(_) => &["pending"],
            Self::Start => &["accepted"],
            Self::Progress(_) => &["in_progress"],
            Self::Complete(..) | Self::Fail(_) | Self::HandOff | Self::Release(_) => &["accepted", "in_progress"],
        }
    }

    /// Whether work must be begun before it: where it is only accepted, `started` is written first.
    const fn needs_start(&self) -> bool {
        matches!(self, Self::Complete(..) | Self::Fail(_) | Self::HandOff)
    }
}

/// Why a step may not be taken now, in words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NotNow(pub String);

impl From<IllegalTransition> for NotNow {
    fn from(error: IllegalTransition) -> Self {
        Self(error.to_string())
    }
}

/// What a step is, for the present head.
#[derive(Debug, Clone, PartialEq)]
pub enum HandWrite {
    /// This record, and the step is done.
    Last(Box<Draft>),
    /// This record comes first; then ask again.
    First(Box<Draft>),
    /// The record of a handoff, which the caller drafts.
    HandOff,
}

/// Takes a step of a person on work that is done by hand. A claim by hand has no lease: it lasts until the person ends it,
/// somebody gives the work back, or its own time is over.
///
/// # Errors
/// When the step does not fit the status, the work is for workers, or another person has it.
pub fn take_by_hand(head: &Snapshot, person: &str, step: &HandStep, now: Timestamp) -> Result<HandWrite, NotNow> {
    let (name, leads_to, follows) = (step.name(), step.leads_to(), step.follows());
    if head.status.is_workable() && !head.is_by_hand() {
        let at = match (&head.agent, &head.version) {
            (Some(agent), Some(version)) => format!("{agent}@{version}"),
            (_, _) => "an agent".to_owned(),
        };
        return Err(NotNow(format!(
            "it is before the workers of {at}, and \"{name}\" is for work of a manual version"
        )));
    }
    if !follows.contains(&head.status.name()) {
        let follows = follows.join(" or ");
        let held = matches!(head.status, Status::Accepted | Status::InProgress);
        let holder = head.holder.as_deref().filter(|_| held && head.is_by_hand());
        let has = match holder {
            Some(holder) if holder == person => format!("; {holder} has it already"),
            Some(holder) => format!("; {holder} has it"),
            None => String::new(),
        };
        return Err(NotNow(format!(
            "\"{name}\" leads to {leads_to}, and only from {follows}{has}"
        )));
    }
    let is_late = |deadline: &Timestamp| *deadline <= now && !matches!(step, HandStep::Release(_));
    if let Some(deadline) = head.deadline.filter(is_late) {
        return Err(NotNow(format!("its deadline was {deadline}, and it ends as timed_out")));
    }
    // Whoever finds that the holder is away gives the work back first; the record says who did.
    let is_for_holder = head.status != Status::Pending && !matches!(step, HandStep::Release(_));
    if let Some(holder) = head
        .holder
        .as_deref()
        .filter(|holder| is_for_holder && *holder != person)
    {
        return Err(NotNow(format!(
            "{holder} has it, and \"{name}\" is for whoever has it; `release` gives it back"
        )));
    }
    if step.needs_start() && head.status == Status::Accepted {
        return Ok(HandWrite::First(Box::new(act::start(head, person)?)));
    }
    let draft = match step {
        HandStep::Accept { estimate_ms, until } => {
            let mut draft = act::claim(head, person, head.attempt)?;
            if let Some(manual) = &mut draft.snapshot.manual {
                (manual.estimate_ms, manual.until) = (*estimate_ms, *until);
            }
            draft
        }
        HandStep::Start => act::start(head, person)?,
        HandStep::Progress(note) => act::progress(head, note)?,
        HandStep::Complete(result, note) => act::complete_with(head, result.clone())?.with_note(note.clone()),
        HandStep::Reject(error) => act::reject(head, error.clone())?,
        HandStep::Fail(error) => act::fail(head, error.clone())?,
        HandStep::HandOff => return Ok(HandWrite::HandOff),
        HandStep::Release(reason) => {
            let mut draft = act::release(head, reason)?;
            if let Some(manual) = &mut draft.snapshot.manual {
                (manual.estimate_ms, manual.until) = (None, None);
            }
            draft
        }
    };
    Ok(HandWrite::Last(Box::new(draft)))
}
