//! What to measure, and how much of it: the arguments of `baton bench`.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use baton_jetstream::TicketPersistence;
use clap::{Args, ValueEnum};
use serde::Serialize;

use crate::error::BenchError;
use crate::workload::Workload;

/// What to measure, and how much of it.
#[derive(Debug, Clone, Args)]
pub struct Options {
    /// Which workloads, separated by commas [default: w1 to w6].
    #[arg(long, short, value_enum, value_delimiter = ',', value_name = "LIST")]
    pub workload: Vec<Workload>,
    /// Pairs to measure for each workload, each of the bare client and Baton [default: 5; with --quick: 3].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub pairs: Option<u32>,
    /// Intents for each throughput measurement [default: 20000; with --quick: 3000].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub intents: Option<u64>,
    /// Intents for each latency measurement [default: 1000, 300 in w4 and w13, 20000 in w10, 5000 in w11 and w12; with --quick: 200, 60, 2000 and 500].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub samples: Option<u64>,
    /// A short run, for a first look.
    #[arg(long)]
    pub quick: bool,
    /// Measure one side alone, without ratios: for a profiler.
    #[arg(long, value_enum, value_name = "SIDE")]
    pub only: Option<Only>,
    /// Repeat until Ctrl-C, and print each figure as it comes: for a profiler.
    #[arg(long, requires = "only")]
    pub forever: bool,
    /// The payload in bytes.
    #[arg(long, value_name = "BYTES", default_value_t = 512)]
    pub payload: usize,
    /// How many hops a worker runs at a time.
    #[arg(long, value_name = "N", default_value_t = 256, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub slots: u32,
    /// Threads of the client process, on both sides.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=256))]
    pub threads: u16,
    /// When the server writes Baton's tickets, as in `connection.tickets` [default: default; in w6: async].
    #[arg(long, value_name = "WHEN")]
    pub tickets: Option<TicketPersistence>,
    /// Signs every record of Baton's and verifies it: compare with a run without.
    #[arg(long)]
    pub signed: bool,
    /// Compare Baton in accounts, as `baton access` makes them, with Baton in an open mesh: w1 to w4 and w6 [default with
    /// this: w1 and w3]. `secured` is what an operator gets: workers read the ledger before each hop; `server` are the
    /// accounts alone.
    #[arg(long, value_enum, value_name = "WHAT", num_args = 0..=1, require_equals = true, default_missing_value = "secured")]
    pub accounts: Option<Accounts>,
    /// Intents that pass in w7; the first checkpoint is at a fifth of them [default: 1000000; with --quick: 50000].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(5..))]
    pub memory_intents: Option<u64>,
    /// Hold the load of w7 back while the ledger has more records than this, so that the archive keeps up [default: no
    /// limit].
    #[arg(long, value_name = "RECORDS", value_parser = clap::value_parser!(u64).range(1..))]
    pub ledger_at_most: Option<u64>,
    /// The most open intents in w8; the other sizes are a fifth and a 500th of it [default: 500000; with --quick: 50000].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(500..))]
    pub open: Option<u64>,
    /// Followers of the routes in w9, each with a connection [default: 10000; with --quick: 1000].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=60_000))]
    pub followers: Option<u32>,
    /// The `baton` that runs the controller of w7 and w9 [default: this one, or the one beside it].
    #[arg(long, value_name = "FILE")]
    pub baton: Option<PathBuf>,
    /// A configuration file for the controller of w7 and w9.
    #[arg(long, value_name = "FILE")]
    pub controller_config: Option<PathBuf>,
    /// Runs the worker of w7, at this server, and measures nothing.
    #[arg(long, value_name = "URL", hide = true)]
    pub worker_at: Option<String>,
    /// Runs followers of w9, at this server, and measures nothing.
    #[arg(long, value_name = "URL", hide = true)]
    pub followers_at: Option<String>,
    /// The words before the options when this program starts itself, besides its name.
    #[arg(skip)]
    pub own_command: Vec<OsString>,
    /// Folder for the servers' data, on the disk to be measured [default: the system's temporary folder].
    #[arg(long, value_name = "FOLDER")]
    pub dir: Option<PathBuf>,
}

/// What is set apart by accounts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Accounts {
    /// The mesh is secured, too.
    Secured,
    /// The accounts of the server alone.
    Server,
}

/// One side of a pair.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Only {
    /// Baton.
    Baton,
    /// The bare client.
    Floor,
    /// Baton in an open mesh: the other side where accounts are measured.
    Open,
}

impl Only {
    /// The name, for people.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Baton => "baton",
            Self::Floor => "floor",
            Self::Open => "open",
        }
    }
}

impl Options {
    /// When the server writes tickets, unless an option says otherwise.
    pub(crate) fn tickets(&self) -> TicketPersistence {
        self.tickets.unwrap_or_default()
    }

    pub(crate) fn workloads(&self) -> Vec<Workload> {
        match (self.workload.as_slice(), self.accounts) {
            ([], None) => Workload::USUAL.to_vec(),
            ([], Some(_)) => vec![Workload::W1, Workload::W3],
            (named, _) => named.to_vec(),
        }
    }

    /// The side that Baton is compared with.
    pub(crate) const fn baseline(&self) -> Only {
        match self.accounts {
            None => Only::Floor,
            Some(_) => Only::Open,
        }
    }

    /// Refuses what makes no sense together.
    pub(crate) fn check(&self) -> Result<(), BenchError> {
        if self.accounts.is_none() {
            return match self.only {
                Some(Only::Open) => Err(BenchError::Arguments("--only open belongs to --accounts")),
                Some(Only::Baton | Only::Floor) | None => Ok(()),
            };
        }
        let unfit = |workload: &Workload| {
            matches!(
                workload,
                Workload::W5
                    | Workload::W7
                    | Workload::W8
                    | Workload::W9
                    | Workload::W10
                    | Workload::W11
                    | Workload::W12
                    | Workload::W13
            )
        };
        if self.workloads().iter().any(unfit) {
            return Err(BenchError::Arguments("--accounts measures w1 to w4 and w6 only"));
        }
        match self.only {
            Some(Only::Floor) => Err(BenchError::Arguments(
                "the bare client has no accounts: --only baton or --only open",
            )),
            Some(Only::Baton | Only::Open) | None => Ok(()),
        }
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

    pub(crate) fn memory_intents(&self) -> u64 {
        self.memory_intents
            .unwrap_or(if self.quick { 50_000 } else { 1_000_000 })
    }

    /// How many follow the routes in w9.
    pub(crate) fn followers(&self) -> usize {
        let followers = self.followers.unwrap_or(if self.quick { 1_000 } else { 10_000 });
        usize::try_from(followers).unwrap_or(usize::MAX)
    }

    /// The command that starts this program.
    pub(crate) fn itself(&self) -> Result<Vec<OsString>, BenchError> {
        let exe = std::env::current_exe().map_err(BenchError::io("finding this program"))?;
        let mut words = vec![exe.into_os_string()];
        words.extend(self.own_command.iter().cloned());
        Ok(words)
    }

    /// The `baton` to run a controller with.
    pub(crate) fn baton(&self) -> Result<OsString, BenchError> {
        let exe = std::env::current_exe().map_err(BenchError::io("finding this program"))?;
        let beside = exe.with_file_name(format!("baton{}", std::env::consts::EXE_SUFFIX));
        let found = self.baton.clone().unwrap_or(beside);
        if found.is_file() {
            Ok(found.into_os_string())
        } else {
            Err(BenchError::NoBaton(found))
        }
    }

    /// How many intents are open in each size of w8.
    pub(crate) fn open_intents(&self) -> [u64; 3] {
        let most = self.open.unwrap_or(if self.quick { 50_000 } else { 500_000 });
        [most / 500, most / 5, most]
    }

    /// How many intents come at a fixed pace, or with memories of their own. They take real time, so there are fewer.
    pub(crate) fn few_samples(&self) -> u64 {
        self.samples.unwrap_or(if self.quick { 60 } else { 300 })
    }
}

/// The interval between two intents in w4: 20 per second.
pub(crate) const PACE: Duration = Duration::from_millis(50);
