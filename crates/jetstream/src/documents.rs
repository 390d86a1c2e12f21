//! The plain JSON documents of the control API, the same that `--output json` shows, and of the load reports.

mod agents;
mod archive;
pub(crate) mod load;
mod moves;
mod rollout;
mod route;
pub mod verb;

pub use agents::*;
pub use archive::*;
pub use moves::*;
pub use rollout::*;
pub use route::*;
