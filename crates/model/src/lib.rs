//! A model of the commit protocol, checked exhaustively within small bounds.
//!
//! It models the world around the rules: a ledger that guards writes, a work stream, a network that loses, delays and
//! repeats, processes that crash and freeze at every point, a clock. The rules themselves are the runtime's: `next`,
//! the acts, `effects`, `is_fresh`, `on_delivery`, `is_untouched`, `recorded_steps`, `on_unconfirmed`, `on_overtaken`,
//! `needs`, `is_ticket_lost`, `compare_submission`. A change of a rule changes the model. Processes of the last build
//! with other rules (`old.rs`) work beside them. Waits, signals and times have a model of their own, `waiting.rs`, and so have
//! children on three levels, `family.rs`.
//!
//! No product contains this. [`Broken`] switches off one rule at a time, to show that the model can fail.

mod actions;
mod bounds;
mod calm;
mod check;
mod family;
mod hold;
mod old;
mod others;
mod properties;
mod records;
mod suites;
mod waiting;
#[expect(clippy::wildcard_enum_match_arm, reason = "what a worker is not at stays as it is")]
mod worker;
mod world;
mod write;

pub use actions::Action;
pub use bounds::{Bounds, Broken, Faults};
pub use check::Found;
pub use family::{BrokenFamily, FAMILIES, Family, FamilyBounds, FamilyLeft, FamilySuite, Kin, KinAction};
pub use properties::Violation;
pub use suites::{DEEP, SMALL, Suite};
pub use waiting::{BrokenWait, Left, Scene, WAITS, WaitAction, WaitBounds, WaitSuite, Waiting};
pub use world::World;

/// The protocol within bounds, in the form that the checker takes.
#[derive(Debug, Clone)]
pub struct Protocol {
    /// The bounds.
    pub bounds: Bounds,
    /// Which rule is switched off.
    pub broken: Broken,
}

impl Protocol {
    /// The protocol as it is, within these bounds.
    pub const fn new(bounds: Bounds) -> Self {
        Self {
            bounds,
            broken: Broken::Nothing,
        }
    }
}
