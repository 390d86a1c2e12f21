//! A model of children: three levels with three children each, checked exhaustively within bounds.
//!
//! An intent asks three others, each of which asks three. What one of them does is one action: its worker runs it, somebody submits
//! it, the leader's round records ends, lets a parent go on, closes what nobody waits for, and forgets a parent that has nothing left.
//! Children are alike, so scenes that differ in their order are one. The rules are the runtime's own: `next`, the acts of a
//! call, `owes_resume`, `is_over`. [`BrokenFamily`] switches off, one at a time, what a first form of the design lacked; each must
//! give a counterexample.

mod kin;
mod rules;

pub use kin::{Kin, KinAction};

use baton_envelope::JoinRule;
use stateright::{Model, Property};

use kin::Ill;
use rules::Rules;

/// The bounds of a check.
#[derive(Debug, Clone)]
pub struct FamilyBounds {
    /// When a parent goes on.
    pub join: JoinRule,
    /// What may go wrong, and what people may do.
    pub left: FamilyLeft,
}

/// How often something may still happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FamilyLeft {
    /// Times that somebody cancels the first intent.
    pub cancels: u8,
    /// Children of the last level that fail.
    pub failures: u8,
    /// Submits of a child by a process that was frozen since its parent called.
    pub frozen: u8,
    /// Children of the last level that are archived and purged.
    pub purges: u8,
    /// Leaders that die between the record of ends and what it owes.
    pub crashes: u8,
}

impl FamilyLeft {
    /// Nothing.
    pub const NONE: Self = Self {
        cancels: 0,
        failures: 0,
        frozen: 0,
        purges: 0,
        crashes: 0,
    };
}

/// A rule of children that is switched off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BrokenFamily {
    /// None.
    Nothing,
    /// Only whoever has just written `child_done` lets the parent go on.
    DecidedOwesNothing,
    /// Whoever submits late does not ask the archive.
    ArchiveUnasked,
    /// A child that nobody has submitted is not closed.
    Unburied,
    /// Open children of a parent that has ended are left alone.
    Orphans,
    /// Open children of a call that is over, of a parent that goes on, are left alone.
    Stragglers,
}

/// A family within bounds, in the form that the checker takes.
#[derive(Debug, Clone)]
pub struct Family {
    /// The bounds.
    pub bounds: FamilyBounds,
    /// Which rule is switched off.
    pub broken: BrokenFamily,
    rules: Rules,
}

/// Bounds with a name.
#[derive(Debug, Clone)]
pub struct FamilySuite {
    /// What it is about.
    pub name: &'static str,
    /// The bounds.
    pub bounds: FamilyBounds,
}

/// What the tests check.
pub static FAMILIES: [FamilySuite; 6] = [
    suite(
        "children: all of them",
        JoinRule::Collect,
        FamilyLeft {
            failures: 1,
            crashes: 1,
            ..FamilyLeft::NONE
        },
    ),
    suite(
        "children: a cancel",
        JoinRule::Collect,
        FamilyLeft {
            cancels: 1,
            ..FamilyLeft::NONE
        },
    ),
    suite("children: the first is enough", JoinRule::Any, FamilyLeft::NONE),
    suite(
        "children: one fails, all end",
        JoinRule::All,
        FamilyLeft {
            failures: 1,
            ..FamilyLeft::NONE
        },
    ),
    suite(
        "children: frozen",
        JoinRule::Collect,
        FamilyLeft {
            frozen: 1,
            cancels: 1,
            ..FamilyLeft::NONE
        },
    ),
    suite(
        "children: archived",
        JoinRule::Collect,
        FamilyLeft {
            frozen: 1,
            purges: 1,
            ..FamilyLeft::NONE
        },
    ),
];

const fn suite(name: &'static str, join: JoinRule, left: FamilyLeft) -> FamilySuite {
    FamilySuite {
        name,
        bounds: FamilyBounds { join, left },
    }
}

impl Family {
    /// A family within bounds, with a rule switched off.
    pub fn new(bounds: FamilyBounds, broken: BrokenFamily) -> Self {
        let rules = Rules::of(&bounds.join);
        Self { bounds, broken, rules }
    }
}

impl Model for Family {
    type State = Kin;
    type Action = KinAction;

    fn init_states(&self) -> Vec<Kin> {
        vec![Kin::first(self.bounds.left)]
    }

    fn actions(&self, kin: &Kin, actions: &mut Vec<KinAction>) {
        if kin.wrong.is_none() {
            self.calm(kin, actions);
            self.willed(kin, actions);
        }
    }

    fn next_state(&self, kin: &Kin, action: KinAction) -> Option<Kin> {
        Some(self.after(kin, action))
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("P5 a child begins once", |_, kin: &Kin| {
                kin.wrong != Some(Ill::TwoLives)
            }),
            Property::always("I4 every event may follow", |_, kin: &Kin| {
                kin.wrong != Some(Ill::Illegal)
            }),
            Property::always(
                "P6 from every quiet state no parent waits for what has come",
                |model: &Family, kin: &Kin| !model.is_quiet(kin) || model.nobody_waits(kin),
            ),
            Property::always(
                "P7 from every quiet state no child is open for nobody",
                |model: &Family, kin: &Kin| !model.is_quiet(kin) || kin.nobody_is_left(),
            ),
            Property::sometimes("the first intent completes", |_, kin: &Kin| kin.is_completed()),
        ]
    }
}
