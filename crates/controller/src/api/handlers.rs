//! Maps each question to its handler. A handler is an async function from the context and a question to the answer, or
//! to an error that [`refusal`](super::refusal) turns into a refusal.

use baton_envelope::control::{ControlError, Question, Reply};
use baton_jetstream::Error;
use baton_jetstream::control::ControlRequest;
use futures::future::BoxFuture;

use crate::api::identity::admit;
use crate::api::refusal::refusal;
use crate::context::Context;

/// A function that answers a question.
pub(super) trait Handler<'a, Q: Question>: Copy + Send + Sync + 'static {
    /// Answers the question.
    fn call(self, cx: &'a Context, question: Q) -> impl Future<Output = Result<Q::Answer, Error>> + Send + 'a;
}

impl<'a, Q, F, Answering> Handler<'a, Q> for F
where
    Q: Question,
    F: Fn(&'a Context, Q) -> Answering + Copy + Send + Sync + 'static,
    Answering: Future<Output = Result<Q::Answer, Error>> + Send + 'a,
{
    fn call(self, cx: &'a Context, question: Q) -> impl Future<Output = Result<Q::Answer, Error>> + Send + 'a {
        self(cx, question)
    }
}

/// Reads a question, calls its handler and sends the reply.
type Answer = Box<dyn for<'a> Fn(&'a Context, ControlRequest) -> BoxFuture<'a, ()> + Send + Sync>;

/// The handlers, each with its verb, in order of registration.
#[derive(Default)]
pub(super) struct Handlers(Vec<(&'static str, Answer)>);

impl Handlers {
    /// Registers the handler of the question `Q`.
    #[must_use]
    pub(super) fn on<Q: Question>(mut self, handler: impl for<'a> Handler<'a, Q>) -> Self {
        let answer: Answer = Box::new(move |cx, request| Box::pin(answer(cx, request, handler)));
        self.0.push((Q::VERB, answer));
        self
    }

    /// Answers any request.
    pub(super) async fn answer(&self, cx: &Context, request: ControlRequest) {
        match self.0.iter().find(|(verb, _)| *verb == request.verb) {
            Some((_, answer)) => answer(cx, request).await,
            None => {
                let error = ControlError::unknown_verb(&request.verb);
                request.answer(&Reply::<()>::Error(error)).await;
            }
        }
    }

    /// The verbs with a handler.
    #[cfg(test)]
    pub(super) fn verbs(&self) -> Vec<&'static str> {
        self.0.iter().map(|(verb, _)| *verb).collect()
    }
}

async fn answer<'a, Q: Question>(cx: &'a Context, request: ControlRequest, handler: impl Handler<'a, Q>) {
    let outcome = match admit::<Q>(cx, &request) {
        Ok(question) => handler.call(cx, question).await.map_err(refusal),
        Err(error) => Err(error),
    };
    let reply = match outcome {
        Ok(answer) => Reply::Ok(answer),
        Err(error) => {
            tracing::info!(verb = request.verb, code = error.code, "refused: {}", error.message);
            Reply::Error(error)
        }
    };
    request.answer(&reply).await;
}
