//! The workloads.

use clap::ValueEnum;
use serde::Serialize;

/// What is measured. Payloads of 512 bytes, handlers that do nothing, durable storage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, ValueEnum, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Workload {
    /// Submit, one worker completes: completed per second.
    W1,
    /// A relay of three agents: completed per second.
    W2,
    /// Submit and wait for the result, one at a time: latency.
    W3,
    /// A relay of three agents at 20 per second: latency from end to end.
    W4,
    /// Submit alone, and through intake and router: taken in per second.
    W5,
    /// W1, W2 and W3 on a server that syncs each write.
    W6,
    /// The memory of worker, controller and server: idle, at load, and as a million intents pass.
    W7,
    /// What an intent costs with 1, 10 and 100 agents in two versions each, with few and many open intents, and, for a bare
    /// client, with 1, 2 and 4 shards of the ledger.
    W8,
    /// Ten thousand followers of the routes on one server: what they cost at rest, how fast a change reaches the last of them,
    /// and how they come back when the server does.
    W9,
    /// The stages of a handoff, with 100 and with 1,000 under way: record, ticket, pull, commit, settle.
    W10,
    /// What a child of a join costs beside a flat intent, with 10 to 5,000 children of a parent.
    W11,
    /// Intents that wait for their turn, with 100 keys and with one: completed per second.
    W12,
    /// A hop that is given 20 memories of 2 KiB, beside that of w3 and beside a bare client that reads as much: latency; and how
    /// long the assembly of a view of 5,000 takes.
    W13,
}

impl Workload {
    /// The workloads of a run without a choice.
    pub const USUAL: [Self; 6] = [Self::W1, Self::W2, Self::W3, Self::W4, Self::W5, Self::W6];
}
