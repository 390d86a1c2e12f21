//! Runs the same work for each agent, several at a time.

use std::sync::Arc;

use baton_envelope::Route;
use futures::StreamExt as _;

use crate::rounds::error::RoundError;

/// How many agents to handle at the same time.
const AT_ONCE: usize = 8;

/// Runs `work` for each agent and returns the first failure. An agent that fails or waits does not delay the others.
pub(crate) async fn each<'r, F>(routes: &'r [Arc<Route>], work: impl Fn(&'r Route) -> F) -> Result<(), RoundError>
where
    F: Future<Output = Result<(), RoundError>> + Send,
{
    let named = routes.iter().map(|route| {
        let (agent, work) = (&route.agent, work(route));
        async move {
            work.await.map_err(|error| {
                tracing::debug!(%error, %agent, "a round failed for an agent");
                error.of(agent)
            })
        }
    });
    let named: Vec<_> = named.collect();
    let mut done = futures::stream::iter(named).buffer_unordered(AT_ONCE);
    let mut first = Ok(());
    while let Some(result) = done.next().await {
        first = first.and(result);
    }
    first
}
