//! Everything that can happen to an intent, one file each. An act takes the current head and gives the next write. Acts
//! are pure: ids, times and envelopes come in as arguments.
//!
//! To add an act, add a file here that makes a [`Draft`](crate::Draft) and changes the snapshot. [`next`](crate::next)
//! alone decides whether the act is legal, and [`effects`](crate::effects) what follows from it.

mod cancel;
mod claim;
mod compensate;
mod complete;
mod fail;
mod hand_off;
mod park;
mod pass_over;
mod progress;
mod redrive;
mod refuse;
mod reject;
mod release;
mod rename;
mod repair;
mod repin;
mod retry;
mod shift;
mod start;
mod step;
mod submit;
mod time_out;

pub use cancel::cancel;
pub use claim::claim;
pub use compensate::compensate;
pub use complete::{complete, complete_with};
pub use fail::fail;
pub use hand_off::hand_off;
pub use park::park;
pub use pass_over::pass_over;
pub use progress::progress;
pub use redrive::redrive;
pub use refuse::refuse;
pub use reject::reject;
pub use release::release;
pub use rename::rename;
pub use repair::repair;
pub use repin::repin;
pub use retry::retry;
pub use shift::{Shift, shift};
pub use start::start;
pub use step::step;
pub use submit::submit;
pub use time_out::time_out;
