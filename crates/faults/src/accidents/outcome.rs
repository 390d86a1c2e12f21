//! What became of an accident, and of all of them.

use std::fmt;

use baton_checker::Violation;
use serde::Serialize;

use super::judge::Judged;
use super::table::{Place, table};

/// What became of an accident.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Became {
    /// The mesh healed by itself.
    Healed,
    /// The command that `baton doctor` printed made it whole.
    Mended,
    /// What is lost is lost, and `baton doctor` said so.
    Told,
    /// Something is not right.
    Failed(String),
}

/// An accident, and what became of it.
#[derive(Debug, Clone, Serialize)]
pub struct Outcome {
    /// What happened.
    pub accident: String,
    /// What became of it.
    pub became: Became,
    /// When `baton doctor` first named the thing, after the accident, in milliseconds.
    pub told_ms: Option<u128>,
    /// When it found nothing any more, and all commands were run.
    pub whole_ms: Option<u128>,
    /// The commands that were run.
    pub commands: Vec<String>,
    /// Messages that lay in the stream and that nothing can bring back.
    pub taken: usize,
    /// Processes that ended, and were started again.
    pub restarted: Vec<String>,
    /// What the checker says.
    pub violations: Vec<Violation>,
    #[serde(skip)]
    pub(super) place: Place,
    /// The seeds of its loads.
    #[serde(skip)]
    pub(super) seeds: [u64; 2],
}

impl Outcome {
    /// Whether it became as it should.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.violations.is_empty() && !matches!(self.became, Became::Failed(_))
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = |ms: Option<u128>| match ms {
            Some(ms) => format!("{}.{} s", ms / 1000, ms % 1000 / 100),
            None => "-".to_owned(),
        };
        let (told, whole) = (seconds(self.told_ms), seconds(self.whole_ms));
        write!(f, "{:<58} told {told:>7}  whole {whole:>7}  ", self.accident)?;
        match &self.became {
            Became::Healed => f.write_str("by itself")?,
            Became::Told => f.write_str("what was open is lost, and told")?,
            Became::Mended => write!(f, "by {}", self.commands.join("; "))?,
            Became::Failed(why) => write!(f, "FAILED: {why}")?,
        }
        if self.taken > 0 {
            write!(f, "; {} taken", self.taken)?;
        }
        if !self.restarted.is_empty() {
            write!(f, "; restarted {}", self.restarted.join(", "))?;
        }
        if !self.violations.is_empty() {
            write!(f, "; {} VIOLATIONS", self.violations.len())?;
        }
        Ok(())
    }
}

/// What became of all of them.
#[derive(Debug, Serialize)]
pub struct Report {
    /// Each accident, in the order of the list.
    pub outcomes: Vec<Outcome>,
    /// Intents that were judged.
    pub intents: usize,
    /// Violations that belong to no accident.
    pub at_large: Vec<Violation>,
    /// The first violating history.
    #[serde(skip)]
    pub told: Option<String>,
}

impl Report {
    /// A row for each stream and for its consumers, a column for each kind of accident.
    #[must_use]
    pub fn table(&self) -> String {
        table(&self.outcomes)
    }

    /// Whether all became as they should.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.at_large.is_empty() && self.outcomes.iter().all(Outcome::holds)
    }
}

impl Report {
    pub(super) fn empty() -> Self {
        Self {
            outcomes: Vec::new(),
            intents: 0,
            at_large: Vec::new(),
            told: None,
        }
    }

    /// Takes in what became of the accidents on one mesh.
    pub(super) fn add(&mut self, mut outcomes: Vec<Outcome>, mut judged: Judged, tell: fn(&str)) {
        for outcome in &mut outcomes {
            for seed in outcome.seeds {
                outcome
                    .violations
                    .extend(judged.violations.remove(&seed).unwrap_or_default());
            }
            if !outcome.violations.is_empty() {
                tell(&outcome.to_string());
            }
        }
        self.outcomes.extend(outcomes);
        self.intents += judged.intents;
        self.at_large.extend(judged.violations.into_values().flatten());
        self.told = self.told.take().or(judged.told);
    }
}
