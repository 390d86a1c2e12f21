//! Signatures that this process has made or verified itself, so that it does not verify one twice.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use super::link::Link;

/// How many are remembered. A process that submits and runs the same work reads most of its own records within seconds;
/// 2 MiB hold some ten thousand records in flight.
const ROOM: usize = 1 << 16;

/// A memory of good signatures, of bounded size. Clones share it. Empty by default, and then it keeps nothing.
///
/// What it keeps is a fact that no later event changes: that a key has signed this body for this subject. Whether the key is
/// trusted, when, and with what, is judged each time.
#[derive(Clone, Default)]
pub struct KnownSignatures(Option<Arc<Mutex<Kept>>>);

/// A place for each, by the first bytes of it.
type Kept = Box<[[u8; 32]]>;

/// One signature on one subject, as it is remembered.
#[derive(Debug, Clone, Copy)]
pub struct Proof(Link);

impl Proof {
    /// Of a message with this link on a subject. The link covers the body and the whole header, so the signer too.
    pub fn of(subject: &str, link: Link) -> Self {
        Self(link.with(subject.as_bytes()))
    }

    fn place(self, room: usize) -> usize {
        let [one, two, three, ..] = *self.0.bytes();
        (usize::from(one) | usize::from(two) << 8 | usize::from(three) << 16) % room.max(1)
    }
}

impl KnownSignatures {
    /// A memory with room. It takes its memory as it fills.
    pub fn with_room() -> Self {
        Self(Some(Arc::new(Mutex::new(vec![[0; 32]; ROOM].into_boxed_slice()))))
    }

    /// Whether this process has made or verified it.
    pub fn has(&self, proof: Proof) -> bool {
        let Some(kept) = &self.0 else { return false };
        let kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.get(proof.place(kept.len())) == Some(proof.0.bytes())
    }

    /// Remembers one that this process has made, or has verified. It may take the place of an older one.
    pub fn remember(&self, proof: Proof) {
        let Some(kept) = &self.0 else { return };
        let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
        let place = proof.place(kept.len());
        if let Some(slot) = kept.get_mut(place) {
            *slot = *proof.0.bytes();
        }
    }
}

impl fmt::Debug for KnownSignatures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() {
            "KnownSignatures"
        } else {
            "KnownSignatures (none)"
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_remembered_is_known_on_its_own_subject_alone() {
        let link = Link::of_bytes(b"a record");
        let proof = Proof::of("mesh.ledger.0.a", link);
        let (none, known) = (KnownSignatures::default(), KnownSignatures::with_room());
        for memory in [&none, &known] {
            assert!(!memory.has(proof), "{memory:?}");
            memory.remember(proof);
        }
        assert!(!none.has(proof) && known.has(proof));
        assert!(known.clone().has(proof), "clones share it");
        assert!(!known.has(Proof::of("mesh.ledger.0.b", link)));
        assert!(!known.has(Proof::of("mesh.ledger.0.a", Link::of_bytes(b"another"))));
    }

    #[test]
    fn it_does_not_grow_and_keeps_the_newest() {
        let known = KnownSignatures::with_room();
        let proofs: Vec<Proof> = (0..3 * ROOM)
            .map(|number| Proof::of("mesh.ledger.0.a", Link::of_bytes(number.to_string().as_bytes())))
            .collect();
        for proof in &proofs {
            known.remember(*proof);
            assert!(known.has(*proof));
        }
        let kept = proofs.iter().filter(|proof| known.has(**proof)).count();
        assert!(kept <= ROOM && kept > ROOM / 2, "{kept}");
    }
}
