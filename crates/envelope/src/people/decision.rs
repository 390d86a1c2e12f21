//! What a hop gets when people have decided.

use crate::base::json::Json;
use crate::base::timestamp::Timestamp;
use crate::base::wire::{Extra, wire_object};
use crate::people::ballot::{Ballot, Cause, Decided};

wire_object! {
    /// What an approval came to, in the result of its wait.
    pub struct Decision {
        /// The choice; one of the approval's, or `deny` where no choice against it exists.
        req choice: String,
        /// Whether that choice accepts.
        def accepted: bool,
        /// What made it certain.
        req cause: Cause,
        /// The votes, in the order of the seats.
        def votes: Vec<Vote>,
    }
}

wire_object! {
    /// One vote.
    pub struct Vote {
        /// Who; `-` for nobody in particular.
        req by: String,
        /// The choice.
        req choice: String,
        /// The body of the decision; absent for none, and where all of them would be too long together.
        def form: Json,
        /// When its message was stored.
        opt at: Timestamp,
        /// The ledger sequence of its record.
        opt seq: u64,
    }
}

impl Decision {
    /// The decision of an approval, without the votes. `None` while nothing is certain.
    pub fn of(ballot: &Ballot) -> Option<Self> {
        let Decided {
            choice,
            accepted,
            cause,
            ..
        } = ballot.decided.clone()?;
        Some(Self {
            choice,
            accepted,
            cause,
            votes: Vec::new(),
            extra: Extra::new(),
        })
    }

    /// The body of the only vote for the outcome, or of the first of them.
    pub fn form(&self) -> Option<&Json> {
        let made = self.votes.iter().find(|vote| vote.choice == self.choice);
        made.map(|vote| &vote.form).filter(|form| !form.is_null())
    }
}

impl Vote {
    /// A vote of a seat.
    pub fn new(by: impl Into<String>, choice: impl Into<String>) -> Self {
        Self {
            by: by.into(),
            choice: choice.into(),
            form: Json::null(),
            at: None,
            seq: None,
            extra: Extra::new(),
        }
    }
}
