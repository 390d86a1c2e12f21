//! What must hold in every state, and what must occur in some.

use baton_envelope::{Event, next};
use stateright::Property;

use crate::Protocol;
use crate::actions::Action;
use crate::records::Rec;
use crate::world::World;

/// Something forbidden, noticed as it happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Violation {
    /// A ticket came whose record is not in the ledger (I5).
    TicketWithoutRecord,
    /// A worker believed in a commit that is not in the ledger (I2, I5).
    BelievedCommit,
    /// An effect ran again although its result was recorded before its holder took the hop (I6).
    EffectRepeated,
    /// A ticket was written while one of the same envelope still exists: whoever gets it fences out the holder.
    SecondTicket,
}

/// Every property that is checked. The names of the first begin with their invariant.
pub(crate) fn all() -> Vec<Property<Protocol>> {
    vec![
        Property::always("I2 a hop commits at most once", |_, world: &World| {
            world.ledgers.iter().all(|ledger| commits_once(ledger))
        }),
        Property::always(
            "I2 who believes in a commit has it in the ledger",
            |_, world: &World| world.wrong != Some(Violation::BelievedCommit),
        ),
        Property::always("I3 no record follows a terminal one", |_, world: &World| {
            let all_but_last = world.ledgers.iter().filter_map(|ledger| ledger.split_last());
            let mut before = all_but_last.flat_map(|(_, before)| before);
            before.all(|rec| !rec.snapshot.status.is_terminal())
        }),
        Property::always("I4 every history is legal", |_, world: &World| {
            world.ledgers.iter().all(|ledger| is_legal(ledger))
        }),
        Property::always("I5 what was not committed is never delivered", |_, world: &World| {
            world.wrong != Some(Violation::TicketWithoutRecord)
        }),
        Property::always("I1, I5 from everywhere the work goes on", |model, world: &World| {
            let is_asked = model.bounds.everywhere || model.is_quiet(world);
            !is_asked || model.recovers(world)
        }),
        Property::always("I6 a recorded step's effect does not run again", |_, world: &World| {
            world.wrong != Some(Violation::EffectRepeated) && world.ledgers.iter().all(|ledger| records_once(ledger))
        }),
        Property::always("I5 nobody pays for a ticket that stands", |_, world: &World| {
            world.wrong != Some(Violation::SecondTicket)
        }),
        Property::sometimes("all intents complete", |_, world: &World| {
            let completed = |ledger: &Vec<Rec>| ledger.last().is_some_and(|rec| rec.event == Event::Completed);
            world.ledgers.iter().all(completed)
        }),
    ]
}

/// At most one record leaves each hop.
fn commits_once(ledger: &[Rec]) -> bool {
    let mut left = Vec::new();
    let pairs = ledger.iter().zip(ledger.iter().skip(1));
    for (before, after) in pairs {
        let leaves = after.event == Event::HandedOff || after.snapshot.status.is_terminal();
        if leaves && left.contains(&before.snapshot.hop) {
            return false;
        }
        left.extend(leaves.then_some(before.snapshot.hop));
    }
    true
}

fn is_legal(ledger: &[Rec]) -> bool {
    let mut before = None;
    ledger.iter().all(|rec| {
        let is_next = next(before, &rec.event).as_ref() == Ok(&rec.snapshot.status);
        before = Some(&rec.snapshot.status);
        is_next
    })
}

/// At most one record of each step of each hop.
fn records_once(ledger: &[Rec]) -> bool {
    let mut seen = Vec::new();
    for rec in ledger {
        let Some(step) = &rec.step else { continue };
        let key = (rec.snapshot.hop, &step.name);
        if seen.contains(&key) {
            return false;
        }
        seen.push(key);
    }
    true
}

impl Protocol {
    /// Whether nothing more happens by itself: only time, the sweeper or a person could change something.
    pub(crate) fn is_quiet(&self, world: &World) -> bool {
        let mut actions = Vec::new();
        world.calm_actions(&mut actions);
        for (number, worker) in (0_u8..).zip(&world.workers) {
            self.willed(world, number, worker, &mut actions);
        }
        actions.iter().all(|action| {
            // A ticket that is not due is delivered and handed back, which changes nothing.
            matches!(action, Action::Deliver { .. }) && self.after(world, *action) == *world
        })
    }
}
