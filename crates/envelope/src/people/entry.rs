//! What people did about an approval, as a record of its intent has it.

use crate::base::json::Json;
use crate::base::names::PersonName;
use crate::base::timestamp::Timestamp;
use crate::base::wire::{Extra, wire_object};
use crate::base::wire_enum::wire_enum;

wire_enum! {
    /// What was done about an approval.
    pub enum PeopleAct {
        /// A person made a choice.
        Decided = "decided",
        /// A person gave the seat to somebody else.
        Delegated = "delegated",
        /// The people who have not decided were reminded.
        Reminded = "reminded",
        /// Others were asked as well.
        Escalated = "escalated",
        /// Its time was over, and its default counts.
        Expired = "expired",
        /// An operator gave a seat to somebody else.
        Assigned = "assigned",
        /// An operator decided in the place of all.
        Overridden = "overridden",
    }
}

wire_object! {
    /// What was done about an approval, in a record `signalled`.
    pub struct PeopleEntry {
        /// What was done.
        req act: PeopleAct,
        /// The hop that waits.
        req hop: u32,
        /// The wait.
        req wait: String,
        /// Who did it: the person of the subject, or the operator; absent for a reminder or an escalation.
        opt by: String,
        /// The choice.
        opt choice: String,
        /// The body of the decision.
        def form: Json,
        /// Who gave the seat away, for an assignment.
        opt from: PersonName,
        /// Who got the seat, was reminded, or may decide as well.
        def to: Vec<String>,
        /// The number of the reminder.
        opt number: u32,
        /// The id of the message: one that comes again is the same.
        opt id: String,
        /// The place of the message in the intake.
        opt said: u64,
        /// When the message was stored.
        opt at: Timestamp,
    }
}

impl PeopleEntry {
    /// An entry about a wait, without more.
    pub fn new(act: PeopleAct, hop: u32, wait: impl Into<String>) -> Self {
        Self {
            act,
            hop,
            wait: wait.into(),
            by: None,
            choice: None,
            form: Json::null(),
            from: None,
            to: Vec::new(),
            number: None,
            id: None,
            said: None,
            at: None,
            extra: Extra::new(),
        }
    }
}
