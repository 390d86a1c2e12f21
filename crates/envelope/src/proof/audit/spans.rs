//! What the checkpoints have counted, against what is there.

use super::{AuditPart, Audited, Problem};
use crate::proof::checkpoint::{Checkpoint, RunningRoot, Span};
use crate::proof::link::Link;

impl AuditPart<'_> {
    /// Compares what is there with what the checkpoints say of it.
    pub(super) fn compare(&mut self, checkpoints: &[(u64, Checkpoint)]) {
        let (audit, mut before) = (self.audit, None::<&Checkpoint>);
        self.take_removed(checkpoints);
        for (at, checkpoint) in checkpoints {
            let is_old = !audit.archive_max_age.is_zero() && checkpoint.at.plus(audit.archive_max_age) < audit.now;
            for (stream, span) in [
                (Audited::Ledger, &checkpoint.ledger),
                (Audited::Archive, &checkpoint.archive),
            ] {
                let created = if stream == Audited::Ledger {
                    &audit.ledger
                } else {
                    &audit.archive
                };
                let follows = before.map(|before| {
                    if stream == Audited::Ledger {
                        &before.ledger
                    } else {
                        &before.archive
                    }
                });
                if let Some(last) = follows.filter(|last| last.created == span.created && last.through != span.after) {
                    let problem = format!(
                        "it begins after {}, and the one before it ends with {}",
                        span.after, last.through
                    );
                    self.find(Audited::Checkpoints, *at, None, None, problem);
                }
                // Another stream stood there then.
                if span.created == *created {
                    self.compare_span(stream, span, *at, is_old);
                }
            }
            if checkpoint.ledger.created == audit.ledger {
                self.report.covered_through = self.report.covered_through.max(checkpoint.ledger.through);
            }
            before = Some(checkpoint);
        }
    }

    /// Takes in what controllers have removed: its link is known, though nobody has it any more.
    fn take_removed(&mut self, checkpoints: &[(u64, Checkpoint)]) {
        for (_, checkpoint) in checkpoints {
            if checkpoint.ledger.created != self.audit.ledger {
                continue;
            }
            for one in &checkpoint.removed {
                // One that is still there is judged as it is.
                if !self.leaves.contains_key(&one.seq) && !self.others.contains_key(&one.seq) {
                    self.others.insert(one.seq, (one.subject.clone(), one.link));
                    self.report.removed += 1;
                }
            }
        }
    }

    /// What is there of a stretch of the ledger, in order: sequence, subject and link.
    fn of_ledger(&self, range: std::ops::RangeInclusive<u64>) -> Vec<(u64, String, Link)> {
        let intents = self.leaves.range(range.clone()).map(|(seq, leaf)| {
            let subject = self.intent(*leaf).map(|intent| self.audit.subjects.ledger(intent));
            (*seq, subject.unwrap_or_default(), leaf.link)
        });
        let others = self.others.range(range);
        let others = others.map(|(seq, (subject, link))| (*seq, subject.clone(), *link));
        let mut all: Vec<_> = intents.chain(others).collect();
        all.sort_by_key(|(seq, ..)| *seq);
        all
    }

    fn compare_span(&mut self, stream: Audited, span: &Span, at: u64, is_old: bool) {
        if span.after >= span.through {
            return;
        }
        let range = span.after + 1..=span.through;
        let mut tally = RunningRoot::new();
        let mut there = Vec::new();
        match stream {
            Audited::Archive => {
                for (seq, (subject, link)) in self.archived.range(range) {
                    tally.add(*seq, subject, *link);
                    there.push(*seq);
                }
            }
            Audited::Ledger | Audited::Checkpoints => {
                for (seq, subject, link) in self.of_ledger(range) {
                    tally.add(seq, &subject, link);
                    there.push(seq);
                }
            }
        }
        // The archive has dropped bundles for their age, and what they held with them.
        if (tally.count == span.count && tally.root == span.root) || (is_old && tally.count < span.count) {
            return;
        }
        let mut problems = Vec::new();
        if tally.count < span.count {
            let mut next = span.after + 1;
            for seq in there.into_iter().chain([span.through + 1]) {
                if seq > next {
                    problems.push((next, seq - 1, format!("missing, and checkpoint {at} has counted it")));
                }
                next = seq + 1;
            }
        } else {
            let problem = format!(
                "these {} messages are not the {} of checkpoint {at}",
                tally.count, span.count
            );
            problems.push((span.after + 1, span.through, problem));
        }
        for (seq, through, problem) in problems {
            self.report.problems.push(Problem {
                stream,
                seq,
                through: (through > seq).then_some(through),
                record: None,
                intent: None,
                problem,
            });
        }
    }
}
