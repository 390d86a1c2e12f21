//! What a controller does for as long as it runs: the trait, and how a list holds duties of different types.
//!
//! A new duty is a type that implements [`Duty`], and one line in the list in `run.rs`.

mod archive_index;
mod lease;
mod ledger;

use std::fmt;

use futures::future::BoxFuture;

use crate::context::Context;

pub(crate) use archive_index::{ArchiveIndex, over};
pub(crate) use lease::KeepLease;
pub(crate) use ledger::FollowLedger;

/// Something that a controller does from its start to its stop.
pub(crate) trait Duty: Send + Sized + 'static {
    /// What logs and errors call it.
    const NAME: &'static str;

    /// Does it until [`Context::stops`] says to stop. Failures of the server are logged and tried again: a duty that
    /// ends by itself ends the controller, because one that does only half of its work would look healthy.
    fn run(self, cx: Context) -> impl Future<Output = ()> + Send;
}

/// Work with a name and without a type, so that a list can hold it. Nothing runs before it is spawned.
pub(crate) struct Task {
    pub(crate) name: &'static str,
    pub(crate) work: BoxFuture<'static, ()>,
}

impl fmt::Debug for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Task").field("name", &self.name).finish_non_exhaustive()
    }
}

/// A duty, ready to be spawned.
pub(crate) fn duty<D: Duty>(duty: D, cx: &Context) -> Task {
    Task {
        name: D::NAME,
        work: Box::pin(duty.run(cx.clone())),
    }
}
