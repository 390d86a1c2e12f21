//! The `baton` binary from outside, in a clean environment: what it prints where, and how it exits.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "test support: a failure is a test failure"
)]

mod access;
mod access_signed;
mod bad_input;
mod connection;
mod dead;
mod documents;
mod harness;
mod hostile;
mod hostile_views;
mod intents;
mod repair;
mod rollout;
mod scene;
mod send;
mod snapshots;
mod snapshots_control;
mod snapshots_explain;
mod snapshots_help;
mod snapshots_mistakes;
mod snapshots_schedules;
mod snapshots_told;
mod snapshots_versions;
mod transcript;
mod worker;
