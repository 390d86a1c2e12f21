//! Judges a run by the ledger and by what the agents left behind.

use std::collections::BTreeMap;

use baton_envelope::{Event, IntentId, Status, next};
use baton_jetstream::Head;
use serde::Serialize;

/// The result of a run, counted.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Verdict {
    /// Intents that were submitted.
    pub submitted: usize,
    /// Intents that ended as `completed`.
    pub completed: usize,
    /// Intents that did not.
    pub lost: usize,
    /// Commits beyond one per hop.
    pub duplicate_commits: usize,
    /// Recorded steps whose effect ran again.
    pub repeated_steps: usize,
    /// Records that may not follow the one before, or follow a terminal one.
    pub illegal_records: usize,
    /// Workers that were killed.
    pub kills: usize,
    /// Hops taken over from another holder.
    pub redeliveries: usize,
    /// The duration from the first submit to the last end, in seconds.
    pub seconds: f64,
}

impl Verdict {
    /// Whether every intent completed, each hop was committed once, and no recorded step ran twice.
    pub fn is_good(&self) -> bool {
        self.lost == 0
            && self.completed == self.submitted
            && self.duplicate_commits == 0
            && self.repeated_steps == 0
            && self.illegal_records == 0
    }
}

/// Judges the histories of all intents, and the lines `intent hop step instance` that the effects appended, in order.
pub fn judge(histories: &[(IntentId, Vec<Head>)], effects: &str) -> Verdict {
    let mut verdict = Verdict {
        submitted: histories.len(),
        ..Verdict::default()
    };
    let mut recorded: BTreeMap<String, String> = BTreeMap::new();
    for (intent, history) in histories {
        let mut commits: BTreeMap<u32, usize> = BTreeMap::new();
        let mut status: Option<Status> = None;
        for head in history {
            let record = &head.record;
            let hop_before = record.snapshot.hop - u32::from(record.event == Event::HandedOff);
            if matches!(record.event, Event::HandedOff | Event::Completed) {
                *commits.entry(hop_before).or_default() += 1;
            }
            if record.event == Event::Claimed {
                verdict.redeliveries += 1;
            }
            if let Some(step) = &record.step {
                let key = format!("{intent} {} {}", record.snapshot.hop, step.name);
                if recorded.insert(key, record.by.instance.clone()).is_some() {
                    verdict.repeated_steps += 1;
                }
            }
            match next(status.as_ref(), &record.event) {
                Ok(after) if after == record.snapshot.status => {}
                Ok(_) | Err(_) => verdict.illegal_records += 1,
            }
            status = Some(record.snapshot.status.clone());
        }
        verdict.duplicate_commits += commits.values().map(|count| count.saturating_sub(1)).sum::<usize>();
        match status {
            Some(Status::Completed) => verdict.completed += 1,
            Some(_) | None => verdict.lost += 1,
        }
    }
    verdict.repeated_steps += repeats(&recorded, effects);
    verdict
}

/// Counts effects that ran after their step was recorded. An effect whose process was killed before the record may run
/// again: the idempotency key is for that.
fn repeats(recorded: &BTreeMap<String, String>, effects: &str) -> usize {
    let mut done: BTreeMap<&str, bool> = BTreeMap::new();
    let mut repeats = 0;
    for line in effects.lines() {
        let Some((key, instance)) = line.rsplit_once(' ') else {
            continue;
        };
        let recorded_before = done.entry(key).or_default();
        if *recorded_before {
            repeats += 1;
        }
        *recorded_before |= recorded.get(key).is_some_and(|by| by == instance);
    }
    repeats
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::approval::ApprovalVerdict;
    use crate::context::ContextVerdict;
    use crate::fanout::FanoutVerdict;
    use crate::saga::SagaVerdict;

    #[test]
    fn only_an_effect_after_its_record_is_a_repeat() {
        let recorded = BTreeMap::from([("i 2 plan".to_owned(), "code-2".to_owned())]);
        assert_eq!(repeats(&recorded, "i 2 plan code-1\ni 2 plan code-2\n"), 0);
        assert_eq!(repeats(&recorded, "i 2 plan code-2\ni 2 plan code-1\n"), 1);
        assert_eq!(repeats(&recorded, "i 2 plan code-2\ni 2 plan code-2\n"), 1);
    }

    #[test]
    fn an_intent_without_records_is_lost() {
        let verdict = judge(&[("a".parse().expect("id"), Vec::new())], "");
        assert_eq!((verdict.lost, verdict.is_good()), (1, false));
    }

    /// Two intents that went well.
    fn well(completed: usize) -> Verdict {
        Verdict {
            submitted: 2,
            completed,
            redeliveries: 1,
            ..Verdict::default()
        }
    }

    /// A verdict is good, and none with one thing changed.
    #[track_caller]
    fn all_count<V: Clone + std::fmt::Debug>(good: &V, is_good: fn(&V) -> bool, changes: &[fn(&mut V)]) {
        assert!(is_good(good), "{good:?}");
        for change in changes {
            let mut bad = good.clone();
            change(&mut bad);
            assert!(!is_good(&bad), "{bad:?}");
        }
    }

    #[test]
    fn a_scenario_ended_well_only_if_each_of_its_figures_says_so() {
        let approval = ApprovalVerdict {
            common: well(2),
            waited: 2,
            decided: 2,
        };
        all_count(
            &approval,
            ApprovalVerdict::is_good,
            &[
                |verdict| verdict.common.lost = 1,
                |verdict| verdict.common.completed = 1,
                |verdict| verdict.common.duplicate_commits = 1,
                |verdict| verdict.common.repeated_steps = 1,
                |verdict| verdict.common.illegal_records = 1,
                |verdict| verdict.waited = 1,
                |verdict| verdict.decided = 1,
            ],
        );
        let fanout = FanoutVerdict {
            common: well(2),
            asked: 10,
            found: 6,
            cancelled: 4,
            joined: 2,
            faults_of_searches: 0,
        };
        all_count(
            &fanout,
            FanoutVerdict::is_good,
            &[
                |verdict| verdict.common.lost = 1,
                |verdict| verdict.common.redeliveries = 0,
                |verdict| verdict.asked = 11,
                |verdict| verdict.found = 7,
                |verdict| verdict.cancelled = 3,
                |verdict| verdict.joined = 1,
                |verdict| verdict.faults_of_searches = 1,
            ],
        );
        let saga = SagaVerdict {
            common: well(0),
            failed: 2,
            booked: 4,
            undone: 4,
            undone_twice: 0,
            in_reverse: 2,
        };
        all_count(
            &saga,
            SagaVerdict::is_good,
            &[
                |verdict| verdict.common.lost = 1,
                |verdict| verdict.common.duplicate_commits = 1,
                |verdict| verdict.common.repeated_steps = 1,
                |verdict| verdict.common.illegal_records = 1,
                |verdict| verdict.failed = 1,
                |verdict| verdict.booked = 3,
                |verdict| verdict.undone = 3,
                |verdict| verdict.undone_twice = 1,
                |verdict| verdict.in_reverse = 1,
            ],
        );
    }

    #[test]
    fn the_context_scenario_ended_well_only_if_each_of_its_figures_says_so() {
        let context = ContextVerdict {
            common: well(2),
            views: 22,
            with_decision: 22,
            most_used: 4_000,
            budget: 4_000,
            gaps: 0,
            verified: 2,
            recalled: 2,
        };
        all_count(
            &context,
            ContextVerdict::is_good,
            &[
                |verdict| verdict.common.lost = 1,
                |verdict| verdict.views = 21,
                |verdict| verdict.with_decision = 21,
                |verdict| verdict.most_used = 4_001,
                |verdict| verdict.gaps = 1,
                |verdict| verdict.verified = 1,
                |verdict| verdict.recalled = 1,
            ],
        );
    }
}
