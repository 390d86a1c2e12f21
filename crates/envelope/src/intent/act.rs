//! Everything that can happen to an intent, one file each. An act takes the current head and gives the next write. Acts
//! are pure: ids, times and envelopes come in as arguments.
//!
//! To add an act, add a file here that makes a [`Draft`](crate::Draft) and changes the snapshot. [`next`](crate::next)
//! alone decides whether the act is legal, and [`effects`](crate::effects) what follows from it.

mod annotate;
mod broadcast;
mod cancel;
mod child_done;
mod claim;
mod compensate;
mod complete;
mod decide;
mod fail;
mod give_turn;
mod hand_off;
mod import;
mod never_begin;
mod park;
mod pass_over;
mod pause;
mod place;
mod progress;
mod publish_state;
mod redrive;
mod refuse;
mod reject;
mod release;
mod rename;
mod renew;
mod repair;
mod repin;
mod resume;
mod retry;
mod shift;
mod signal;
mod start;
mod step;
mod submit;
mod suspend;
mod time_out;

pub use annotate::annotate;
pub use broadcast::{broadcast, broadcast_hop, gather};
pub use cancel::cancel;
pub use child_done::child_done;
pub use claim::claim;
pub use compensate::{AfterUndo, compensate, end_undone, plan_undos, undo_again, undo_on, undone};
pub use complete::{complete, complete_by_ref, complete_with};
pub use decide::decide;
pub use fail::fail;
pub use give_turn::give_turn;
pub use hand_off::hand_off;
pub use import::import;
pub use never_begin::never_begin;
pub use park::{park, park_lost};
pub use pass_over::pass_over;
pub use pause::pause;
pub use place::place;
pub use progress::progress;
pub use publish_state::publish_state;
pub use redrive::redrive;
pub use refuse::refuse;
pub use reject::reject;
pub use release::release;
pub use rename::rename;
pub use renew::{Wake, renew};
pub use repair::repair;
pub use repin::repin;
pub use resume::resume;
pub use retry::retry;
pub use shift::{Shift, shift};
pub use signal::signal;
pub use start::start;
pub use step::step;
pub use submit::{submit, submit_child};
pub use suspend::suspend;
pub use time_out::time_out;
