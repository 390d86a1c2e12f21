//! The turn that work waits for before it begins, or has had: in the order of its key, or among the submitters of its agent.

use crate::base::timestamp::Timestamp;
use crate::base::wire::{Extra, wire_object};
use crate::intent::snapshot::Snapshot;
use crate::intent::status::Status;
use crate::intent::wait_reason::WaitReason;

wire_object! {
    /// The turn of a hop. It has no ticket before its turn.
    ///
    /// Of the intents of an agent with one key, those come first whose place is earlier. A place is the ledger sequence of a
    /// record, so nobody gets one before the places that are there; and an intent leaves its place for ever, when it ends or
    /// goes to another hop. So whoever knows the ledger up to a place knows all that come before it, however old that is.
    pub struct InOrder {
        /// The hop. A later hop of the intent waits for no turn.
        req hop: u32,
        /// The key; absent where its turn is among the submitters.
        opt key: String,
        /// Who submitted it, where its turn is among the submitters.
        opt submitter: String,
        /// The sequence of its raw message in the intake, until it has its place.
        opt intake: u64,
        /// The ledger sequence of the record that gave it its place; absent in that record itself.
        opt place: u64,
        /// How many could have their turn at a time when this one got it; absent before that.
        opt given: u32,
        /// When it got its turn, where the agent limits how often a key has one.
        opt given_at: Timestamp,
    }
}

impl InOrder {
    /// Work with a key, at a hop.
    pub(crate) fn keyed(hop: u32, key: String) -> Self {
        Self {
            hop,
            key: Some(key),
            submitter: None,
            intake: None,
            place: None,
            given: None,
            given_at: None,
            extra: Extra::new(),
        }
    }

    /// Work that is to be begun in turn with that of other submitters.
    pub(crate) fn of_submitter(hop: u32, submitter: String) -> Self {
        Self {
            key: None,
            submitter: Some(submitter),
            ..Self::keyed(hop, String::new())
        }
    }

    /// The place, in the record at `seq`; `None` where it has none yet.
    pub fn place_at(&self, seq: u64) -> Option<u64> {
        match self.intake {
            Some(_) => None,
            None => self.place.or(Some(seq)),
        }
    }
}

impl Snapshot {
    /// The turn that the present hop waits for, or has had.
    pub fn in_order(&self) -> Option<&InOrder> {
        self.order.as_deref().filter(|order| order.hop == self.hop)
    }

    /// Whether the present hop has not had its turn yet, whatever becomes of the intent meanwhile.
    pub fn is_before_its_turn(&self) -> bool {
        self.in_order().is_some_and(|order| order.given.is_none())
    }

    /// Whether it waits for its turn, and for nothing else.
    pub fn awaits_turn(&self) -> bool {
        let reason = WaitReason::Order;
        self.status == Status::Waiting { reason } && self.is_before_its_turn()
    }

    /// Notes that the record at `seq` gave the place, where nothing else is said.
    pub(crate) fn take_place(&mut self, seq: u64) {
        if let Some(order) = self.order.as_mut().filter(|order| order.intake.is_none()) {
            order.place = order.place_at(seq);
        }
    }
}
