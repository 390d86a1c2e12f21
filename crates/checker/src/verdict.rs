//! The verdict on a run.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashSet};

use serde::Serialize;

use crate::archive::{self, Unpacked};
use crate::checks;
use crate::evidence::Evidence;
use crate::history::Context;
use crate::signed;

/// An invariant that did not hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Violation {
    /// The invariant: `I1` to `I14`, `P1` to `P3`, `P5` to `P12`, `B1` to `B5`, `C1`, `C11`, `L1`, `S1`, `S2`.
    pub invariant: &'static str,
    /// The intent, if one can be named.
    pub intent: Option<String>,
    /// What was seen.
    pub what: String,
}

impl Violation {
    pub(crate) fn of(invariant: &'static str, intent: &str, what: impl Into<String>) -> Self {
        Self {
            invariant,
            intent: Some(intent.to_owned()),
            what: what.into(),
        }
    }

    pub(crate) fn at_large(invariant: &'static str, what: impl Into<String>) -> Self {
        Self {
            invariant,
            intent: None,
            what: what.into(),
        }
    }
}

/// What was seen, for the summary.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Intents with a record.
    pub intents: usize,
    /// Pieces of work that were acknowledged.
    pub acknowledged: usize,
    /// Intents with a bundle in the archive.
    pub archived: usize,
    /// Records of the ledger and of bundles.
    pub records: usize,
    /// Records that ended a hop: handoffs and ends written by workers.
    pub commits: usize,
    /// Records by event.
    pub events: BTreeMap<String, usize>,
    /// Intents by their last status.
    pub ends: BTreeMap<String, usize>,
    /// Runs of handlers.
    pub runs: usize,
    /// Runs of one envelope beyond the first: work that was delivered again and run again.
    pub reruns: usize,
    /// Claims that burnt an attempt: a holder vanished silently.
    pub takeovers: usize,
    /// Runs of holders with an older epoch than the one that committed: their results were refused.
    pub fenced: usize,
    /// Effects of steps.
    pub effects: usize,
    /// Effects of steps that were not recorded: something happened between an effect and its record.
    pub unrecorded_effects: usize,
    /// Lines of effects that a killed process could not finish.
    pub torn: usize,
    /// How often a version was reported drained.
    pub drained: usize,
    /// Groups whose order was checked.
    pub bursts: usize,
    /// Orderly stops of workers that were checked.
    pub stops: usize,
    /// Retries whose delay was checked.
    pub delays: usize,
    /// Signals that were acknowledged.
    pub signals: usize,
    /// Signals that nobody read until the end of their intent.
    pub buried: usize,
    /// Times that ended a wait or began postponed work.
    pub timers: usize,
    /// How late the latest of them was, in milliseconds.
    pub latest_timer_ms: i64,
    /// Kills that were carried out.
    pub kills: usize,
    /// How often an intent was paused.
    pub pauses: usize,
    /// Times in which a limit held.
    pub limits: usize,
    /// The most hops that ran at a time while a limit held, in parts of a hundred of the limit.
    pub fullest_percent: u64,
    /// Records that count and are signed, where signatures were verified.
    pub signed: usize,
    /// Records that are void.
    pub void: usize,
    /// Checkpoints that verify.
    pub checkpoints: usize,
    /// Turns that were given.
    pub turns: usize,
    /// Children of calls.
    pub children: usize,
    /// Messages of channels.
    pub broadcasts: usize,
    /// Undos that completed.
    pub undone: usize,
    /// Children whose parent is a child itself.
    pub grandchildren: usize,
    /// Children of detached calls.
    pub detached: usize,
    /// Calls that let their parent go on: by the join, or by their time.
    pub joins: BTreeMap<String, usize>,
    /// Copies of messages of channels.
    pub copies: usize,
    /// Messages of channels that named their receivers.
    pub named: usize,
    /// Intents that ended when what they did was undone.
    pub compensated: usize,
    /// Effects of theirs that the traces say were taken back.
    pub taken_back: usize,
    /// Intents that were done in the order of a key.
    pub keyed: usize,
    /// Completed intents whose way the load had said.
    pub ways: usize,
    /// Intents with a budget.
    pub budgets: usize,
    /// What holders reserved.
    pub holds: usize,
    /// How often what was held counted as spent.
    pub assumed: usize,
    /// Envelopes and last records that tell of memories.
    pub contexts: usize,
    /// Records that say how much of its view a hop could read, and whose numbers were computed again.
    pub views: usize,
    /// Gaps that envelopes tell of.
    pub gaps: usize,
}

impl Counts {
    /// The patterns of which there is none.
    #[must_use]
    pub fn never(&self) -> Vec<&'static str> {
        let join = |rule: &str| self.joins.get(rule).copied().unwrap_or_default();
        let patterns = [
            ("signals", self.signals),
            ("children", self.children),
            ("children of children", self.grandchildren),
            ("detached children", self.detached),
            ("join all", join("all")),
            ("join any", join("any")),
            ("join some", join("some")),
            ("join collect", join("collect")),
            ("join at its time", join("until")),
            ("broadcasts", self.broadcasts),
            ("broadcasts to named receivers", self.named),
            ("undo", self.compensated),
            ("ways", self.ways),
            ("order keys", self.keyed),
            ("budgets", self.budgets),
            ("memories", self.contexts),
        ];
        let none = patterns.into_iter().filter(|(_, count)| *count == 0);
        none.map(|(pattern, _)| pattern).collect()
    }
}

/// The judgement of a run.
#[derive(Debug, Clone, Serialize)]
pub struct Verdict {
    /// The violations, in the order of the invariants.
    pub violations: Vec<Violation>,
    /// What was seen.
    pub counts: Counts,
    /// The first violating history in full.
    pub told: Option<String>,
}

impl Verdict {
    /// Whether every invariant held.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.violations.is_empty()
    }

    /// The invariants that did not hold.
    #[must_use]
    pub fn broken(&self) -> BTreeSet<&'static str> {
        self.violations.iter().map(|violation| violation.invariant).collect()
    }
}

pub(crate) fn progress(evidence: &Evidence) -> Vec<i64> {
    let mut evidence = evidence.clone();
    archive::unpack(&mut evidence.messages, false);
    let context = Context::new(&evidence, &HashSet::new(), &mut Vec::new());
    let records = context.histories.values().flat_map(|history| &history.records);
    let mut times: Vec<i64> = records
        .filter(|record| checks::is_commit(&record.event.name, &record.by.role))
        .map(|record| record.time_ms)
        .collect();
    times.sort_unstable();
    times
}

pub(crate) fn judge(evidence: &Evidence) -> Verdict {
    let mut violations = Vec::new();
    let mut evidence = Cow::Borrowed(evidence);
    let mut unpacked = Unpacked::default();
    if evidence
        .messages
        .iter()
        .any(|message| message.stream.ends_with("_ARCHIVE"))
    {
        let is_signed = evidence.trust.is_some();
        unpacked = archive::unpack(&mut evidence.to_mut().messages, is_signed);
        let wrong = unpacked.wrong.drain(..);
        violations.extend(wrong.map(|what| Violation::at_large("I1", what)));
    }
    let evidence = evidence.as_ref();
    let proofs = evidence
        .trust
        .as_ref()
        .map(|trust| signed::judge(evidence, trust, &unpacked.void, &mut violations))
        .unwrap_or_default();
    let context = Context::new(evidence, &proofs.void, &mut violations);
    let mut counts = checks::count(&context);
    counts.archived = unpacked.bundles;
    (counts.signed, counts.void, counts.checkpoints) = (proofs.signed, proofs.void.len(), proofs.checkpoints);
    checks::all(&context, &mut counts, &mut violations);
    let first = violations.iter().find_map(|violation| violation.intent.clone());
    let told = first.map(|intent| context.tell(&intent));
    Verdict {
        violations,
        counts,
        told,
    }
}
