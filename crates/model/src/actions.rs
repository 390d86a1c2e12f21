//! Every action that can happen next.

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

/// The fate of a publish to the ledger, or of a read that resolves one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Network {
    /// It arrives and is answered.
    Answers,
    /// It arrives and the answer is lost.
    LosesTheAnswer,
    /// It is delayed, and arrives at any later time or never.
    Delays,
    /// The writer reads the head, to find out.
    Reads,
    /// A minute has passed: the writer gives up.
    GivesUp,
}

/// What a handler does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Does {
    /// Its next step, or first the record that it is at work.
    Step,
    /// The effect of the step.
    Effect,
    /// Nothing, while the worker records the holder of the hop.
    Shows,
    /// Ends with a handoff or the result.
    Ends,
    /// Fails and asks for another attempt.
    Fails,
    /// Is interrupted, because the worker is told to stop.
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
    /// A pending write takes its next step.
    Write(Actor, Network),
    /// A process writes what a record implies, or finds it written.
    Settle(Actor),
    /// That could not be written: the hop is handed back unsettled.
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
    /// A handler takes its next step.
    Handler(u8, Does),
    /// A process dies.
    Crash(Actor),
    /// A delayed publish arrives.
    Arrives(u8),
    /// A delayed publish is lost.
    Vanishes(u8),
    /// A power cut takes a ticket.
    LoseTicket(u8),
    /// A ticket of this record appears in the stream once more.
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
    /// The sweeper examines an intent.
    Sweep(u8),
    /// An hour passes.
    Hour,
}
