//! Paying what an intent owes: its tickets, the answer to its submitter, and going on when what it
//! waits for has come. Anyone may repeat everything here, at any
//! time.

mod answer;
mod decided;
mod pay;
mod resume;
mod ticket;
