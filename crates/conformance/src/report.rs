//! What the judge found.

use serde::Serialize;

use crate::error::ConformanceError;
use crate::fault::Fault;

/// What was found about one rule.
#[derive(Debug, Clone, Serialize)]
pub struct Verdict {
    /// The name of the rule, such as `ack-last`.
    pub rule: &'static str,
    /// The section of `docs/protocol.md` that states it.
    pub section: &'static str,
    /// The rule in words.
    pub says: &'static str,
    /// Whether the program kept it.
    pub passed: bool,
    /// Why it was not judged, if so; it counts as neither kept nor broken.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub skipped: Option<String>,
    /// What was expected; empty when it passed.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub expected: String,
    /// What was seen instead; empty when it passed.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub seen: String,
}

impl Verdict {
    /// The verdict on a rule: its name, its section and its words, and how the trial ended.
    pub(crate) fn of(
        (rule, section, says): (&'static str, &'static str, &'static str),
        tried: Result<(), Fault>,
    ) -> Result<Self, ConformanceError> {
        let mut verdict = Self {
            rule,
            section,
            says,
            passed: true,
            skipped: None,
            expected: String::new(),
            seen: String::new(),
        };
        match tried {
            Ok(()) => {}
            Err(Fault::Broken { expected, seen }) => {
                verdict.passed = false;
                (verdict.expected, verdict.seen) = (expected, seen);
            }
            Err(Fault::Skipped(why)) => {
                verdict.passed = false;
                verdict.skipped = Some(why);
            }
            Err(Fault::Failed(error)) => return Err(error),
        }
        Ok(verdict)
    }

    /// Whether the program broke it.
    pub const fn is_broken(&self) -> bool {
        !self.passed && self.skipped.is_none()
    }
}

/// Whether no rule was broken.
pub(crate) fn kept_all(verdicts: &[Verdict]) -> bool {
    !verdicts.iter().any(Verdict::is_broken)
}

/// The names of the rules that were broken.
fn broken(verdicts: &[Verdict]) -> Vec<&'static str> {
    let broken = verdicts.iter().filter(|verdict| verdict.is_broken());
    broken.map(|verdict| verdict.rule).collect()
}

/// What was found about all rules for agents.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// The agent that was judged.
    pub agent: String,
    /// Its version, as it announced itself.
    pub version: String,
    /// Whether it kept every rule.
    pub passed: bool,
    /// One verdict for each rule, in the order in which they were tried.
    pub verdicts: Vec<Verdict>,
}

impl Report {
    /// The names of the rules that were broken.
    pub fn broken(&self) -> Vec<&'static str> {
        broken(&self.verdicts)
    }
}

/// What was found about all rules for submitters.
#[derive(Debug, Clone, Serialize)]
pub struct SubmitterReport {
    /// The ways in which it submits, of `raw`, `envelope` and `record`.
    pub ways: Vec<&'static str>,
    /// Whether it broke no rule.
    pub passed: bool,
    /// One verdict for each rule, in the order in which they were tried.
    pub verdicts: Vec<Verdict>,
}

impl SubmitterReport {
    /// The names of the rules that were broken.
    pub fn broken(&self) -> Vec<&'static str> {
        broken(&self.verdicts)
    }
}
