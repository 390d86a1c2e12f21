//! Paying what an intent owes: its tickets, and the answer to whoever waits. Everything here may be repeated, by anyone, at
//! any time.

mod answer;
mod pay;
mod ticket;
