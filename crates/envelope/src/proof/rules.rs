//! When a record verifies by itself: its signature, its signer, and the guard that it was written with.

use serde::{Deserialize, Serialize};

use super::grant::{Grants, SignerRole};
use super::known::{KnownSignatures, Proof};
use super::link::Link;
use super::signature::Signature;
use crate::base::names::AgentName;
use crate::base::timestamp::Timestamp;
use crate::intent::record::Record;

/// Whether the records of a mesh are signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Signatures {
    /// Nothing is signed, and no signature is looked at.
    #[default]
    Off,
    /// Who has a key signs. A signature that is there must verify; a record without one counts.
    Accept,
    /// A record without a signature is void.
    Require,
}

impl Signatures {
    /// Its word in a configuration and in the metadata of a mesh.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Accept => "accept",
            Self::Require => "require",
        }
    }

    /// Reads its word.
    pub fn of_name(name: &str) -> Option<Self> {
        [Self::Off, Self::Accept, Self::Require]
            .into_iter()
            .find(|one| one.name() == name)
    }
}

/// By what the records of a mesh are verified.
#[derive(Debug, Clone, Default)]
pub struct Rules {
    /// The trusted keys.
    pub grants: Grants,
    /// Whether records must be signed.
    pub signatures: Signatures,
    /// Up to this ledger sequence they need not be: they are older than the decision that they must.
    pub since: u64,
    /// The signatures that need not be verified again.
    pub known: KnownSignatures,
}

/// The guard that a message was published with, as the server has stored it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Guard {
    /// This sequence was the last of its own subject: the server refused it otherwise.
    At(u64),
    /// None, or one of another subject.
    None,
    /// A ticket: the same record on another stream, which it does not guard.
    OfTicket,
}

/// A record as it stands in a stream or in a bundle.
#[derive(Debug, Clone, Copy)]
pub struct Entry<'a> {
    /// The ledger subject.
    pub subject: &'a str,
    /// Its sequence in the ledger.
    pub seq: u64,
    /// When the server stored it, if known.
    pub stored_at: Option<Timestamp>,
    /// Its guard.
    pub guard: Guard,
    /// The value of its header `Baton-Signature`.
    pub signature: Option<&'a str>,
    /// Its body, byte for byte.
    pub body: &'a [u8],
}

impl Entry<'_> {
    /// The link of this message.
    pub fn link(&self) -> Link {
        Link::of(self.body, self.signature)
    }
}

/// A record whose signature verifies, or that needs none.
#[derive(Debug)]
pub(super) struct Verified {
    pub(super) signature: Option<Signature>,
    pub(super) link: Link,
    pub(super) is_controller: bool,
}

impl Rules {
    /// Verifies a record by itself, without those before it. Gives its link.
    ///
    /// # Errors
    /// Why it is void.
    pub fn check(&self, entry: &Entry<'_>, record: &Record) -> Result<Link, String> {
        self.verify(entry, record, None).map(|verified| verified.link)
    }

    /// As [`Rules::check`], where it is known whose turn it was: `Some(None)` before the first record.
    pub(super) fn verify(
        &self,
        entry: &Entry<'_>,
        record: &Record,
        turn: Option<Option<&AgentName>>,
    ) -> Result<Verified, String> {
        let body = Link::of_bytes(entry.body);
        let Some(text) = entry.signature else {
            // The number on a ticket is whatever its writer says.
            let is_old = entry.seq <= self.since && entry.guard != Guard::OfTicket;
            if self.signatures == Signatures::Require && !is_old {
                return Err(format!(
                    "it is not signed, and signatures are required after sequence {}",
                    self.since
                ));
            }
            return Ok(Verified {
                signature: None,
                link: Link::of_digest(body, None),
                is_controller: false,
            });
        };
        let signature: Signature = text.parse()?;
        let expected = signature.expected;
        match entry.guard {
            Guard::At(guard) if guard != expected => {
                return Err(format!(
                    "its signature expects sequence {expected}, and its guard {guard}"
                ));
            }
            Guard::None => {
                return Err(format!(
                    "its signature expects sequence {expected}, and no guard held it to that"
                ));
            }
            Guard::At(_) | Guard::OfTicket => {}
        }
        if expected >= entry.seq {
            return Err(format!(
                "its signature expects sequence {expected}, which is not before its own"
            ));
        }
        let Some(trusted) = self.grants.of(&signature.signer) else {
            let signer: String = signature.signer.chars().take(64).collect();
            return Err(format!("its signer {signer} is not trusted"));
        };
        let link = Link::of_digest(body, Some(text));
        let proof = Proof::of(entry.subject, link);
        if !self.known.has(proof) {
            if !signature.is_of(&trusted.key, entry.subject, body) {
                return Err(format!(
                    "its signature is not one of {} for this body on this subject",
                    trusted.key
                ));
            }
            self.known.remember(proof);
        }
        let mut refusal = None;
        let mut is_held = false;
        let mut is_controller = false;
        for grant in self.grants.held(trusted, entry.stored_at) {
            is_held = true;
            match grant.refuses(record, turn) {
                None => {
                    is_controller |= grant.role == SignerRole::Controller;
                    refusal = None;
                    break;
                }
                Some(why) => refusal = Some(why),
            }
        }
        match refusal {
            _ if !is_held => Err(format!("its signer {} was not trusted when it was stored", trusted.key)),
            Some(why) => Err(why),
            None => Ok(Verified {
                link,
                signature: Some(signature),
                is_controller,
            }),
        }
    }

    /// Verifies a checkpoint by itself: its guard, and that a controller has signed it.
    ///
    /// # Errors
    /// Why it does not verify.
    pub fn verify_checkpoint(&self, entry: &Entry<'_>, signature: &Signature, at: Timestamp) -> Result<(), String> {
        if entry.guard != Guard::At(signature.expected) {
            return Err(format!(
                "its signature expects sequence {}, and no guard held it to that",
                signature.expected
            ));
        }
        let trusted = self.grants.of(&signature.signer).ok_or("its signer is not trusted")?;
        let is_controller = self
            .grants
            .held(trusted, Some(entry.stored_at.unwrap_or(at)))
            .any(|grant| grant.role == SignerRole::Controller);
        if !is_controller {
            return Err(format!("its signer {} is no controller", trusted.key));
        }
        if !signature.is_of(&trusted.key, entry.subject, Link::of_bytes(entry.body)) {
            return Err(format!("its signature is not one of {} for this body", trusted.key));
        }
        Ok(())
    }
}
