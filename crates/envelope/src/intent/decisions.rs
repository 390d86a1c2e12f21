//! What a decision is worth, judged by the head of its intent.

use crate::intent::signals::is_told;
use crate::intent::snapshot::Snapshot;
use crate::intent::waits::{OpenWait, open_waits};
use crate::people::{Ballot, Refusal, Ruling, Said};

/// The wait that a decision is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked<'a> {
    /// The hop.
    pub hop: u32,
    /// The name of the wait.
    pub wait: &'a str,
}

/// What is to be done with a decision.
#[derive(Debug, Clone, PartialEq)]
pub enum DecisionFate {
    /// Record it, with this state of the approval.
    Take(Box<Ballot>),
    /// It was recorded before: pay what the head owes, and ack it.
    Known,
    /// The person has said something later.
    Older,
    /// The approval, the hop or the intent has ended, or the time is over.
    TooLate,
    /// Its wait is not open. Nothing is kept for a wait that comes later.
    NotOpen,
    /// It is refused, and ends nothing.
    Refused(Refusal),
}

/// What is to be done with what a person said in the message `id`. `is_late` says whether that message was stored when the
/// time of the wait was over, by the stored times of both: no timer has to fire for that.
///
/// It counts whatever the status is, as long as the snapshot has its wait open: parked, or pending after a redrive.
pub fn on_decision(
    head: &Snapshot,
    asked: &Asked<'_>,
    said: &Said,
    id: &str,
    is_late: impl FnOnce(&OpenWait) -> bool,
) -> DecisionFate {
    if is_told(head, id) {
        return DecisionFate::Known;
    }
    if head.status.is_terminal() || asked.hop < head.hop {
        return DecisionFate::TooLate;
    }
    let Some((wait, ballot)) = open_approval(head, asked) else {
        return DecisionFate::NotOpen;
    };
    match ballot.rule(said, is_late(wait)) {
        Ruling::Counts(after) => DecisionFate::Take(after),
        Ruling::Older => DecisionFate::Older,
        Ruling::TooLate => DecisionFate::TooLate,
        Ruling::Refused(refusal) => DecisionFate::Refused(refusal),
    }
}

/// The open approval of this name, and its state.
pub fn open_approval<'h>(head: &'h Snapshot, asked: &Asked<'_>) -> Option<(&'h OpenWait, &'h Ballot)> {
    let is_asked = |wait: &&OpenWait| wait.hop == asked.hop && wait.name == asked.wait;
    let wait = open_waits(head).find(is_asked)?;
    wait.ballot.as_ref().map(|ballot| (wait, ballot))
}
