//! Workers as controllers see them, against a real nats-server.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests: a failure here is a test failure"
)]

mod probing;
mod replaying;
mod shutting;
mod support;
