//! The `baton` binary from outside, in a clean environment: what it prints where, and how it exits.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "test support: a failure is a test failure"
)]

mod bad_input;
mod connection;
mod dead;
mod harness;
mod intents;
mod rollout;
mod send;
mod worker;
