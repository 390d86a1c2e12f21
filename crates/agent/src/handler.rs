//! The code of an agent.

use baton_envelope::codes;
use std::future::Future;

use futures::future::BoxFuture;
use serde::de::DeserializeOwned;

use crate::fault::Fault;
use crate::hop::Hop;
use crate::outcome::Outcome;

/// The code of an agent: turns one hop into an outcome.
///
/// The future may be dropped at any await: when the worker was told to stop and the grace time is over, when the deadline
/// has passed, or a second after the hop was taken away, of which [`Hop::cancelled`] tells. Put what must not happen twice
/// into [`Hop::step`].
///
/// It must not block its thread for long (`tokio::task::spawn_blocking` is for that). One that does keeps its delivery: the
/// worker says so in the log, and a thread of its own extends it over a second connection. But it hears of no deadline and
/// no stop, and as many of them as the runtime has threads let nothing else run until the worker has noticed, which takes
/// some 6 s; tickets that came in these go to another worker.
pub trait Handler: Send + Sync + 'static {
    /// The payload's type; [`Json`](crate::Json) takes it unparsed.
    type Input: DeserializeOwned + Send;

    /// Runs one hop.
    fn handle(&self, hop: &mut Hop, input: Self::Input) -> impl Future<Output = Result<Outcome, Fault>> + Send;
}

/// A handler with its types erased.
pub(crate) trait AnyHandler: Send + Sync {
    fn run<'a>(&'a self, hop: &'a mut Hop) -> BoxFuture<'a, Result<Outcome, Fault>>;
}

impl<H: Handler> AnyHandler for H {
    fn run<'a>(&'a self, hop: &'a mut Hop) -> BoxFuture<'a, Result<Outcome, Fault>> {
        Box::pin(async move {
            let input = hop.payload().read::<H::Input>().map_err(|error| {
                Fault::terminal(
                    codes::BAD_PAYLOAD,
                    format!("the payload is not what this agent takes: {error}"),
                )
            })?;
            self.handle(hop, input).await
        })
    }
}
