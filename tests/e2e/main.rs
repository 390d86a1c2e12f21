//! End to end: real servers, real processes. One binary; a module for each part of the vocabulary.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests: a failure here is a test failure"
)]
#![expect(clippy::print_stdout, reason = "measured times are part of what a test says")]

mod abuse;
mod accidents;
mod accounts;
mod approving;
mod archive;
mod arrows;
mod asking;
mod bad_input;
mod breaker;
mod broadcasting;
mod budgets;
mod by_hand;
mod calling;
mod cancelling;
mod capability;
mod caps;
mod channels;
mod codes;
mod conformance;
mod conformance_submitter;
mod context;
mod counting;
mod crash;
mod dead_letter;
mod death;
mod demos;
mod drain;
mod examples;
mod explain;
mod exporting;
mod fanning;
mod foreign_acks;
mod frames;
mod guarded;
mod handoff;
mod harnesses;
mod holding;
mod hop;
mod incompatible;
mod invariants;
mod itinerary;
mod killing;
mod layers;
mod lending;
mod limits;
mod long_retries;
mod misrouted;
mod nats_cli;
mod orphans;
mod policy;
mod priority;
mod projection;
mod protocols;
mod publishing;
mod refused;
mod replaying;
mod rollback;
mod schedules;
mod signed;
mod sizes;
mod steering;
mod stopping;
mod telling;
mod tls;
mod topology;
mod turns;
mod undoing;
mod unique;
mod upgrade;
mod upgrading;
mod waiting;
