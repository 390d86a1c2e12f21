//! The records of one intent, each judged by those before it.

use std::collections::BTreeMap;

use super::grant::Trust;
use super::line::{self, Line};
use crate::evidence::Message;
use crate::record::Record;

/// Why a record is void.
#[derive(Debug)]
pub(crate) struct Void {
    pub(crate) problem: String,
    /// Whether a trusted key has signed this body for this subject, and the server has held it to the guard.
    pub(crate) is_trusted: bool,
}

/// A record that counts so far.
#[derive(Debug)]
struct Counted {
    seq: u64,
    link: String,
    turn: Option<String>,
    is_signed: bool,
}

/// One chain.
#[derive(Debug)]
pub(crate) struct Chain<'t> {
    trust: &'t Trust,
    last: Option<u64>,
    valid: Vec<Counted>,
    void: BTreeMap<u64, Void>,
}

impl<'t> Chain<'t> {
    pub(crate) fn new(trust: &'t Trust) -> Self {
        Self {
            trust,
            last: None,
            valid: Vec::new(),
            void: BTreeMap::new(),
        }
    }

    /// Judges the next message of the subject. `record` is `None` where it cannot be read.
    pub(crate) fn take(&mut self, message: &Message, record: Option<&Record>) {
        let last = self.last.replace(message.seq);
        let judged = self.judge(message, record, last);
        match (judged, record) {
            (Ok(()), Some(record)) => self.valid.push(Counted {
                seq: message.seq,
                link: line::link(message),
                turn: record.snapshot.agent.clone(),
                is_signed: line::text(message).is_some(),
            }),
            // A garbled record of a trusted signer is for the other checks to name.
            (Ok(()), None) => {}
            (Err(void), _) => {
                self.void.insert(message.seq, void);
            }
        }
    }

    fn judge(&mut self, message: &Message, record: Option<&Record>, last: Option<u64>) -> Result<(), Void> {
        let stranger = |problem: &str| Void {
            problem: problem.to_owned(),
            is_trusted: false,
        };
        let Some(text) = line::text(message) else {
            let must = self.trust.signatures == "require" && message.seq > self.trust.since;
            return if must {
                Err(stranger("it is not signed"))
            } else {
                Ok(())
            };
        };
        let line = Line::read(text).ok_or_else(|| stranger("its signature has another form"))?;
        let key = self.trust.key(&line.signer);
        let key = key.ok_or_else(|| stranger("its signer is not trusted"))?;
        if !line.verifies(&key, &message.subject, message) {
            return Err(stranger("its signature is of something else"));
        }
        if !line.was_guarded(message) {
            return Err(stranger("the server has not held it to the guard that was signed"));
        }
        let Some(record) = record else { return Ok(()) };
        let trusted = |problem: String| Void {
            problem,
            is_trusted: true,
        };
        let turn = self.valid.last().and_then(|last| last.turn.as_deref());
        if !self.trust.covers(&line.signer, message.time_ms, record, turn) {
            let event = &record.event.name;
            return Err(trusted(format!("{} may not sign this \"{event}\"", line.signer)));
        }
        if line.expected != last.unwrap_or(0) {
            return Err(trusted(format!(
                "it was written after {}, and the message before it is {last:?}",
                line.expected
            )));
        }
        let before = self.valid.last().map(|one| &one.link);
        if line.previous.as_ref() == before {
            return Ok(());
        }
        let named = self
            .valid
            .iter()
            .rposition(|one| Some(&one.link) == line.previous.as_ref());
        match named {
            Some(at) if self.trust.is_controller(&line.signer, message.time_ms) => {
                for aside in self.valid.drain(at + 1..) {
                    let problem = format!(
                        "record {} of a controller was written as if it were not there",
                        message.seq
                    );
                    self.void.insert(
                        aside.seq,
                        Void {
                            problem,
                            // The controller held it for void, whatever keys are trusted now.
                            is_trusted: false,
                        },
                    );
                }
                Ok(())
            }
            _ => Err(trusted("it names another record as the one before it".to_owned())),
        }
    }

    /// How many records count that are signed.
    pub(crate) fn signed(&self) -> usize {
        self.valid.iter().filter(|one| one.is_signed).count()
    }

    /// The void records, by sequence.
    pub(crate) fn void(self) -> impl Iterator<Item = (u64, Void)> {
        self.void.into_iter()
    }
}
