//! What a committed record implies: tickets, and the answer to whoever waits. Everything here may be repeated.

mod answer;
mod settlement;
mod ticket;

pub use settlement::Settled;
