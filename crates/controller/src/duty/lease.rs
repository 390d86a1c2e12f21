//! The lease: one controller of a mesh leads.

use crate::context::Context;
use crate::duty::Duty;

/// Makes sure that this controller gives up the lease before it ends, so that another need not wait for it to run out.
/// The task that renews the lease belongs to [`Context::leadership`].
#[derive(Debug)]
pub(crate) struct KeepLease;

impl Duty for KeepLease {
    const NAME: &'static str = "lease";

    async fn run(self, cx: Context) {
        cx.leadership.clone().over().await;
    }
}
