//! Workers as controllers see them, against a real nats-server.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests: a failure here is a test failure"
)]

mod ahead;
mod blocking;
mod clocks;
mod exec;
mod pausing;
mod probing;
mod replaying;
mod secured;
mod showing;
mod support;
