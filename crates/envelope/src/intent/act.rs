//! Everything that can happen to an intent, one file each: from the present head to what is written next. Pure: ids, times
//! and envelopes come in as arguments.
//!
//! A new act is one file here: it makes a [`Draft`](crate::Draft), and says in which order the snapshot changes. Whether it
//! may happen is decided by [`next`](crate::next) alone, and what follows from it by [`effects`](crate::effects).

mod cancel;
mod claim;
mod compensate;
mod complete;
mod fail;
mod hand_off;
mod park;
mod progress;
mod redrive;
mod refuse;
mod reject;
mod release;
mod rename;
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
pub use complete::complete;
pub use fail::fail;
pub use hand_off::hand_off;
pub use park::park;
pub use progress::progress;
pub use redrive::redrive;
pub use refuse::refuse;
pub use reject::reject;
pub use release::release;
pub use rename::rename;
pub use repin::repin;
pub use retry::retry;
pub use shift::{Shift, shift};
pub use start::start;
pub use step::step;
pub use submit::submit;
pub use time_out::time_out;
