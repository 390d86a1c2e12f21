//! Which version of an agent takes new work: reading routes, following them, and changing them; and how loaded each is.

mod breakers;
mod catch_up;
mod changes;
mod follow;
mod load;
mod read;

pub use follow::RouteFollower;
pub use read::Placed;
