//! Messages: the envelope in all its forms, raw intents, and their subjects.

pub(crate) mod body;
pub(crate) mod constraints;
pub(crate) mod convert;
pub(crate) mod envelope;
pub(crate) mod error;
pub(crate) mod given;
pub(crate) mod itinerary;
pub(crate) mod object;
pub(crate) mod parts;
pub(crate) mod pipeline;
pub(crate) mod raw;
pub(crate) mod subject;
pub(crate) mod successor;
pub(crate) mod text;
pub(crate) mod unique;
