//! What records say of a budget.

use crate::amounts::meters::Amounts;
use crate::base::ids::IntentId;
use crate::base::wire::{Extra, wire_object};
use crate::base::wire_enum::wire_enum;

wire_enum! {
    /// What becomes of a hop whose budget does not suffice.
    #[derive(Default)]
    pub enum OnExhaustedBudget {
        /// The intent is parked, and goes on once there is enough.
        #[default]
        Park = "park",
        /// The intent fails.
        Fail = "fail",
    }
}

wire_object! {
    /// What a holder reserves before it calls, in `started` or `progress`.
    pub struct Hold {
        /// The step that the call is.
        req step: String,
        /// How much of each meter.
        req amounts: Amounts,
        /// The epoch of the holder.
        req epoch: u64,
    }
}

wire_object! {
    /// What was spent, in `step`, in a `progress`, or beside an outcome.
    pub struct Spend {
        /// The step, where it was one.
        opt step: String,
        /// How much of each meter.
        req amounts: Amounts,
        /// What had been reserved for it, and is reserved no longer.
        opt held: Box<Amounts>,
    }
}

wire_object! {
    /// What was added to the budget of an intent, in `topped_up`.
    pub struct TopUp {
        /// The id of the request: one that comes again is the same.
        req id: String,
        /// How much of each meter.
        req amounts: Amounts,
        /// In a record of a parent: the child that it is lent to.
        opt lent_to: IntentId,
        /// In a record of a parent: nothing is added, and what it is known to have paid it owes no more.
        def paid: bool,
    }
}

wire_object! {
    /// A `topped_up` that a parent owes a child that it has lent more.
    pub struct OwedTopUp {
        /// The place of the child in its call, from 0.
        req index: u32,
        /// The id of the request.
        req id: String,
        /// How much of each meter.
        req amounts: Amounts,
    }
}

wire_object! {
    /// What each of some children of a call has, one beside the other.
    pub struct Share {
        /// How many children.
        req count: u32,
        /// How much of each meter.
        req amounts: Amounts,
    }
}

impl Share {
    /// So many children with these amounts.
    pub(crate) const fn new(count: u32, amounts: Amounts) -> Self {
        Self {
            count,
            amounts,
            extra: Extra::new(),
        }
    }
}

impl Hold {
    /// A hold for a step.
    pub fn new(step: impl Into<String>, amounts: Amounts, epoch: u64) -> Self {
        Self {
            step: step.into(),
            amounts,
            epoch,
            extra: Extra::new(),
        }
    }
}

impl Spend {
    /// What was spent without a hold.
    pub const fn of(amounts: Amounts) -> Self {
        Self {
            step: None,
            amounts,
            held: None,
            extra: Extra::new(),
        }
    }

    /// What a step has spent of what was held for it.
    pub fn of_step(step: impl Into<String>, held: Amounts, amounts: Amounts) -> Self {
        Self {
            step: Some(step.into()),
            amounts,
            held: Some(Box::new(held)),
            extra: Extra::new(),
        }
    }
}

impl TopUp {
    /// What a request with this id adds.
    pub fn new(id: impl Into<String>, amounts: Amounts) -> Self {
        Self {
            id: id.into(),
            amounts,
            lent_to: None,
            paid: false,
            extra: Extra::new(),
        }
    }
}

impl OwedTopUp {
    /// What a request with this id owes a child.
    pub(crate) const fn new(index: u32, id: String, amounts: Amounts) -> Self {
        Self {
            index,
            id,
            amounts,
            extra: Extra::new(),
        }
    }
}
