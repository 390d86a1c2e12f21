//! What the protocol promises, as tests: round trips, the life of an intent, deliveries, raw intents, the golden files
//! and the document. One binary, so that it links once.
#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "test helpers: a broken expectation is a failed test"
)]

mod acts;
mod budgets;
mod bundle;
mod calling;
mod caps;
mod channels;
mod codes;
mod context;
mod control;
mod conversion;
mod deciding;
mod decoding;
mod delivery;
mod document;
mod effects;
mod generators;
mod golden;
mod golden_v2;
mod judging;
mod negotiation;
mod object_bundle;
mod people;
mod raw;
mod relay;
mod rollout;
mod round_trip;
mod samples;
mod schedules;
mod signing;
mod transitions;
mod turns;
mod undoing;
mod waiting;
