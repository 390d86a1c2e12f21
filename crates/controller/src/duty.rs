//! What a controller does for as long as it runs: the trait, and the form in which a list holds duties of different
//! types.
//!
//! A new duty is a type that implements [`Duty`], and one line in the list in `run.rs`.

mod answers;
mod archive_index;
mod leaderless;
mod lease;
mod ledger;
mod spaces;
mod told;
mod upkeep;

use std::fmt;

use futures::future::BoxFuture;

use crate::context::Context;

pub(crate) use answers::Answers;
pub(crate) use archive_index::{ArchiveIndex, over};
pub(crate) use lease::KeepLease;
pub(crate) use ledger::FollowLedger;
pub(crate) use spaces::FollowSpaces;
pub(crate) use upkeep::Upkeep;

/// Something a controller does from start to stop.
pub(crate) trait Duty: Send + Sized + 'static {
    /// Its name in logs and errors.
    const NAME: &'static str;

    /// Runs until [`Context::stops`] says to stop. It logs failures of the server and tries again. A duty that ends on
    /// its own ends the controller, because a controller that does only part of its work would look healthy.
    fn run(self, cx: Context) -> impl Future<Output = ()> + Send;
}

/// Work with a name but without a type, so that a list can hold it. Nothing runs before it is spawned.
pub(crate) struct Task {
    pub(crate) name: &'static str,
    pub(crate) work: BoxFuture<'static, ()>,
}

impl fmt::Debug for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Task").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Prepares a duty to be spawned.
pub(crate) fn duty<D: Duty>(duty: D, cx: &Context) -> Task {
    Task {
        name: D::NAME,
        work: Box::pin(duty.run(cx.clone())),
    }
}
