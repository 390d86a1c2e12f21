//! The bounds of a check, and the rule that is switched off.

/// How many faults and operations may still happen: each use takes one away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Faults {
    /// Processes that die, at any point.
    pub crashes: u8,
    /// Publishes and acks whose answer is lost, or that arrive late or never.
    pub unanswered: u8,
    /// Deliveries of a ticket whose holder still runs: it froze, or its extensions were lost.
    pub redeliveries: u8,
    /// Tickets that a power cut takes from their stream.
    pub lost_tickets: u8,
    /// Tickets that appear in the stream once more: a late copy of a publish, or a forgotten ack.
    pub repeated_tickets: u8,
    /// Server crashes that forget that a ticket was delivered.
    pub forgotten: u8,
    /// Workers that are told to stop.
    pub stops: u8,
    /// Handlers that fail and ask for another attempt.
    pub failures: u8,
    /// Redrives by an operator.
    pub redrives: u8,
    /// Moves by an operator.
    pub moves: u8,
    /// Changes of a pin by an operator.
    pub repins: u8,
    /// Hours that pass.
    pub hours: u8,
}

impl Faults {
    /// Nothing goes wrong, and no hour passes.
    pub const fn none() -> Self {
        Self {
            crashes: 0,
            unanswered: 0,
            redeliveries: 0,
            lost_tickets: 0,
            repeated_tickets: 0,
            forgotten: 0,
            stops: 0,
            failures: 0,
            redrives: 0,
            moves: 0,
            repins: 0,
            hours: 0,
        }
    }
}

/// The bounds of one check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Intents to submit.
    pub intents: u8,
    /// Submitters of each intent, all with the same work.
    pub submitters: u8,
    /// Workers; each may take any ticket.
    pub workers: u8,
    /// Hops of each intent; the last one completes it.
    pub hops: u32,
    /// Steps of the first hop.
    pub steps: u8,
    /// Attempts at a hop.
    pub max_attempts: u32,
    /// The hour in which the deadline passes.
    pub deadline: Option<u8>,
    /// Whether a hop without steps may record that it is at work.
    pub shows: bool,
    /// Whether submitters, operators and sweepers never crash.
    pub only_workers_crash: bool,
    /// Whether to try recovery from every state, and not only from those in which nothing happens by itself: that finds
    /// circles in which something happens forever.
    pub everywhere: bool,
    /// How many of the workers follow the rules of the old build (`old.rs`).
    pub old_workers: u8,
    /// Whether submitters and operators do.
    pub old_clients: bool,
    /// Whether the sweeper does.
    pub old_sweeper: bool,
    /// What may go wrong.
    pub faults: Faults,
}

impl Bounds {
    /// One intent of two hops with one step in the first, two workers, and no faults.
    pub const fn calm() -> Self {
        Self {
            intents: 1,
            submitters: 1,
            workers: 2,
            hops: 2,
            steps: 1,
            max_attempts: 2,
            deadline: None,
            shows: false,
            only_workers_crash: false,
            everywhere: false,
            old_workers: 0,
            old_clients: false,
            old_sweeper: false,
            faults: Faults::none(),
        }
    }

    /// The same bounds with other faults.
    #[must_use]
    pub const fn with(mut self, faults: Faults) -> Self {
        self.faults = faults;
        self
    }
}

/// A rule that is switched off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Broken {
    /// None: the protocol as it is.
    Nothing,
    /// The server accepts an outcome whatever its guard says.
    CommitUnguarded,
    /// A takeover runs as if it had claimed, but writes no claim.
    TakeoverUnclaimed,
    /// A takeover does not load the recorded steps.
    StepsNotLoaded,
    /// An effect runs although the holder has not recorded that it is at work.
    StepUnannounced,
    /// An overtaken holder takes any head for its own.
    EveryHeadMine,
    /// A claim keeps the epoch and names no holder.
    ClaimUnfenced,
    /// The next ticket is written before the commit.
    TicketBeforeCommit,
    /// An unanswered write counts as stored.
    UnansweredIsStored,
    /// An unanswered write counts as not stored, without a read.
    UnansweredIsLost,
    /// A superseded ticket is acked without settling the head, and there is no sweeper.
    UnsettledUnswept,
    /// There is no sweeper.
    NoSweeper,
    /// A ticket is acked before what its record implies is written, and there is no sweeper.
    AckFirstUnswept,
    /// A redelivered ticket runs without reading the ledger.
    RedeliveredIsFresh,
    /// A reissued ticket runs without reading the ledger.
    ReissuedIsFresh,
    /// Every settling pays a ticket for each head with work, under an id of the head.
    WorkableOwesNow,
    /// A late settling writes a marked ticket instead of leaving it to the sweeper.
    LatePayers,
}
