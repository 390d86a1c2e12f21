//! Everything that can happen next.

use std::fmt;

/// A process that writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Actor {
    /// Submits an intent.
    Submitter {
        /// Which intent.
        intent: u8,
        /// Which of its submitters.
        number: u8,
    },
    /// A worker.
    Worker(u8),
    /// A person.
    Operator,
    /// The sweeper of a controller.
    Sweeper,
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Submitter { intent, number } => write!(f, "submitter{intent}-{number}"),
            Self::Worker(number) => write!(f, "worker{number}"),
            Self::Operator => f.write_str("operator"),
            Self::Sweeper => f.write_str("sweeper"),
        }
    }
}

/// What becomes of a publish to the ledger, or of a read that resolves one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Network {
    /// It arrives and is answered.
    Answers,
    /// It arrives and the answer is lost.
    LosesTheAnswer,
    /// It stays on its way, to arrive at any later time or never.
    Delays,
    /// The head is read, to find out.
    Reads,
    /// A minute has passed: the writer gives up.
    GivesUp,
}

/// What a handler does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Does {
    /// Its next step, or says that it is at work before.
    Step,
    /// The effect of the step.
    Effect,
    /// Nothing, while the worker says who holds the hop.
    Shows,
    /// Comes to its end: a handoff, or the result.
    Ends,
    /// Fails and asks for another attempt.
    Fails,
    /// Runs when the worker is told to stop.
    Stops,
}

/// What an operator does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Order {
    /// Puts a parked intent back.
    Redrive,
    /// Moves open work to another version.
    Move,
    /// Changes a pin.
    Repin,
}

/// One thing that can happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    /// A submitter begins.
    Submit(Actor),
    /// A pending write goes on.
    Write(Actor, Network),
    /// What a record implies is written, or found written.
    Settle(Actor),
    /// It could not be written: the hop is handed back unsettled.
    Unsettled(Actor),
    /// A worker acks.
    Ack(u8),
    /// The ack is lost.
    AckLost(u8),
    /// The broker delivers a ticket to a worker.
    Deliver {
        /// The ticket's number in the stream.
        ticket: u8,
        /// The worker.
        worker: u8,
    },
    /// A handler goes on.
    Handler(u8, Does),
    /// A process dies.
    Crash(Actor),
    /// A delayed publish arrives.
    Arrives(u8),
    /// A delayed publish is lost.
    Vanishes(u8),
    /// A power cut takes a ticket.
    LoseTicket(u8),
    /// A ticket of this record comes to stand in the stream once more.
    RepeatTicket {
        /// Of which intent.
        intent: u8,
        /// The ledger sequence that authorised it.
        seq: u64,
    },
    /// A server crash forgets that a ticket was delivered.
    Forget(u8),
    /// An operator acts on an intent.
    Orders(Order, u8),
    /// The sweeper looks at an intent.
    Sweep(u8),
    /// An hour passes.
    Hour,
}
