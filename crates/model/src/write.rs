//! Guarded writes on a network that loses and delays, resolved by the runtime's own rule.

use baton_envelope::{Unconfirmed, on_unconfirmed};

use crate::actions::Network;
use crate::bounds::Broken;
use crate::records::Rec;
use crate::world::World;

/// A guarded write in progress.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Write {
    pub(crate) intent: u8,
    pub(crate) rec: Rec,
    /// The sequence of the record that it must follow.
    pub(crate) expected: u64,
    /// Whether the server must accept it whatever came between: a broken rule.
    pub(crate) unguarded: bool,
    /// Whether any publish of it went without an answer.
    pub(crate) unanswered: bool,
    /// Whether to read the head before anything else.
    pub(crate) must_read: bool,
    /// Whether it was created without looking at anything that others can change. Then it makes no difference whether
    /// others act before it was created or before it is sent, and only the former is explored.
    pub(crate) is_local: bool,
}

/// How a write ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// The record is in the ledger, or the writer believes so.
    Stored(u64),
    /// Another record came first.
    Superseded,
    /// The outcome is unknown.
    GaveUp,
}

impl Write {
    pub(crate) fn new(intent: u8, rec: Rec, expected: u64) -> Self {
        Self {
            intent,
            rec,
            expected,
            unguarded: false,
            unanswered: false,
            must_read: false,
            is_local: false,
        }
    }

    /// Marks it as created without a look at the world.
    #[must_use]
    pub(crate) fn local(mut self) -> Self {
        self.is_local = true;
        self
    }

    /// Whether only this write needs to be explored.
    pub(crate) fn goes_first(&self) -> bool {
        self.is_local && !self.must_read && !self.unanswered
    }

    /// What can happen to it; `lossy` when answers may still be lost.
    pub(crate) fn networks(&self, lossy: bool) -> &'static [Network] {
        match (self.must_read, lossy, self.unanswered) {
            (false, false, _) => &[Network::Answers],
            (false, true, _) => &[Network::Answers, Network::LosesTheAnswer, Network::Delays],
            (true, _, false) => &[Network::Reads],
            (true, _, true) => &[Network::Reads, Network::GivesUp],
        }
    }
}

impl World {
    /// The server accepts a record, or refuses it.
    pub(crate) fn store(&mut self, intent: u8, rec: Rec, expected: u64, unguarded: bool) -> Option<u64> {
        let ledger = self.ledgers.get_mut(usize::from(intent))?;
        if ledger.len() as u64 != expected && !unguarded {
            return None;
        }
        ledger.push(rec);
        Some(ledger.len() as u64)
    }

    /// Takes a write one step further. `None` while it is in progress.
    pub(crate) fn advance(&mut self, write: &mut Write, how: Network, broken: Broken) -> Option<End> {
        match how {
            Network::Answers => {
                let stored = self.store(write.intent, write.rec.clone(), write.expected, write.unguarded);
                write.must_read = stored.is_none();
                return stored.map(End::Stored);
            }
            Network::LosesTheAnswer => {
                self.left.unanswered -= 1;
                self.store(write.intent, write.rec.clone(), write.expected, write.unguarded);
            }
            Network::Delays => {
                self.left.unanswered -= 1;
                self.delayed.push(write.clone());
            }
            Network::GivesUp => return Some(End::GaveUp),
            Network::Reads => return self.resolve(write, broken),
        }
        (write.unanswered, write.must_read) = (true, true);
        (broken == Broken::UnansweredIsStored).then_some(End::Stored(write.expected + 1))
    }

    fn resolve(&self, write: &mut Write, broken: Broken) -> Option<End> {
        let head = self.head(write.intent);
        if broken == Broken::UnansweredIsLost && write.unanswered {
            // As if the writer did not look for its own record.
            let is_newer = head.is_some_and(|(_, seq)| seq > write.expected);
            write.must_read = false;
            return is_newer.then_some(End::Superseded);
        }
        let at = head.as_ref().map(|(rec, seq)| (rec.id, *seq));
        match (on_unconfirmed(write.rec.id, write.expected, at, write.unanswered), head) {
            (Unconfirmed::Stands, Some((_, seq))) => Some(End::Stored(seq)),
            (Unconfirmed::LookBack, _) => {
                let ledger = self.ledgers.get(usize::from(write.intent))?;
                let own = ledger.iter().position(|rec| rec.id == write.rec.id);
                Some(own.map_or(End::Superseded, |index| End::Stored(index as u64 + 1)))
            }
            (Unconfirmed::Superseded, _) => Some(End::Superseded),
            (Unconfirmed::Stands | Unconfirmed::Again, _) => {
                write.must_read = false;
                None
            }
        }
    }
}
