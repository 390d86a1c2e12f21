//! The basic types: names and ids, times, JSON in its original spelling, versions of the contract, and errors about bad
//! input.

pub mod codes;
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
