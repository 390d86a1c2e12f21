//! What the leading controller repeats.
//!
//! A new round is a type that implements [`Round`](round::Round), and one line in [`all`]. Rounds know nothing of each
//! other. Each runs in its own task and starts with fresh state in each term; one that hangs, fails or panics leaves
//! the others running. [`Observe`] observes once what several rounds need, and they read it with its age.
//!
//! Every decision here is a compare-and-set or may be repeated: two leaders at the same moment cost work and do no
//! harm.

mod acceptance;
mod alarms;
mod archive;
mod breakers;
mod by_hand;
mod caps;
mod checkpoint;
mod children;
mod clocks;
mod consumers;
mod drains;
mod each;
mod error;
mod kills;
mod leader;
mod limits;
mod load;
mod lost;
mod mend;
mod misrouted;
mod objects;
mod observations;
mod observe;
mod raise;
mod readiness;
mod rollouts;
mod round;
mod schedules;
mod sweep;
mod term;
#[cfg(test)]
mod tests;
mod tidy;
mod timers;
mod turns;
mod undo;
mod unique_keys;
mod unreadable;

use crate::duty::Task;

use acceptance::Acceptance;
use alarms::Alarms;
use archive::Archive;
use breakers::Breakers;
use by_hand::Hands;
use caps::Caps;
use checkpoint::Checkpoints;
use children::Children;
use clocks::Clocks;
use consumers::Consumers;
use drains::Drains;
use kills::Kills;
use limits::Limits;
use load::Load;
use mend::Mend;
use misrouted::Misrouted;
use objects::Objects;
use observe::Observe;
use raise::Raise;
use readiness::Readiness;
use rollouts::Rollouts;
use round::round;
use schedules::Schedules;
use sweep::Sweep;
use term::Term;
use tidy::Tidy;
use timers::Timers;
use turns::Turns;
use unique_keys::UniqueKeys;
use unreadable::UnreadableKeys;

pub(crate) use leader::Leader;
pub(crate) use rollouts::verdict;

/// The rounds of a term.
pub(crate) fn all(term: &Term) -> Vec<Task> {
    let mut rounds = vec![
        round::<Observe>(term),
        round::<Rollouts>(term),
        round::<Drains>(term),
        round::<Misrouted>(term),
        round::<Readiness>(term),
        round::<Consumers>(term),
        round::<Alarms>(term),
        round::<Load>(term),
        round::<Sweep>(term),
        round::<Timers>(term),
        round::<Children>(term),
        round::<Turns>(term),
        round::<Raise>(term),
        round::<UnreadableKeys>(term),
        round::<Checkpoints>(term),
        round::<Mend>(term),
        round::<Clocks>(term),
        round::<Kills>(term),
        round::<Schedules>(term),
        round::<UniqueKeys>(term),
        round::<Limits>(term),
        round::<Caps>(term),
        round::<Hands>(term),
        round::<Breakers>(term),
        round::<Acceptance>(term),
        round::<Objects>(term),
    ];
    if term.cx.config.archive.enabled {
        rounds.extend([round::<Archive>(term), round::<Tidy>(term)]);
    }
    rounds
}
