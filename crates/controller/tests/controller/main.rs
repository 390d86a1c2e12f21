//! The controller against a real `nats-server`. No test sleeps and hopes: each waits for a condition, or puts a marker
//! behind what it watches and waits for that.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests: a failure is a panic"
)]

mod archiving;
mod asking;
mod clocks;
mod copies;
mod killing;
mod leaderless;
mod objects;
mod projection;
mod registering;
mod rejecting;
mod repeating;
mod routing;
mod searching;
mod secured;
mod stats;
mod support;
mod sweeping;
