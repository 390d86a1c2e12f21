//! Signals: the one way to tell something to an open intent.

use sha2::{Digest as _, Sha256};

use crate::base::mutants::Mutant;
use crate::intent::snapshot::Snapshot;

/// How many signals of an intent may be unread.
pub const MOST_UNREAD: usize = 64;
/// How many message ids an intent remembers, so that one that comes again is the same signal.
pub const MOST_TOLD: usize = 512;
/// How many bytes the waits and signals of a snapshot may take.
pub(crate) const MOST_LISTED: usize = 16 * 1024;
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
    /// The intent has too many that nobody has read.
    TooMany,
}

/// What is to be done with the signal of a message, by the head of its intent.
pub fn on_signal(head: &Snapshot, id: &str) -> SignalFate {
    let is_known =
        (is_told(head, id) || head.signals.iter().any(|signal| signal.id == id)) && !Mutant::P2ToldAgain.is_on();
    match () {
        () if is_known => SignalFate::Known,
        () if head.status.is_terminal() => SignalFate::TooLate,
        () if head.signals.len() >= MOST_UNREAD || listed(head) >= MOST_LISTED => SignalFate::TooMany,
        () => SignalFate::Take,
    }
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
fn short(id: &str) -> String {
    let digest = Sha256::digest(id.as_bytes());
    digest.iter().take(HASH / 2).map(|byte| format!("{byte:02x}")).collect()
}

/// How many bytes the lists of a snapshot take, nearly.
fn listed(head: &Snapshot) -> usize {
    let waits = head.waits.iter().map(|wait| wait.name.len() + 100);
    let signals = head
        .signals
        .iter()
        .map(|signal| signal.name.len() + signal.id.len() + 40);
    waits.chain(signals).sum()
}
