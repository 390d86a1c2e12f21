//! What somebody does at which time: a pure function of the seed.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{Rng as _, SeedableRng as _};

use super::NEWEST;
use crate::work::AGENTS;

/// The average pause between two acts that begin something, in milliseconds.
const PAUSE: u64 = 1_500;

/// What somebody does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Act {
    /// Stops the deliveries of an agent, or of one version of it.
    Pause(&'static str, Option<&'static str>),
    /// The same, and takes what runs from its workers.
    Kill(&'static str, Option<&'static str>),
    /// Lets the same go on.
    Resume(&'static str, Option<&'static str>),
    /// Pauses one of the newest open intents.
    PauseIntent(usize),
    /// Lets all paused intents go on.
    ResumeIntents,
    /// Cancels one of the newest open intents.
    CancelIntent(usize),
    /// Cancels an open saga, and has undone what it did.
    UndoIntent(usize),
    /// Has the workers of an agent run at most so many hops at a time.
    Limit(&'static str, u32),
}

impl Act {
    pub(super) const fn name(&self) -> &'static str {
        match self {
            Self::Pause(..) => "agent paused",
            Self::Kill(..) => "agent killed",
            Self::Resume(..) => "agent resumed",
            Self::PauseIntent(_) => "intent paused",
            Self::ResumeIntents => "intents resumed",
            Self::CancelIntent(_) => "intent cancelled",
            Self::UndoIntent(_) => "saga undone",
            Self::Limit(..) => "limit set",
        }
    }
}

/// The agent with a limit. The others have none, so that each run has both.
#[must_use]
pub fn limited(seed: u64) -> &'static str {
    let index = usize::try_from(seed).unwrap_or_default() % AGENTS.len();
    AGENTS.get(index).copied().unwrap_or("alpha")
}

/// The acts of a seed with their times: a pure function of the seed. The limit is there before the first fault.
#[must_use]
pub fn acts(seed: u64, length: Duration) -> Vec<(Duration, Act)> {
    let mut random = StdRng::seed_from_u64(seed.rotate_left(32) ^ 0xC047_1201);
    let agent = limited(seed);
    let mut found = vec![(Duration::ZERO, Act::Limit(agent, random.random_range(4..=8)))];
    let mut at = Duration::from_secs(2);
    loop {
        at += Duration::from_millis(random.random_range(PAUSE / 4..PAUSE * 7 / 4));
        if at > length {
            break;
        }
        let of = AGENTS.choose(&mut random).copied().unwrap_or("alpha");
        let version = [None, Some("1.0.0"), Some("2.0.0")]
            .choose(&mut random)
            .copied()
            .flatten();
        let lasts = Duration::from_millis(random.random_range(200..3_000));
        let pick = random.random_range(0..NEWEST);
        let (act, after) = match random.random_range(0..100) {
            0..25 => (Act::Kill(of, version), Some(Act::Resume(of, version))),
            25..33 => (Act::Pause(of, version), Some(Act::Resume(of, version))),
            33..60 => (Act::PauseIntent(pick), Some(Act::ResumeIntents)),
            60..72 => (Act::CancelIntent(pick), None),
            72..86 => (Act::UndoIntent(pick), None),
            _ => (Act::Limit(agent, random.random_range(2..=8)), None),
        };
        found.push((at, act));
        found.extend(after.map(|after| (at + lasts, after)));
    }
    found.sort_by_key(|(at, _)| *at);
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_the_same_acts_each_time_and_whatever_is_stopped_is_let_go() {
        let minute = Duration::from_secs(60);
        let mut kinds = std::collections::BTreeSet::new();
        for seed in 0..20 {
            let found = acts(seed, minute);
            assert_eq!(found, acts(seed, minute));
            kinds.extend(found.iter().map(|(_, act)| act.name()));
            let count = |name: &str| found.iter().filter(|(_, act)| act.name() == name).count();
            assert_eq!(count("agent paused") + count("agent killed"), count("agent resumed"));
            assert_eq!(count("intent paused"), count("intents resumed"));
            assert_eq!(found.first().map(|(_, act)| act.name()), Some("limit set"));
        }
        assert_eq!(kinds.len(), 8, "{kinds:?}");
    }
}
