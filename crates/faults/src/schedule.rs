//! Which faults happen, and when: a pure function of the seed.

use std::fmt;
use std::time::Duration;

use baton_jetstream::TicketPersistence;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{Rng as _, SeedableRng as _};

/// How many servers, workers and controllers faults may hit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cast {
    /// Servers: 1 or 3.
    pub servers: usize,
    /// Worker processes.
    pub workers: usize,
    /// Controllers.
    pub controllers: usize,
    /// Whether the only server's store is on a small disk of its own.
    pub small_disk: bool,
    /// When the only server writes tickets to disk.
    pub tickets: TicketPersistence,
    /// Whether every process signs what it writes.
    pub signed: bool,
    /// Whether there are agents that get messages of channels alone; they are among the workers.
    pub listeners: bool,
}

/// Which part a fault hits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Part {
    /// A worker process, by its number.
    Worker(usize),
    /// A controller.
    Controller(usize),
    /// A server.
    Server(usize),
}

/// A fault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// `kill -9`, and started again later.
    Kill(Part),
    /// SIGSTOP, and SIGCONT later.
    Freeze(Part),
    /// SIGTERM, and started again later.
    Stop(Part),
    /// The network between a worker and the servers is cut: connections close.
    Cut(usize),
    /// The network swallows everything: connections stay open and nothing passes.
    Stall(usize),
    /// The network delays everything by this many milliseconds, both ways.
    Delay(usize, u64),
    /// The network loses a worker's acknowledgements.
    DropAcks(usize),
    /// The clock of a worker is off by this many seconds.
    Clock(usize, i64),
    /// A stream is full; the name is without the namespace.
    FullStream(&'static str),
    /// The disk of the server is full.
    FullDisk,
}

impl Fault {
    /// A name for the summary.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Kill(Part::Worker(_)) => "worker killed",
            Self::Kill(Part::Controller(_)) => "controller killed",
            Self::Kill(Part::Server(_)) => "server killed",
            Self::Freeze(Part::Worker(_)) => "worker frozen",
            Self::Freeze(Part::Controller(_)) => "controller frozen",
            Self::Freeze(Part::Server(_)) => "server frozen",
            Self::Stop(Part::Worker(_)) => "worker stopped",
            Self::Stop(Part::Controller(_)) => "controller stopped",
            Self::Stop(Part::Server(_)) => "server stopped",
            Self::Cut(_) => "network cut",
            Self::Stall(_) => "network stalled",
            Self::Delay(..) => "network delayed",
            Self::DropAcks(_) => "acks dropped",
            Self::Clock(..) => "clock off",
            Self::FullStream(_) => "stream full",
            Self::FullDisk => "disk full",
        }
    }
}

/// A fault with its time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Planned {
    /// When, from the beginning of the run.
    pub at: Duration,
    /// How long it lasts; after that, killed or stopped processes are started again.
    pub lasts: Duration,
    /// What.
    pub fault: Fault,
}

impl fmt::Display for Planned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (at, lasts) = (self.at.as_millis(), self.lasts.as_millis());
        write!(f, "{at:>7} ms  {:?} for {lasts} ms", self.fault)
    }
}

/// The streams that may fill up.
const STREAMS: [&str; 4] = ["LEDGER", "INTAKE", "WORK_alpha", "WORK_gamma"];
/// No faults before this: the workers have only just started.
const CALM: Duration = Duration::from_secs(2);
/// The average pause between the starts of two faults, in milliseconds.
const PAUSE: u64 = 1_300;
/// The ack wait is 10 s: a process frozen for longer is taken for dead, and wakes up fenced out.
const OVER_ACK_WAIT: std::ops::Range<u64> = 10_500..13_000;

/// The schedule of a seed.
#[must_use]
pub fn schedule(seed: u64, length: Duration, cast: Cast) -> Vec<Planned> {
    let mut random = StdRng::seed_from_u64(seed);
    let mut found = Vec::new();
    let mut at = CALM;
    let limit = u64::try_from(length.as_millis()).unwrap_or(u64::MAX);
    // A short run must heal in time too, but most should contain a worker frozen past the ack wait.
    let longest = (limit / 3).max(1_000);
    loop {
        at += Duration::from_millis(random.random_range(PAUSE / 4..PAUSE * 7 / 4));
        if at + Duration::from_secs(1) > length {
            return found;
        }
        let (fault, lasts) = one(&mut random, cast);
        let lasts = Duration::from_millis(lasts.min(longest));
        found.push(Planned { at, lasts, fault });
    }
}

fn one(random: &mut StdRng, cast: Cast) -> (Fault, u64) {
    let worker = random.random_range(0..cast.workers);
    let controller = random.random_range(0..cast.controllers);
    let server = random.random_range(0..cast.servers);
    let short = random.random_range(100..2_000);
    let long = random.random_range(1_000..6_000);
    match random.random_range(0..100) {
        0..14 => (Fault::Kill(Part::Worker(worker)), short),
        14..22 => {
            let over = random.random_range(OVER_ACK_WAIT);
            let lasts = if random.random_bool(0.5) { over } else { long };
            (Fault::Freeze(Part::Worker(worker)), lasts)
        }
        22..32 => (Fault::Stop(Part::Worker(worker)), short),
        32..38 => (Fault::Kill(Part::Controller(controller)), short),
        38..42 => (Fault::Freeze(Part::Controller(controller)), long),
        42..45 => (Fault::Stop(Part::Controller(controller)), short),
        45..53 => (Fault::Kill(Part::Server(server)), short),
        53..56 => (Fault::Freeze(Part::Server(server)), long),
        56..58 => (Fault::Stop(Part::Server(server)), short),
        58..65 => (Fault::Cut(worker), long),
        65..69 => (Fault::Stall(worker), long),
        69..75 => (Fault::Delay(worker, random.random_range(5..250)), long),
        75..83 => (Fault::DropAcks(worker), long),
        83..91 => {
            let off = *[-86_400, -600, -5, 5, 600, 86_400].choose(random).unwrap_or(&600);
            (Fault::Clock(worker, off), long)
        }
        91..96 if cast.small_disk => (Fault::FullDisk, short),
        _ => (
            Fault::FullStream(STREAMS.choose(random).copied().unwrap_or("LEDGER")),
            short,
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CAST: Cast = Cast {
        servers: 1,
        workers: 9,
        controllers: 2,
        small_disk: false,
        tickets: TicketPersistence::Default,
        signed: false,
        listeners: false,
    };
    const MINUTE: Duration = Duration::from_secs(60);

    #[test]
    fn a_seed_gives_the_same_schedule_each_time() {
        for seed in 0..50 {
            assert_eq!(schedule(seed, MINUTE, CAST), schedule(seed, MINUTE, CAST));
        }
        assert_ne!(schedule(1, MINUTE, CAST), schedule(2, MINUTE, CAST));
    }

    #[test]
    fn a_few_seeds_hold_every_kind_of_fault_in_the_time_that_there_is() {
        let mut kinds = std::collections::BTreeSet::new();
        let small_disk = true;
        for seed in 0..20 {
            for planned in schedule(seed, MINUTE, Cast { small_disk, ..CAST }) {
                assert!(planned.at >= CALM && planned.at < MINUTE, "{planned}");
                assert!(planned.lasts <= MINUTE / 3, "{planned}");
                kinds.insert(planned.fault.kind());
            }
        }
        assert_eq!(kinds.len(), 16, "{kinds:?}");
    }

    #[test]
    fn a_disk_is_filled_only_where_it_is_small() {
        for seed in 0..50 {
            let found = schedule(seed, MINUTE, CAST);
            assert!(found.iter().all(|planned| planned.fault != Fault::FullDisk));
        }
    }
}
