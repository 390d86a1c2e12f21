//! One exhaustive check.

use std::hash::Hash;
use std::time::Duration;

use stateright::{Checker as _, Expectation, HasDiscoveries, Model};

use crate::Protocol;
use crate::family::{Family, KinAction};
use crate::waiting::{WaitAction, Waiting};

/// The result of a check.
#[derive(Debug, Clone)]
pub struct Found {
    /// States reached, each counted once.
    pub unique: usize,
    /// States generated.
    pub states: usize,
    /// The length of the longest path.
    pub depth: usize,
    /// How long it took.
    pub took: Duration,
    /// The property that does not hold, and the shortest path to it.
    pub counterexample: Option<(&'static str, String)>,
}

impl Protocol {
    /// Explores every state within the bounds; stops at the first that breaks a property.
    pub fn check(&self, threads: usize) -> Found {
        explore(self, threads, |actions| self.tell(actions))
    }

    /// A path, with the records that each action wrote.
    fn tell(&self, actions: Vec<crate::Action>) -> String {
        let mut text = String::new();
        let Some(mut world) = self.init_states().into_iter().next() else {
            return text;
        };
        for action in actions {
            let next = self.after(&world, action);
            text.push_str(&format!("{action:?}\n"));
            for (before, after) in world.ledgers.iter().zip(&next.ledgers) {
                for (index, record) in after.iter().enumerate().skip(before.len()) {
                    text.push_str(&format!("    {}: {record:?}\n", index + 1));
                }
            }
            world = next;
        }
        if let Some(wrong) = world.wrong {
            text.push_str(&format!("{wrong:?}\n"));
        }
        text
    }
}

impl Waiting {
    /// Explores every state within the bounds; stops at the first that breaks a property.
    pub fn check(&self, threads: usize) -> Found {
        explore(self, threads, |actions| self.story(actions))
    }

    /// A path, with the records that each action wrote.
    fn story(&self, actions: Vec<WaitAction>) -> String {
        let mut text = String::new();
        let mut scene = self.begin();
        for action in actions {
            let next = self.after(&scene, action);
            text.push_str(&format!("{action:?}\n"));
            for (index, record) in next.ledger.iter().enumerate().skip(scene.ledger.len()) {
                text.push_str(&format!("    {}: {record:?}\n", index + 1));
            }
            scene = next;
        }
        if let Some(wrong) = scene.wrong {
            text.push_str(&format!("{wrong:?}\n"));
        }
        text
    }
}

impl Family {
    /// Explores every state within the bounds; stops at the first that breaks a property.
    pub fn check(&self, threads: usize) -> Found {
        explore(self, threads, |actions: Vec<KinAction>| {
            actions.iter().map(|action| format!("{action:?}\n")).collect()
        })
    }
}

/// Explores every state of a model; stops at the first that breaks a property.
#[expect(clippy::disallowed_types, reason = "how long it took by the clock on the wall")]
fn explore<M>(model: &M, threads: usize, tell: impl Fn(Vec<M::Action>) -> String) -> Found
where
    M: Model + Clone + Send + Sync + 'static,
    M::State: Hash + Send + Sync + Clone + PartialEq + 'static,
    M::Action: Clone + PartialEq,
{
    let begun = std::time::Instant::now();
    let done = model
        .clone()
        .checker()
        .threads(threads)
        .finish_when(HasDiscoveries::AnyFailures)
        .spawn_bfs()
        .join();
    let mut counterexample = None;
    for property in model.properties() {
        let path = done.discovery(property.name);
        counterexample = match (property.expectation, path) {
            (Expectation::Always, Some(path)) => Some((property.name, tell(path.into_actions()))),
            (Expectation::Sometimes, None) => Some((property.name, "no such state".to_owned())),
            (_, _) => None,
        };
        if counterexample.is_some() {
            break;
        }
    }
    Found {
        unique: done.unique_state_count(),
        states: done.state_count(),
        depth: done.max_depth(),
        took: begun.elapsed(),
        counterexample,
    }
}
