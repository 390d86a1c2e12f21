//! What to measure, and how much of it: the arguments of `baton bench`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};
use serde::Serialize;

use crate::workload::Workload;

/// What to measure, and how much of it.
#[derive(Debug, Clone, Args)]
pub struct Options {
    /// Which workloads, separated by commas [default: w1 to w6].
    #[arg(long, short, value_enum, value_delimiter = ',', value_name = "LIST")]
    pub workload: Vec<Workload>,
    /// Pairs of floor and Baton for each workload [default: 5; with --quick: 3].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub pairs: Option<u32>,
    /// Intents for each throughput measurement [default: 20000; with --quick: 3000].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub intents: Option<u64>,
    /// Intents for each latency measurement [default: 1000, and 300 in w4; with --quick: 200 and 60].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub samples: Option<u64>,
    /// A short run, for a first look.
    #[arg(long)]
    pub quick: bool,
    /// Measures one side alone, without ratios: for a profiler.
    #[arg(long, value_enum, value_name = "SIDE")]
    pub only: Option<Only>,
    /// Repeats until Ctrl-C, and prints each figure as it comes: for a profiler.
    #[arg(long, requires = "only")]
    pub forever: bool,
    /// The payload in bytes.
    #[arg(long, value_name = "BYTES", default_value_t = 512)]
    pub payload: usize,
    /// Slots of each worker.
    #[arg(long, value_name = "N", default_value_t = 256, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub slots: u32,
    /// Threads of the client process, for Baton and the floor alike.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=256))]
    pub threads: u16,
    /// Where the servers keep their data while they are measured: on the disk that is meant [default: the system's
    /// temporary folder].
    #[arg(long, value_name = "FOLDER")]
    pub dir: Option<PathBuf>,
}

/// One side of a pair.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Only {
    /// Baton.
    Baton,
    /// The bare client.
    Floor,
}

impl Only {
    /// For people.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Baton => "baton",
            Self::Floor => "floor",
        }
    }
}

impl Options {
    pub(crate) fn workloads(&self) -> Vec<Workload> {
        if self.workload.is_empty() {
            return Workload::USUAL.to_vec();
        }
        self.workload.clone()
    }

    pub(crate) fn pairs(&self) -> u32 {
        self.pairs.unwrap_or(if self.quick { 3 } else { 5 })
    }

    pub(crate) fn intents(&self) -> u64 {
        self.intents.unwrap_or(if self.quick { 3_000 } else { 20_000 })
    }

    pub(crate) fn samples(&self) -> u64 {
        self.samples.unwrap_or(if self.quick { 200 } else { 1_000 })
    }

    /// How many intents are open in the sizes of w8.
    pub(crate) fn open_intents(&self) -> [u64; 3] {
        if self.quick {
            [100, 10_000, 50_000]
        } else {
            [1_000, 100_000, 500_000]
        }
    }

    /// How many intents come at a fixed pace. They take real time, so there are fewer.
    pub(crate) fn paced_samples(&self) -> u64 {
        self.samples.unwrap_or(if self.quick { 60 } else { 300 })
    }
}

/// From one intent to the next in w4: 20 per second.
pub(crate) const PACE: Duration = Duration::from_millis(50);
