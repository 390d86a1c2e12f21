//! Signed records, as section 18 of `docs/protocol.md` describes them: which records are void, and what the checkpoints say.
//!
//! It is a second reading of that section, with another library than the runtime's. It judges by the keys in `trust.json`
//! beside the evidence; without that file nothing is verified.
//!
//! - A record that a stranger wrote is void and counted: anybody may write one, and it must have had no effect. What follows
//!   from that is left to the other checks, which do not see void records.
//! - **S1**: what a trusted key has signed for this subject and this body counts. A trusted signer whose record is void was
//!   led by a wrong head, or has written what its key is not for.
//! - **S2**: the checkpoints are a chain of their own, and every message that one has counted is in the ledger, in a bundle,
//!   or among those that a later checkpoint says were removed.

mod chain;
mod checkpoints;
mod grant;
mod key;
mod line;

use std::collections::{BTreeMap, BTreeSet, HashSet};

use crate::evidence::{Evidence, Message};
use crate::record::Record;
use crate::verdict::Violation;

pub use grant::{Grant, Trust};

use chain::Chain;

pub(crate) use line::hash as hash_of;
#[cfg(test)]
pub(crate) use line::link as link_of;

/// Whether the holder of a public key has signed a message, whoever is trusted.
#[cfg(test)]
pub(crate) fn is_of(message: &Message, public: &str) -> bool {
    let line = line::text(message).and_then(line::Line::read);
    line.zip(key::bytes_of(public))
        .is_some_and(|(line, key)| line.signer == public && line.verifies(&key, &message.subject, message))
}

/// What came of the signatures.
#[derive(Debug, Default)]
pub(crate) struct Judged {
    /// The void records: each by its intent and its sequence.
    pub(crate) void: HashSet<(String, u64)>,
    /// Records with a signature that counts.
    pub(crate) signed: usize,
    /// Checkpoints that verify.
    pub(crate) checkpoints: usize,
}

/// Judges the records of every intent, and the checkpoints. `listed` are those that a bundle says are void.
pub(crate) fn judge(
    evidence: &Evidence,
    trust: &Trust,
    listed: &BTreeSet<(String, u64)>,
    found: &mut Vec<Violation>,
) -> Judged {
    let mut judged = Judged::default();
    let mut subjects: BTreeMap<&str, Vec<&Message>> = BTreeMap::new();
    for message in &evidence.messages {
        if let Some(intent) = crate::history::ledger_intent(message) {
            subjects.entry(intent).or_default().push(message);
        }
    }
    for (intent, mut messages) in subjects {
        messages.sort_by_key(|message| message.seq);
        let mut chain = Chain::new(trust);
        for message in messages {
            chain.take(message, Record::read(message, 0).as_ref().ok());
        }
        judged.signed += chain.signed();
        for (seq, void) in chain.void() {
            if void.is_trusted {
                let what = format!(
                    "record {seq} is void, and a trusted key has signed it: {}",
                    void.problem
                );
                found.push(Violation::of("S1", intent, what));
            }
            judged.void.insert((intent.to_owned(), seq));
        }
    }
    for (intent, seq) in listed {
        if !judged.void.contains(&(intent.clone(), *seq)) {
            let what = format!("its bundle has record {seq} for void, and it counts");
            found.push(Violation::of("S1", intent, what));
        }
    }
    judged.checkpoints = checkpoints::check(evidence, trust, found);
    judged
}
