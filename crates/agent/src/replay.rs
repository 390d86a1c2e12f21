//! Replays: running the handler on a past hop, in a sandbox. Recorded steps return their results, no other step runs,
//! and nothing is written.

use std::panic::AssertUnwindSafe;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use baton_envelope::codes;
use baton_envelope::{AgentName, Envelope, Json, OBJECT_LIMIT, ProtocolRange, Timestamp};
use baton_jetstream::{Error, REPLAY_TIME, ReplayAnswer, ReplayCall, ReplayRequest, WorkerMesh};
use futures::FutureExt as _;
use tokio::sync::Semaphore;

use crate::fault::{Fault, FaultKind};
use crate::given::OwnView;
use crate::handler::AnyHandler;
use crate::hop::{Hop, HopClock, Journal};
use crate::outcome::{Outcome, OutcomeKind};
use crate::polled::panic_text;
use crate::run::WorkerContext;
use crate::sandbox::{Log, Sandbox};

/// How many replays run at once, beside the worker's own hops.
const AT_A_TIME: usize = 4;
/// How long a handler may take: the answer must arrive before the caller gives up.
const HANDLER_TIME: Duration = REPLAY_TIME.saturating_sub(Duration::from_secs(2));

/// Answers replays for as long as it lives; dropping it drops running replays, too.
#[derive(Debug)]
pub(crate) struct Replays {
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Replays {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Replays {
    /// Joins the workers of a version that answer replays.
    pub(crate) async fn serve(mesh: &WorkerMesh, shared: &WorkerContext) -> Result<Self, Error> {
        let mut calls = mesh.serve_replays(&shared.agent, &shared.version).await?;
        let (agent, handler) = (shared.agent.clone(), Arc::clone(&shared.handler));
        let largest = mesh.largest_message().max(OBJECT_LIMIT);
        let (protocol, own_view) = (shared.protocol, Arc::clone(&shared.own_view));
        let mesh = mesh.clone();
        let task = tokio::spawn(async move {
            // In the set, so that they end with this task. A panic is caught around the handler.
            let mut running = tokio::task::JoinSet::new();
            let slots = Arc::new(Semaphore::new(AT_A_TIME));
            while let Some(call) = calls.next().await {
                while running.try_join_next().is_some() {}
                let Ok(slot) = Arc::clone(&slots).acquire_owned().await else {
                    return;
                };
                let (mesh, agent, handler) = (mesh.clone(), agent.clone(), Arc::clone(&handler));
                let given = (protocol, largest, Arc::clone(&own_view));
                running.spawn(async move {
                    answer(call, (&mesh, &agent), given, &*handler).await;
                    drop(slot);
                });
            }
        });
        Ok(Self { task })
    }
}

async fn answer(
    call: ReplayCall,
    (mesh, agent): (&WorkerMesh, &AgentName),
    (protocol, largest, own_view): (ProtocolRange, usize, Arc<OwnView>),
    handler: &dyn AnyHandler,
) {
    let answer = match call.read() {
        Ok(request) if request.envelope.to == *agent => {
            let replay = async {
                match received(mesh, request).await {
                    Ok(request) => replay(request, mesh, (protocol, largest, own_view), handler).await,
                    Err(error) => ReplayAnswer::refused(error.code(), error.to_string()),
                }
            };
            let replay = tokio::time::timeout(HANDLER_TIME, replay);
            replay.await.unwrap_or_else(|_| {
                let message = format!("the handler took longer than {} s", HANDLER_TIME.as_secs());
                ReplayAnswer::refused(codes::REPLAY_TIMED_OUT, message)
            })
        }
        Ok(request) => {
            let message = format!(
                "the envelope is for agent \"{}\", not for \"{agent}\"",
                request.envelope.to
            );
            ReplayAnswer::refused(codes::WRONG_AGENT, message)
        }
        Err(unreadable) => *unreadable,
    };
    call.answer(&answer).await;
}

/// The request with the payload, also where that is an object.
async fn received(mesh: &WorkerMesh, mut request: ReplayRequest) -> Result<ReplayRequest, Error> {
    if let Some(payload) = request.envelope.payload_ref.clone() {
        let body = mesh.body_of(request.envelope.root(), &payload).await?;
        request.envelope = request.envelope.with_payload(body);
    }
    Ok(request)
}

/// Runs a handler on a past hop.
async fn replay(
    request: ReplayRequest,
    mesh: &WorkerMesh,
    (protocol, largest, own_view): (ProtocolRange, usize, Arc<OwnView>),
    handler: &dyn AnyHandler,
) -> ReplayAnswer {
    let sandbox = Arc::new(Sandbox::default());
    let mut hop = Hop {
        envelope: Arc::new(request.envelope),
        attempt: request.attempt,
        // No holder has this epoch: a system that gets it can only refuse it as too old.
        epoch: 0,
        journal: Journal::Sandbox(Arc::clone(&sandbox)),
        steps: request.steps,
        waits: request.waits,
        suspended: None,
        without: None,
        groups: Arc::default(),
        own_view,
        clock: HopClock::Fixed(Timestamp::default()),
        version: None,
        mesh: Some(mesh.clone()),
        caps: None,
        context: None,
        joined: Vec::new(),
        recalled: 0,
        signals_sent: 0,
        calls: Default::default(),
        protocol,
        largest,
        remains: OnceLock::new(),
        cancelled: Default::default(),
    };
    let ended = AssertUnwindSafe(handler.run(&mut hop)).catch_unwind().await;
    let log = sandbox.take_log();
    let answer = match ended {
        Ok(Ok(outcome)) => of_outcome(outcome, hop.envelope()),
        Ok(Err(fault)) => of_fault(fault, &log),
        Err(panic) => of_fault(Fault::retry(panic_text(panic.as_ref())).with_code(codes::PANIC), &log),
    };
    ReplayAnswer {
        new_steps: log.new_steps,
        ..answer
    }
}

fn of_outcome(outcome: Outcome, envelope: &Envelope) -> ReplayAnswer {
    let named = |outcome: &str| ReplayAnswer {
        outcome: outcome.to_owned(),
        ..ReplayAnswer::default()
    };
    match outcome.kind.placed(envelope) {
        OutcomeKind::Complete(result) => ReplayAnswer {
            result: Some(result.json),
            message: outcome.note,
            ..named("complete")
        },
        OutcomeKind::HandOff { to, payload, kind, .. } => ReplayAnswer {
            to: Some(to.to_string()),
            payload: Some(payload.json),
            kind,
            message: outcome.note,
            ..named("hand_off")
        },
        OutcomeKind::FanOut(spec) => ReplayAnswer {
            to: spec.onward.and_then(|onward| onward.to).map(|to| to.to_string()),
            payload: spec.children.and_then(|children| Json::of(&children).ok()),
            message: outcome.note,
            ..named("fan_out")
        },
        OutcomeKind::Broadcast(message) => ReplayAnswer {
            to: Some(message.channel.to_string()),
            payload: Some(message.payload.json),
            kind: message.kind,
            message: outcome.note,
            ..named("broadcast")
        },
        OutcomeKind::Reject { code, reason } => ReplayAnswer {
            code: Some(code),
            message: Some(reason),
            ..named("reject")
        },
    }
}

fn of_fault(fault: Fault, log: &Log) -> ReplayAnswer {
    let outcome = match fault.kind {
        _ if log.refused && fault.code == codes::REPLAY_UNSUPPORTED => "refused",
        _ if !log.new_steps.is_empty() && fault.code == codes::NEW_STEP => "new_step",
        // A replay spends nothing, so nothing is refused there.
        FaultKind::Terminal | FaultKind::Exhausted(_) | FaultKind::Capped(_) => "fail",
        FaultKind::Retry(_) | FaultKind::Fenced | FaultKind::Unwritten | FaultKind::Suspended => "retry",
    };
    ReplayAnswer {
        outcome: outcome.to_owned(),
        code: Some(fault.code),
        message: Some(fault.message),
        ..ReplayAnswer::default()
    }
}
