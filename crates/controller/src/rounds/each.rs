//! The same for each agent, some at a time.

use std::sync::Arc;

use baton_envelope::Route;
use futures::StreamExt as _;

use crate::rounds::error::RoundError;

/// How many agents are looked after at the same time.
const AT_ONCE: usize = 8;

/// Does what is to be done for each agent, and gives the first failure. An agent that fails, or waits for an answer, does
/// not keep the others waiting.
pub(crate) async fn each<'r, F>(routes: &'r [Arc<Route>], work: impl Fn(&'r Route) -> F) -> Result<(), RoundError>
where
    F: Future<Output = Result<(), RoundError>> + Send,
{
    let named = routes.iter().map(|route| {
        let (agent, work) = (&route.agent, work(route));
        async move {
            work.await.map_err(|error| {
                tracing::debug!(%error, %agent, "an agent cannot be looked after now");
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
