//! Paying what an intent owes: its tickets, and the answer to its submitter. Anyone may repeat everything here, at any
//! time.

mod answer;
mod pay;
mod ticket;
