//! What the schedules need of every controller: when one fires, whether it can be, and the one intent of a firing.
//!
//! The leader makes what is due ([`rounds`](crate::rounds)); any controller answers questions and makes what somebody asks
//! for. All of it may be repeated: the id of a firing's intent follows from the firing.

mod checks;
mod make;
mod timetable;

pub(crate) use checks::check;
#[cfg(test)]
pub(crate) use checks::tests::schedule;
pub(crate) use make::{Made, is_open, make};
pub(crate) use timetable::Timetable;
