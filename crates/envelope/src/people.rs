//! People: what is asked of them, who may answer, and what their answers come to.
//!
//! All of it is decided by pure functions of an approval's state, a [`Ballot`], so that every writer
//! comes to the same end: who may decide, what a decision is worth, and when the outcome is certain.

mod approval;
mod ballot;
mod decision;
mod entry;
mod preset;
mod said;

pub use approval::{
    Approval, BadApproval, Choice, DELEGATE, DENY, Escalation, GROUP, LONGEST_FORM, MOST_CHOICES, MOST_PEOPLE,
    MOST_REMINDERS, Weight,
};
pub use ballot::{Ballot, Cause, Decided, Refusal, Ruling, Seat};
pub use decision::{Decision, Vote};
pub use entry::{PeopleAct, PeopleEntry};
pub use preset::{PRESETS, Preset, PresetRow};
pub use said::{Decider, DecisionSubject, NOBODY, Said, Word};
