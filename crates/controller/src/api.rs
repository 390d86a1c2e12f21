//! The API: answers what operators ask. Every controller answers; a decision is a compare-and-set on the route, so it
//! does not matter which.

mod agents;
mod archive;
mod explain;
mod moves;
mod preflight;
mod replays;
mod rollouts;

use baton_jetstream::Error;
use baton_jetstream::control::{ControlError, ControlRequest, verb};
use serde::Serialize;

use crate::backoff::Backoff;
use crate::context::Context;
use crate::duty::Duty;

/// Answers questions until told to stop.
#[derive(Debug)]
pub(crate) struct Api;

impl Duty for Api {
    const NAME: &'static str = "api";

    async fn run(self, cx: Context) {
        cx.until_stopped(listen(&cx)).await;
    }
}

async fn listen(cx: &Context) {
    let mut backoff = Backoff::for_server();
    loop {
        match cx.mesh.serve_control().await {
            Ok(mut requests) => {
                backoff.reset();
                while let Some(request) = requests.next().await {
                    let (of, kill) = (cx.clone(), cx.stops.kill.clone());
                    // In a task of its own: a move of much work must not keep a rollback waiting.
                    // Cut off, a move may leave a version shut; the leader opens it.
                    cx.stops
                        .tracker
                        .spawn(async move { kill.run_until_cancelled(Box::pin(answer(of, request))).await });
                }
            }
            Err(error) => tracing::warn!(%error, "questions cannot be heard, trying again"),
        }
        backoff.wait(&cx.mesh).await;
    }
}

async fn answer(cx: Context, request: ControlRequest) {
    let verb = request.verb.clone();
    let cx = &cx;
    match verb.as_str() {
        verb::AGENTS => reply(request, async |asked| agents::list(cx, asked).await).await,
        verb::QUARANTINE => reply(request, async |asked| agents::quarantine(cx, asked).await).await,
        verb::LIFT => reply(request, async |asked| agents::lift(cx, asked).await).await,
        verb::RETIRE => reply(request, async |asked| agents::retire(cx, asked).await).await,
        verb::SET_ROUTE => reply(request, async |asked| agents::set_route(cx, asked).await).await,
        verb::SET_PINNING => reply(request, async |asked| agents::set_pinning(cx, asked).await).await,
        verb::PLAN => reply(request, async |asked| preflight::plan(cx, asked).await).await,
        verb::START => reply(request, async |asked| rollouts::start(cx, asked).await).await,
        verb::STATUS => reply(request, async |asked| rollouts::status(cx, asked).await).await,
        verb::PROMOTE => reply(request, async |asked| rollouts::promote(cx, asked).await).await,
        verb::PAUSE => reply(request, async |asked| rollouts::pause(cx, asked).await).await,
        verb::RESUME => reply(request, async |asked| rollouts::resume(cx, asked).await).await,
        verb::ABORT => reply(request, async |asked| rollouts::abort(cx, asked).await).await,
        verb::ROLLBACK => reply(request, async |asked| rollouts::rollback(cx, asked).await).await,
        verb::HISTORY => reply(request, async |asked| rollouts::history(cx, asked).await).await,
        verb::MOVE => reply(request, async |asked| moves::carry(cx, asked).await).await,
        verb::ARCHIVE_FIND => reply(request, async |asked| archive::find(cx, asked).await).await,
        verb::ARCHIVE_LIST => reply(request, async |asked| archive::list(cx, asked).await).await,
        verb::ARCHIVE_STATUS => reply(request, async |asked| archive::status(cx, asked).await).await,
        verb::EXPLAIN => reply(request, async |asked| explain::explain(cx, asked).await).await,
        other => {
            let error = refusal("BAD_REQUEST", &format!("there is nothing to ask as \"{other}\""), "");
            request.answer::<()>(Err(&error)).await;
        }
    }
}

async fn reply<Q: serde::de::DeserializeOwned, A: Serialize + Sync>(
    request: ControlRequest,
    work: impl AsyncFnOnce(Q) -> Result<A, Error>,
) {
    let outcome = match request.read() {
        Ok(question) => work(question).await.map_err(as_control),
        Err(error) => Err(error),
    };
    if let Err(error) = &outcome {
        tracing::info!(verb = request.verb, code = error.code, "refused: {}", error.message);
    }
    request.answer(outcome.as_ref()).await;
}

fn refusal(code: &str, message: &str, fix: &str) -> ControlError {
    ControlError {
        code: code.to_owned(),
        message: message.to_owned(),
        fix: fix.to_owned(),
    }
}

/// An error as it is answered: with a code to branch on, and what to do.
fn as_control(error: Error) -> ControlError {
    let text = error.to_string();
    if let Error::Control(error) = error {
        return error;
    }
    if let Error::Decision(refused) = error {
        return refusal(refused.code, &refused.message, &refused.fix);
    }
    if let Error::UnknownAgent { .. } = error {
        return refusal("UNKNOWN_AGENT", &text, "`baton agents list` shows the agents");
    }
    if let Error::NoIntent(_) = error {
        return refusal("NOT_FOUND", &text, "`baton intents list` shows the intents");
    }
    if let Error::Unroutable(_) | Error::NoneCapable { .. } = error {
        return refusal(
            "UNROUTABLE",
            &text,
            "`baton agents list` shows what each version can do",
        );
    }
    refusal("FAILED", &text, "try again; `baton doctor` checks the mesh")
}
