//! Proofs: who wrote a record, and that none before it was altered, dropped, swapped or inserted.
//!
//! Where keys are configured, the writer of a record signs it. The signature stands in a header of the record's message
//! and leaves the body as it is. It covers the ledger subject, the sequence after which the record was written, the link
//! of the record before it, and the body. A record that does not verify is *void*: it stays, is shown, and decides
//! nothing. `docs/protocol.md` (section 18) is the normative text.

pub(crate) mod audit;
pub(crate) mod chain;
pub(crate) mod checkpoint;
pub(crate) mod grant;
pub(crate) mod key;
pub(crate) mod known;
pub(crate) mod link;
pub(crate) mod nkey;
pub(crate) mod rules;
pub(crate) mod signature;
