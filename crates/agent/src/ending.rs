//! How a hop ends: the act that commits it.

use baton_envelope::budget::BudgetRefused;
use baton_envelope::{
    AgentName, AgentVersion, Body, Broadcast, Conversion, Draft, Envelope, ErrorInfo, IllegalTransition, Json,
    ObjectRef, Snapshot, Undo, WaitSpec, act, opened_calls,
};

/// How a hop ends: the act that commits it.
pub(crate) enum Ending {
    Complete {
        result: Body,
        note: Option<String>,
        /// What the tree remembers now.
        context: Option<Json>,
    },
    /// With a result that is an object.
    CompleteByRef {
        result: Box<ObjectRef>,
        note: Option<String>,
        context: Option<Json>,
    },
    Reject {
        error: ErrorInfo,
        note: Option<String>,
    },
    HandOff {
        envelope: Box<Envelope>,
        version: AgentVersion,
        conversion: Option<Box<Conversion>>,
        note: Option<String>,
        /// Whether a person or a script does it there.
        is_manual: bool,
        /// What takes the hop back that ends here.
        undo: Option<Box<Undo>>,
    },
    /// The agent gets rid of the work: another one gets it as it is, with the error that was the reason.
    PassOn {
        envelope: Box<Envelope>,
        version: AgentVersion,
        conversion: Option<Box<Conversion>>,
        note: Option<String>,
        error: ErrorInfo,
        spent: bool,
        /// Whether a person or a script does it there.
        is_manual: bool,
    },
    Fail(ErrorInfo),
    Park(ErrorInfo),
    /// The attempts are used up.
    Spent {
        error: ErrorInfo,
        /// Whether the intent fails; else it is parked.
        fails: bool,
        /// Whether that speaks against the version.
        blames: bool,
    },
    /// What the intent did is undone, and then it fails.
    Compensate {
        error: ErrorInfo,
        /// Whether the attempts are used up, and that speaks against the version.
        blames: bool,
    },
    /// The deadline passed.
    TimeOut,
    /// The hop waits for something outside.
    Suspend(Vec<WaitSpec>),
    /// The budget does not suffice.
    Exhausted(Box<BudgetRefused>),
    /// The receivers get a message, and the intent is done when they are.
    Broadcast {
        sent: Box<Broadcast>,
        receivers: Vec<AgentName>,
        note: Option<String>,
        /// What each copy begins with of what the tree remembers.
        context: Option<Json>,
    },
}

impl Ending {
    /// Drafts the commit from the head. May be called again, with a newer head.
    pub(crate) fn draft(&self, head: &Snapshot) -> Result<Draft, IllegalTransition> {
        match self {
            Self::Complete { result, note, context } => {
                let draft = act::complete_with(head, result.clone())?.with_note(note.clone());
                Ok(draft.remembering(context.clone()))
            }
            Self::CompleteByRef { result, note, context } => {
                let draft = act::complete_by_ref(head, (**result).clone())?.with_note(note.clone());
                Ok(draft.remembering(context.clone()))
            }
            Self::Reject { error, note } => Ok(act::reject(head, error.clone())?.with_note(note.clone())),
            Self::HandOff {
                envelope,
                version,
                conversion,
                note,
                is_manual,
                undo,
            } => {
                let draft = act::hand_off(head, (**envelope).clone(), version.clone())?.by_hand(*is_manual);
                let mut draft = draft.undone_by(undo.clone());
                draft.conversion.clone_from(conversion);
                Ok(draft.with_note(note.clone()))
            }
            Self::PassOn {
                envelope,
                version,
                conversion,
                note,
                error,
                spent,
                is_manual,
            } => {
                let mut draft = act::hand_off(head, (**envelope).clone(), version.clone())?.by_hand(*is_manual);
                draft.conversion.clone_from(conversion);
                // Of the record alone: the next agent begins without an error.
                draft.error = Some(error.clone());
                draft.exhausted = *spent;
                Ok(draft.with_note(note.clone()))
            }
            Self::Fail(error) => act::fail(head, error.clone()),
            Self::Park(error) => act::park(head, error.clone()),
            Self::Spent { error, fails, blames } => {
                let mut draft = match fails {
                    true => act::fail(head, error.clone())?,
                    false => act::park(head, error.clone())?,
                };
                draft.exhausted = *blames;
                Ok(draft)
            }
            Self::Compensate { error, blames } => {
                let mut draft = match head.has_to_undo() {
                    true => act::compensate(head, error.clone(), act::AfterUndo::Fails)?,
                    false => act::fail(head, error.clone())?,
                };
                draft.exhausted = *blames;
                Ok(draft)
            }
            Self::TimeOut => act::time_out(head),
            Self::Suspend(waits) => act::suspend(head, waits),
            Self::Exhausted(refused) => act::exhausted(head, refused),
            Self::Broadcast {
                sent,
                receivers,
                note,
                context,
            } => {
                let draft = act::broadcast_hop(head, (**sent).clone(), receivers.clone(), context.clone())?;
                Ok(draft.with_note(note.clone()))
            }
        }
    }

    /// What it asks for, in words, where it asks others.
    pub(crate) fn asked(&self) -> Option<String> {
        match self {
            Self::Suspend(waits) => {
                let calls: Vec<String> = opened_calls(waits)
                    .map(|(name, all)| format!("the call \"{name}\" with {} children", all.children.len()))
                    .collect();
                (!calls.is_empty()).then(|| calls.join(" and "))
            }
            Self::Broadcast { sent, receivers, .. } => {
                let (channel, count) = (&sent.channel, receivers.len());
                Some(format!("the message on channel \"{channel}\" to {count} receivers"))
            }
            Self::Complete { .. }
            | Self::CompleteByRef { .. }
            | Self::Reject { .. }
            | Self::HandOff { .. }
            | Self::PassOn { .. }
            | Self::Fail(_)
            | Self::Park(_)
            | Self::Spent { .. }
            | Self::Compensate { .. }
            | Self::Exhausted(_)
            | Self::TimeOut => None,
        }
    }

    pub(crate) fn error(&self) -> Option<&ErrorInfo> {
        match self {
            Self::Complete { .. }
            | Self::CompleteByRef { .. }
            | Self::HandOff { .. }
            | Self::TimeOut
            | Self::Suspend(_)
            | Self::Exhausted(_)
            | Self::Broadcast { .. } => None,
            Self::Reject { error, .. }
            | Self::PassOn { error, .. }
            | Self::Fail(error)
            | Self::Park(error)
            | Self::Compensate { error, .. }
            | Self::Spent { error, .. } => Some(error),
        }
    }
}
