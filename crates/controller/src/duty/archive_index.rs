//! The index of the archive: it takes what is newly archived.

use crate::context::Context;
use crate::duty::Duty;

/// Follows the archive.
#[derive(Debug)]
pub(crate) struct ArchiveIndex;

impl Duty for ArchiveIndex {
    const NAME: &'static str = "archive index";

    async fn run(self, cx: Context) {
        cx.until_stopped(cx.projection.follow_archive()).await;
    }
}
