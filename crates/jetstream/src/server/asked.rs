//! What the hops of a secured mesh ask of the ledger, and what this process knows of it without asking.

use std::sync::{Mutex, MutexGuard, PoisonError};

use baton_envelope::Link;
use tokio::sync::oneshot;

use super::stream::Stored;

/// How many records of its own a process remembers; 2 MiB, taken as they fill.
const ROOM: usize = 1 << 16;

/// Questions after the last records of intents that wait to be asked together.
#[derive(Debug, Default)]
pub(crate) struct Asked(Mutex<Waiting>);

#[derive(Debug, Default)]
struct Waiting {
    questions: Vec<Question>,
    /// Whether somebody asks already, and will take what waits next.
    is_asking: bool,
}

/// A question after the last record on a ledger subject.
#[derive(Debug)]
pub(crate) struct Question {
    pub(crate) subject: String,
    /// Where the record should be.
    pub(crate) seq: u64,
    /// Dropped without an answer where whoever asks has to find out by itself.
    pub(crate) tell: oneshot::Sender<Stored>,
}

impl Asked {
    /// Adds a question. `true` where whoever adds it must see that it is asked.
    pub(crate) fn add(&self, question: Question) -> bool {
        let mut waiting = self.waiting();
        waiting.questions.push(question);
        !std::mem::replace(&mut waiting.is_asking, true)
    }

    /// All that waits. Where nothing does, whoever asks is done, and the next to add a question begins anew.
    pub(crate) fn take(&self) -> Vec<Question> {
        let mut waiting = self.waiting();
        waiting.is_asking = !waiting.questions.is_empty();
        std::mem::take(&mut waiting.questions)
    }

    /// Leaves all that waits without an answer, where whoever asks has come to an end before its time.
    pub(crate) fn give_up(&self) {
        *self.waiting() = Waiting::default();
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Records that this process has written itself, and that the server has confirmed. Nothing is kept before the first was
/// asked for: most processes run no hops.
#[derive(Debug, Default)]
pub(crate) struct OwnRecords(Mutex<Vec<[u8; 32]>>);

impl OwnRecords {
    /// Remembers a record. It may take the place of an older one.
    pub(crate) fn remember(&self, subject: &str, seq: u64, body: &[u8]) {
        if self.kept().is_empty() {
            return;
        }
        let fact = fact(subject, seq, body);
        let mut kept = self.kept();
        if let Some(slot) = kept.get_mut(place(fact)) {
            *slot = *fact.bytes();
        }
    }

    /// Whether this process has written it. Only once: a ticket that comes again is looked up.
    pub(crate) fn take(&self, subject: &str, seq: u64, body: &[u8]) -> bool {
        let fact = fact(subject, seq, body);
        let mut kept = self.kept();
        if kept.is_empty() {
            *kept = vec![[0; 32]; ROOM];
        }
        let slot = kept.get_mut(place(fact)).filter(|slot| *slot == fact.bytes());
        slot.map(|slot| *slot = [0; 32]).is_some()
    }

    fn kept(&self) -> MutexGuard<'_, Vec<[u8; 32]>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn fact(subject: &str, seq: u64, body: &[u8]) -> Link {
    let mut where_it_stands = [0; 8 + 128];
    let (number, rest) = where_it_stands.split_at_mut(8);
    number.copy_from_slice(&seq.to_be_bytes());
    // Longer subjects differ in what is left of them, or by their bodies, which name the intent.
    for (to, from) in rest.iter_mut().zip(subject.bytes()) {
        *to = from;
    }
    Link::of_bytes(body).with(&where_it_stands)
}

fn place(fact: Link) -> usize {
    let [one, two, ..] = *fact.bytes();
    usize::from(one) | usize::from(two) << 8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_of_its_own_is_known_once_and_as_it_is() {
        let own = OwnRecords::default();
        own.remember("mesh.ledger.0.a", 7, b"a record");
        assert!(!own.take("mesh.ledger.0.a", 7, b"a record"), "nobody had asked before");
        own.remember("mesh.ledger.0.a", 7, b"a record");
        for (subject, seq, body) in [
            ("mesh.ledger.0.b", 7, "a record"),
            ("mesh.ledger.0.a", 8, "a record"),
            ("mesh.ledger.0.a", 7, "another"),
        ] {
            assert!(!own.take(subject, seq, body.as_bytes()), "{subject} {seq} {body}");
        }
        assert!(own.take("mesh.ledger.0.a", 7, b"a record"));
        assert!(!own.take("mesh.ledger.0.a", 7, b"a record"), "it was taken");
    }

    #[test]
    fn one_asks_for_all_that_wait() {
        let asked = Asked::default();
        let question = |seq| Question {
            subject: "mesh.ledger.0.a".to_owned(),
            seq,
            tell: oneshot::channel().0,
        };
        assert!(asked.add(question(1)), "the first asks");
        assert!(!asked.add(question(2)));
        assert_eq!(asked.take().len(), 2);
        assert!(!asked.add(question(3)), "it asks still");
        assert_eq!(asked.take().len(), 1);
        assert!(asked.take().is_empty());
        assert!(asked.add(question(4)), "nobody asks any more");
        asked.give_up();
        assert!(asked.add(question(5)), "nor then");
    }
}
