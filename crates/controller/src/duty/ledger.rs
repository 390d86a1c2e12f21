//! Feeds the projection with new records of the ledger.

use crate::context::Context;
use crate::duty::Duty;

/// Follows the ledger.
#[derive(Debug)]
pub(crate) struct FollowLedger;

impl Duty for FollowLedger {
    const NAME: &'static str = "projection";

    async fn run(self, cx: Context) {
        cx.until_stopped(cx.projection.follow_ledger()).await;
    }
}
