//! Which version of an agent takes new work: reading routes, following them, and changing them; and how loaded each is.

mod changes;
mod load;
mod table;

pub use table::RouteFollower;
