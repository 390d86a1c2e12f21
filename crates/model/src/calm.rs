//! Recovery: what happens from a state on when nothing more goes wrong.

use stateright::Model as _;

use crate::Protocol;
use crate::actions::{Action, Does};
use crate::bounds::Faults;
use crate::hold::{Doing, Turn};
use crate::world::World;

/// How many actions a recovery may take; a longer one goes in circles.
const LONGEST: usize = 400;

impl Protocol {
    /// Whether every intent ends, or waits for a person, when nothing more goes wrong and time passes.
    pub(crate) fn recovers(&self, world: &World) -> bool {
        let mut world = world.clone();
        world.left = Faults::none();
        // What is still delayed may arrive now.
        while !world.delayed.is_empty() {
            world = self.after(&world, Action::Arrives(0));
        }
        for _ in 0..LONGEST {
            if world.wrong.is_some() {
                return false;
            }
            let Some(action) = self.calm_step(&world) else {
                if Self::is_over(&world) {
                    return true;
                }
                world.pass_an_hour();
                if usize::from(world.hour) > usize::from(self.bounds.faults.hours) + 8 {
                    return false;
                }
                continue;
            };
            world = self.after(&world, action);
        }
        false
    }

    fn is_over(world: &World) -> bool {
        let mut intents = (0_u8..).zip(&world.ledgers).map(|(intent, _)| intent);
        intents.all(|intent| world.is_at_rest(intent))
    }

    fn calm_step(&self, world: &World) -> Option<Action> {
        let mut actions = Vec::new();
        world.calm_actions(&mut actions);
        for (number, worker) in (0_u8..).zip(&world.workers) {
            if let Doing::Has(hold, Turn::Runs) = &worker.doing {
                let does: Does = self.handler_goes_on(hold);
                actions.push(Action::Handler(number, does));
            }
        }
        let changes =
            |action: &Action| !matches!(action, Action::Deliver { .. }) || self.after(world, *action) != *world;
        let found = actions.into_iter().find(changes);
        found.or_else(|| self.calm_sweep(world))
    }

    fn calm_sweep(&self, world: &World) -> Option<Action> {
        let mut actions = Vec::new();
        self.actions(world, &mut actions);
        actions.into_iter().find(|action| matches!(action, Action::Sweep(_)))
    }
}
