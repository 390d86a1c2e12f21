//! Signals: the one way to tell something to an open intent.

use std::collections::BTreeSet;

use sha2::{Digest as _, Sha256};

use crate::base::mutants::Mutant;
use crate::intent::snapshot::Snapshot;
use crate::intent::waits::{UnreadSignal, WaitKind, open_waits};

/// How many signals of an intent may be unread, those that an open wait is for left out.
pub const MOST_UNREAD: usize = 64;
/// How many message ids an intent remembers, so that one that comes again is the same signal.
pub const MOST_TOLD: usize = 512;
/// How many bytes these may take.
const MOST_LISTED: usize = 16 * 1024;
/// How many characters of the hash of a message id are remembered.
const HASH: usize = 12;

/// What is to be done with a signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SignalFate {
    /// Record it.
    Take,
    /// It was recorded before: pay what the head owes, and ack it.
    Known,
    /// The intent has ended: it is too late.
    TooLate,
    /// No open wait is for it, and the intent has too many of these.
    TooMany,
}

/// What is to be done with the signal of this name and of the message with this id, by the head of its intent.
///
/// One that ends an open wait, or is one of several that do, is taken however many others there are: else signals that nobody
/// waits for, or many waits, would keep an intent from ever going on.
pub fn on_signal(head: &Snapshot, name: &str, id: &str) -> SignalFate {
    let is_known =
        (is_told(head, id) || head.signals.iter().any(|signal| signal.id == id)) && !Mutant::P2ToldAgain.is_on();
    match () {
        () if is_known => SignalFate::Known,
        () if head.status.is_terminal() => SignalFate::TooLate,
        () if is_awaited(head, name) => SignalFate::Take,
        () if is_full(head) => SignalFate::TooMany,
        () => SignalFate::Take,
    }
}

/// Whether a wait of this name is open that no unread signal is for.
fn is_awaited(head: &Snapshot, name: &str) -> bool {
    awaited(head).contains(name) && head.signals.iter().all(|signal| signal.name != name)
}

/// The names of the open waits that a signal ends.
fn awaited(head: &Snapshot) -> BTreeSet<&str> {
    let is_told = |kind: &WaitKind| matches!(kind, WaitKind::Signal | WaitKind::Callback);
    let waits = open_waits(head).filter(|wait| is_told(&wait.kind));
    waits.map(|wait| wait.name.as_str()).collect()
}

/// Whether the intent has as many unread signals that no open wait is for as it may. A wait takes the oldest of its name.
fn is_full(head: &Snapshot) -> bool {
    let mut awaited = awaited(head);
    let left = head
        .signals
        .iter()
        .filter(|signal| !awaited.remove(signal.name.as_str()));
    let size = |signal: &UnreadSignal| signal.name.len() + signal.id.len() + 40;
    let (count, bytes) = left.fold((0, 0), |(count, bytes), signal| (count + 1, bytes + size(signal)));
    count >= MOST_UNREAD || bytes >= MOST_LISTED
}

/// Whether an intent remembers the id of a message.
pub fn is_told(head: &Snapshot, id: &str) -> bool {
    let hash = short(id);
    let told = head.told.as_deref().unwrap_or_default();
    told.as_bytes().chunks(HASH).any(|known| known == hash.as_bytes())
}

/// Remembers the id of a message, and forgets the oldest beyond [`MOST_TOLD`].
pub(crate) fn tell(snapshot: &mut Snapshot, id: &str) {
    let mut told = snapshot.told.take().unwrap_or_default();
    told.push_str(&short(id));
    let most = MOST_TOLD * HASH;
    if told.len() > most {
        told = told.split_off(told.len() - most);
    }
    snapshot.told = Some(told);
}

/// The first characters of the hash of a message id, in hex.
pub(crate) fn short(id: &str) -> String {
    let digest = Sha256::digest(id.as_bytes());
    digest.iter().take(HASH / 2).map(|byte| format!("{byte:02x}")).collect()
}
