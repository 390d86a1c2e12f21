//! The lease: one controller of a mesh leads.

use crate::context::Context;
use crate::duty::Duty;

/// Sees to it that the lease is given up before this controller ends, so that another need not wait for it to run out.
/// The task that renews it belongs to [`Context::leadership`].
#[derive(Debug)]
pub(crate) struct KeepLease;

impl Duty for KeepLease {
    const NAME: &'static str = "lease";

    async fn run(self, cx: Context) {
        cx.leadership.clone().over().await;
    }
}
