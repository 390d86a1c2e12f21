//! Answers submitters in a secured mesh.

use crate::backoff::Backoff;
use crate::context::Context;
use crate::duty::Duty;

/// Answers for whoever writes the last record of an intent. In an open mesh they answer themselves.
#[derive(Debug)]
pub(crate) struct Answers;

impl Duty for Answers {
    const NAME: &'static str = "answers";

    async fn run(self, cx: Context) {
        cx.until_stopped(Box::pin(answer(&cx))).await;
    }
}

async fn answer(cx: &Context) {
    if cx.account.is_none() {
        return std::future::pending().await;
    }
    let mut backoff = Backoff::for_server();
    loop {
        if let Err(error) = cx.mesh.answer_all().await {
            tracing::warn!(%error, "cannot listen for records to answer, trying again");
        }
        backoff.wait(&cx.mesh).await;
    }
}
