//! What the rest is written with: names and ids, times, JSON as it was spelled, versions of the contract, and how bad
//! input is reported.

pub(crate) mod error;
pub(crate) mod head;
pub(crate) mod header;
pub(crate) mod ids;
pub(crate) mod json;
pub(crate) mod mutants;
pub(crate) mod names;
pub(crate) mod protocol;
pub(crate) mod text;
pub(crate) mod timestamp;
pub(crate) mod wire;
pub(crate) mod wire_enum;
