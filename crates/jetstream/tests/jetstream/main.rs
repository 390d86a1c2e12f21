//! What the controllers use for drains and rollouts, against a real nats-server.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "tests: a failure here is a test failure"
)]

mod archive;
mod archived_objects;
mod asking;
mod bounds;
mod choosing;
mod contexts;
mod following;
mod grouping;
mod intake;
mod killing;
mod leasing;
mod lending;
mod listing;
mod objects;
mod pulling;
mod raising;
mod reading;
mod routes;
mod signing;
mod spaces;
mod support;
mod tickets;
