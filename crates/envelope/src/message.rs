//! Messages: the envelope in all of its forms, raw intents, and the subjects that they travel on.

pub(crate) mod constraints;
pub(crate) mod convert;
pub(crate) mod envelope;
pub(crate) mod error;
pub(crate) mod parts;
pub(crate) mod raw;
pub(crate) mod subject;
pub(crate) mod successor;
pub(crate) mod text;
