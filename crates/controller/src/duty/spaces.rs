//! Feeds the index of the spaces with what is written there.

use crate::context::Context;
use crate::duty::Duty;

/// Follows the spaces.
#[derive(Debug)]
pub(crate) struct FollowSpaces;

impl Duty for FollowSpaces {
    const NAME: &'static str = "index of the spaces";

    async fn run(self, cx: Context) {
        cx.until_stopped(cx.projection.follow_memories()).await;
    }
}
