//! The moments at which somebody dies: each right after a write that the process did in a run without an accident.

use std::collections::BTreeMap;
use std::fmt;

use baton_testkit::Write;

use super::{Victim, WRITES};

/// How often a run is tried in which nobody writes what is waited for.
const TURNS: u8 = 3;

/// What each process wrote, in order, by the kinds of its writes.
pub(super) type Writes = BTreeMap<Victim, Vec<String>>;

/// Right after the `nth` write of a kind by a process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Moment {
    pub(super) victim: Victim,
    kind: String,
    nth: usize,
    /// Its place among those of this process.
    pub(super) number: usize,
    /// Which try it is.
    turn: u8,
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.victim {
            Victim::Client => f.write_str("client")?,
            Victim::Worker(place) => write!(f, "worker{place}")?,
            Victim::Controller => f.write_str("controller")?,
        }
        write!(f, "-{}", self.number)?;
        match self.turn {
            0 => Ok(()),
            turn => write!(f, "-turn{turn}"),
        }
    }
}

impl Moment {
    /// Says of the writes of its process whether the last of them is this one.
    pub(super) fn is_last_of(&self) -> impl Fn(&[Write]) -> bool + Send + Sync + 'static {
        let (wanted, nth) = (self.kind.clone(), self.nth);
        move |writes| {
            writes.last().is_some_and(|write| kind(write) == wanted)
                && writes.iter().filter(|write| kind(write) == wanted).count() == nth
        }
    }

    /// Whether it is the first of its kind.
    pub(super) const fn is_first(&self) -> bool {
        self.nth == 1
    }

    /// Runs it until somebody has died; a process writes some things only where it is slow. Gives whether somebody did.
    pub(super) async fn until_it_comes(self, run: impl AsyncFn(Self) -> bool) -> bool {
        for turn in 0..TURNS {
            let moment = Self { turn, ..self.clone() };
            if run(moment).await {
                return true;
            }
            println!("{self}: nobody wrote {} {}", self.kind, self.nth);
        }
        false
    }
}

/// What a write is: the subject without names, and what a record says that happened.
fn kind(write: &Write) -> String {
    let subject = &write.subject;
    let prefix = WRITES.iter().find(|prefix| subject.starts_with(**prefix));
    let prefix = prefix.copied().unwrap_or_default();
    match prefix {
        "mesh.ledger." => {
            let record: serde_json::Value = serde_json::from_slice(&write.body).unwrap_or_default();
            format!("{prefix}{}", record["event"]["type"].as_str().unwrap_or("unread"))
        }
        // Its verb.
        _ if prefix.starts_with("mesh.control.") => subject.clone(),
        _ => prefix.to_owned(),
    }
}

/// The kinds of what was written.
pub(super) fn kinds(writes: &[Write]) -> Vec<String> {
    writes.iter().map(kind).collect()
}

/// All moments of two runs: what was written in both.
pub(super) fn moments(writes: &Writes, again: &Writes) -> Vec<Moment> {
    let mut moments = Vec::new();
    for (victim, kinds) in writes {
        let (mut seen, mut number) = (BTreeMap::<&str, usize>::new(), 0);
        let other = again.get(victim).map(Vec::as_slice).unwrap_or_default();
        for kind in kinds {
            let nth = seen.entry(kind).or_default();
            *nth += 1;
            if *nth <= other.iter().filter(|other| *other == kind).count() {
                number += 1;
                moments.push(Moment {
                    victim: *victim,
                    kind: kind.clone(),
                    nth: *nth,
                    number,
                    turn: 0,
                });
            }
        }
    }
    moments
}
