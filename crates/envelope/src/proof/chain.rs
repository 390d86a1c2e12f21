//! The chain of one intent: which of its records are void, each judged by those before it.

use std::collections::{BTreeMap, HashMap};

use super::link::Link;
use super::rules::{Entry, Rules, Verified};
use crate::base::error::DecodeError;
use crate::base::header::HEADER_SIGNATURE;
use crate::base::names::AgentName;
use crate::intent::record::Record;

/// The records of one ledger subject, judged in their order.
#[derive(Debug)]
pub struct Chain<'r> {
    rules: &'r Rules,
    last_seq: Option<u64>,
    /// Those that count so far.
    valid: Vec<Counted>,
    void: BTreeMap<u64, Void>,
    /// The links of the void records, to see what builds on them.
    void_links: HashMap<Link, u64>,
    /// Whether the first record names one before it that is not there.
    is_cut: bool,
}

#[derive(Debug)]
struct Counted {
    seq: u64,
    link: Link,
    turn: Option<AgentName>,
}

/// Why a record is void.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Void {
    /// In words.
    pub problem: String,
    /// The void record that it builds on, if that is all that is wrong with it.
    pub follows: Option<u64>,
}

/// What a chain came to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Judged {
    /// The link of the last record that counts: what the next one names.
    pub link: Option<Link>,
    /// The void records, and why each is.
    pub void: BTreeMap<u64, Void>,
    /// Whether records are missing before the first: the archive has them, or nobody.
    pub is_cut: bool,
}

impl<'r> Chain<'r> {
    /// The beginning of a chain.
    pub fn new(rules: &'r Rules) -> Self {
        Self {
            rules,
            last_seq: None,
            valid: Vec::new(),
            void: BTreeMap::new(),
            void_links: HashMap::new(),
            is_cut: false,
        }
    }

    /// Judges the next message. One that cannot be read is not judged, and nothing may follow from it.
    pub fn take(&mut self, entry: &Entry<'_>, read: Result<&Record, &DecodeError>) {
        let last_seq = self.last_seq.replace(entry.seq);
        let Ok(record) = read else { return };
        let turn = match self.valid.last() {
            Some(last) => Some(last.turn.as_ref()),
            // The turn before a chain that is cut off is not known.
            None => last_seq.map(|_| None),
        };
        let judged = match self.rules.verify(entry, record, turn) {
            Ok(verified) => self.follow(&verified, last_seq).map(|()| verified),
            Err(problem) => Err(Void { problem, follows: None }),
        };
        match judged {
            Ok(verified) => self.valid.push(Counted {
                seq: entry.seq,
                link: verified.link,
                turn: record.snapshot.agent.clone(),
            }),
            Err(void) => {
                self.void_links.insert(entry.link(), entry.seq);
                self.void.insert(entry.seq, void);
            }
        }
    }

    /// Whether a signed record follows what is there.
    fn follow(&mut self, verified: &Verified, last_seq: Option<u64>) -> Result<(), Void> {
        let Some(signature) = &verified.signature else {
            return Ok(());
        };
        let expected = signature.expected;
        match last_seq {
            None if expected == 0 => {}
            // What it follows was purged, or cut off.
            None => {
                self.is_cut = true;
                return Ok(());
            }
            Some(last) if last != expected => {
                return Err(Void {
                    problem: format!("it was written after sequence {expected}, and {last} is before it"),
                    follows: None,
                });
            }
            Some(_) => {}
        }
        let last = self.valid.last().map(|one| one.link);
        if signature.previous == last {
            return Ok(());
        }
        if verified.is_controller
            && let Some(previous) = signature.previous
            && let Some(at) = self.valid.iter().rposition(|one| one.link == previous)
        {
            // A controller held those between for void: its judgement stays, whatever keys are trusted later.
            for set_aside in self.valid.drain(at + 1..) {
                let problem = "a controller's record after it was written as if it were not there".to_owned();
                self.void_links.insert(set_aside.link, set_aside.seq);
                self.void.insert(set_aside.seq, Void { problem, follows: None });
            }
            return Ok(());
        }
        let names = |link: Option<Link>| link.map_or_else(|| "none".to_owned(), |link| link.to_string());
        Err(Void {
            problem: format!(
                "it names {} as the record before it, and that is {}",
                names(signature.previous),
                names(last)
            ),
            follows: signature.previous.and_then(|link| self.void_links.get(&link).copied()),
        })
    }

    /// What it came to.
    pub fn judged(self) -> Judged {
        Judged {
            link: self.valid.last().map(|one| one.link),
            void: self.void,
            is_cut: self.is_cut,
        }
    }
}

/// That a record is void: it is read like one that cannot be read.
pub fn void(problem: impl Into<String>) -> DecodeError {
    DecodeError {
        what: "ledger record",
        field: HEADER_SIGNATURE.to_owned(),
        value: None,
        problem: problem.into(),
    }
}
