//! The work of manual versions: listed, taken, and each step of whoever does it by hand.

use std::cmp::Reverse;
use std::time::Duration;

use baton_envelope::codes;
use baton_envelope::control::{
    AcceptWork, CompleteWork, ControlError, FailWork, HandOffWork, ListWork, NoteWork, RejectWork, ReleaseWork,
    StartWork, TakeWork, WorkDone, WorkItem, WorkTaken, WorkView,
};
use baton_envelope::{AgentName, AgentVersion, Body, Envelope, ErrorInfo, HandStep, IntentId, Json, Snapshot, Status};
use baton_jetstream::{Error, HandedOn, Head, Worked};
use futures::StreamExt as _;

use crate::context::Context;

/// How long the projection may take to catch up, so that everybody finds what was just put before an agent.
const CATCH_UP: Duration = Duration::from_secs(5);
/// The most that a list has.
const MOST: usize = 1_000;
/// How many envelopes to read at the same time.
const AT_ONCE: usize = 16;
/// How much of a task a list shows, in characters.
const LONGEST_TASK: usize = 500;

pub(super) async fn list(cx: &Context, asked: ListWork) -> Result<WorkView, Error> {
    let agent = asked.agent;
    let heads = by_urgency(cx, agent.clone()).await?;
    if heads.is_empty() {
        known(cx, agent.as_ref()).await?;
    }
    let matched = u64::try_from(heads.len()).unwrap_or(u64::MAX);
    let shown = heads.into_iter().take(asked.limit.min(MOST));
    let items = futures::stream::iter(shown).map(|head| async move {
        match cx.mesh.envelope_of(&head).await {
            Ok(envelope) => Ok(item(&head, Some(&envelope))),
            // What cannot be read is still listed.
            Err(Error::NoEnvelope(_) | Error::NoneReadable { .. }) => Ok(item(&head, None)),
            Err(error) => Err(error),
        }
    });
    let items: Vec<Result<Option<WorkItem>, Error>> = items.buffered(AT_ONCE).collect().await;
    let work = items
        .into_iter()
        .filter_map(Result::transpose)
        .collect::<Result<_, _>>()?;
    Ok(WorkView { work, matched })
}

pub(super) async fn take(cx: &Context, asked: TakeWork) -> Result<WorkTaken, Error> {
    let TakeWork {
        agent,
        estimate_ms,
        within_ms,
        by,
    } = asked;
    for head in by_urgency(cx, agent.clone()).await? {
        let snapshot = &head.record.snapshot;
        if snapshot.status != Status::Pending || may_take(cx, snapshot).await.is_err() {
            continue;
        }
        match accepted(cx, &head.record.intent, (estimate_ms, within_ms), &by).await {
            // Somebody else was faster, or it has ended.
            Err(Error::WrongStatus { .. } | Error::Raced(_)) => {}
            taken => return taken,
        }
    }
    known(cx, agent.as_ref()).await?;
    let of = agent.map_or_else(|| "any manual agent".to_owned(), |agent| agent.to_string());
    let message = format!("no work waits for {of}");
    Err(ControlError::new(
        codes::NOT_FOUND,
        message,
        "`baton work list` shows what is under way, too",
    )
    .into())
}

pub(super) async fn accept(cx: &Context, asked: AcceptWork) -> Result<WorkTaken, Error> {
    let AcceptWork {
        intent,
        estimate_ms,
        within_ms,
        by,
    } = asked;
    let head = cx.mesh.must_find(&intent).await?;
    may_take(cx, &head.record.snapshot).await?;
    accepted(cx, &intent, (estimate_ms, within_ms), &by).await
}

pub(super) async fn start(cx: &Context, StartWork { intent, by }: StartWork) -> Result<WorkDone, Error> {
    step(cx, &intent, &by, &HandStep::Start, None).await
}

pub(super) async fn progress(cx: &Context, NoteWork { intent, note, by }: NoteWork) -> Result<WorkDone, Error> {
    step(cx, &intent, &by, &HandStep::Progress(note), None).await
}

pub(super) async fn complete(cx: &Context, asked: CompleteWork) -> Result<WorkDone, Error> {
    let CompleteWork {
        intent,
        result,
        result_encoding,
        note,
        by,
    } = asked;
    let result = body(result, result_encoding, "result")?;
    step(cx, &intent, &by, &HandStep::Complete(result, note), None).await
}

pub(super) async fn reject(cx: &Context, asked: RejectWork) -> Result<WorkDone, Error> {
    let RejectWork {
        intent,
        reason,
        code,
        by,
    } = asked;
    step(cx, &intent, &by, &HandStep::Reject(error(code, reason)), None).await
}

pub(super) async fn fail(cx: &Context, asked: FailWork) -> Result<WorkDone, Error> {
    let FailWork {
        intent,
        reason,
        code,
        by,
    } = asked;
    step(cx, &intent, &by, &HandStep::Fail(error(code, reason)), None).await
}

pub(super) async fn hand_off(cx: &Context, asked: HandOffWork) -> Result<WorkDone, Error> {
    let HandOffWork {
        intent,
        to,
        payload,
        payload_encoding,
        kind,
        note,
        by,
    } = asked;
    let onward = HandedOn {
        to,
        payload: body(payload, payload_encoding, "payload")?,
        kind,
        note,
    };
    step(cx, &intent, &by, &HandStep::HandOff, Some(&onward)).await
}

pub(super) async fn release(cx: &Context, asked: ReleaseWork) -> Result<WorkDone, Error> {
    let ReleaseWork { intent, reason, by } = asked;
    step(cx, &intent, &by, &HandStep::Release(reason), None).await
}

async fn step(
    cx: &Context,
    intent: &IntentId,
    by: &str,
    step: &HandStep,
    onward: Option<&HandedOn>,
) -> Result<WorkDone, Error> {
    let Worked { was, head } = cx.mesh.work_by_hand(intent, by, step, onward).await?;
    let snapshot = &head.record.snapshot;
    tracing::info!(%intent, by, step = step.name(), status = %snapshot.status, "a step by hand");
    let (agent, version) = place(snapshot).ok_or_else(|| Error::NoIntent(intent.clone()))?;
    Ok(WorkDone {
        intent: intent.clone(),
        was,
        status: snapshot.status.to_string(),
        agent,
        version,
        seq: head.seq,
    })
}

async fn accepted(
    cx: &Context,
    intent: &IntentId,
    (estimate_ms, within_ms): (Option<u64>, Option<u64>),
    by: &str,
) -> Result<WorkTaken, Error> {
    let until = within_ms.map(|within| cx.mesh.now().plus(Duration::from_millis(within)));
    let accept = HandStep::Accept { estimate_ms, until };
    let Worked { head, .. } = cx.mesh.work_by_hand(intent, by, &accept, None).await?;
    tracing::info!(%intent, by, "accepted by hand");
    let envelope = cx.mesh.envelope_of(&head).await?;
    let work = item(&head, Some(&envelope)).ok_or_else(|| Error::NoIntent(intent.clone()))?;
    Ok(WorkTaken {
        work,
        seq: head.seq,
        payload: envelope.payload,
        payload_encoding: envelope.payload_encoding,
        payload_ref: envelope.payload_ref,
    })
}

/// Refuses work of a version that may run nothing: it is quarantined, or its work is being moved away.
async fn may_take(cx: &Context, snapshot: &Snapshot) -> Result<(), Error> {
    let Some((agent, version)) = place(snapshot) else {
        return Ok(());
    };
    let route = cx.mesh.route_of(&agent).await?;
    let entry = route.versions.get(&version);
    if let Some(entry) = entry.filter(|entry| entry.is_held_back(cx.mesh.now())) {
        let what = if entry.state.is_paused() {
            format!("is {}", entry.state)
        } else {
            "has its work moved away".to_owned()
        };
        let message = format!("{agent}@{version} {what}, and nobody takes its work");
        let fix = format!("see baton agents describe {agent}");
        return Err(ControlError::new(codes::WRONG_STATE, message, fix).into());
    }
    Ok(())
}

/// The work that is done by hand, the most urgent first; of the same priority, what came first.
/// Whether there is an agent of this name, where one is named: a misspelt name is not the same as no work.
async fn known(cx: &Context, agent: Option<&AgentName>) -> Result<(), Error> {
    match agent {
        Some(agent) => cx.route(agent).await.map(drop),
        None => Ok(()),
    }
}

async fn by_urgency(cx: &Context, agent: Option<AgentName>) -> Result<Vec<Head>, Error> {
    cx.projection.caught_up(CATCH_UP).await?;
    let work = cx.projection.by_hand(agent).await?;
    let mut heads = cx.mesh.heads(&work).await?;
    heads.retain(|head| head.record.snapshot.status.is_workable() && head.record.snapshot.is_by_hand());
    heads.sort_by_key(|head| {
        let snapshot = &head.record.snapshot;
        (Reverse(snapshot.priority), snapshot.envelope_seq.unwrap_or(head.seq))
    });
    Ok(heads)
}

fn place(snapshot: &Snapshot) -> Option<(AgentName, AgentVersion)> {
    snapshot.agent.clone().zip(snapshot.version.clone())
}

fn item(head: &Head, envelope: Option<&Envelope>) -> Option<WorkItem> {
    let snapshot = &head.record.snapshot;
    let (agent, version) = place(snapshot)?;
    let by_hand = snapshot.by_hand();
    Some(WorkItem {
        intent: head.record.intent.clone(),
        status: snapshot.status.name().to_owned(),
        from: envelope.and_then(|envelope| envelope.from.clone()),
        agent,
        version,
        task: envelope.and_then(task),
        kind: snapshot.kind.clone(),
        priority: snapshot.priority,
        since: snapshot.updated_at,
        holder: snapshot.holder.clone(),
        estimate_ms: by_hand.and_then(|by_hand| by_hand.estimate_ms),
        until: snapshot.back_at(),
        deadline: snapshot.deadline,
    })
}

/// What an envelope asks for, in words: its task, else `task` of the payload, else the payload where it is a text.
fn task(envelope: &Envelope) -> Option<String> {
    #[derive(serde::Deserialize)]
    struct Short {
        task: String,
    }
    let asked = envelope
        .task
        .as_ref()
        .and_then(|task| task.ask.clone().or_else(|| task.goal.clone()));
    let is_text = envelope.payload_encoding.is_none();
    let payload = &envelope.payload;
    let text = asked
        .or_else(|| payload.read::<Short>().ok().map(|short| short.task))
        .or_else(|| payload.read::<String>().ok().filter(|_| is_text))?;
    Some(text.chars().take(LONGEST_TASK).collect())
}

fn error(code: Option<String>, reason: String) -> ErrorInfo {
    ErrorInfo::new(code.unwrap_or_else(|| codes::BY_HAND.to_owned()), reason)
}

/// A result or a payload, as a question has it.
fn body(json: Json, encoding: Option<String>, field: &str) -> Result<Body, Error> {
    if encoding.is_some() && Body::bytes(&json, encoding.as_deref()).is_none() {
        let encoding = encoding.unwrap_or_default();
        let message = format!("`{field}_encoding` is \"{encoding}\", and `{field}` is no string of base64");
        return Err(ControlError::new(codes::BAD_REQUEST, message, "give base64 with padding, or leave it out").into());
    }
    Ok(Body { json, encoding })
}
