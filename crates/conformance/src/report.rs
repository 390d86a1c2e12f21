//! What the judge found.

use serde::Serialize;

/// What was found about one rule.
#[derive(Debug, Clone, Serialize)]
pub struct Verdict {
    /// The name of the rule, such as `ack-last`.
    pub rule: &'static str,
    /// The section of `docs/protocol.md` that states it.
    pub section: &'static str,
    /// The rule in words.
    pub says: &'static str,
    /// Whether the agent kept it.
    pub passed: bool,
    /// What was expected; empty when it passed.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub expected: String,
    /// What was seen instead; empty when it passed.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub seen: String,
}

/// What was found about all rules.
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
        let broken = self.verdicts.iter().filter(|verdict| !verdict.passed);
        broken.map(|verdict| verdict.rule).collect()
    }
}
