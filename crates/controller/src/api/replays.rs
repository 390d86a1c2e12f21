//! Replays the active version's last hops on the new version in a sandbox: recorded steps answer, nothing is written,
//! and each result is compared with the committed one.

use std::collections::BTreeMap;

use baton_envelope::control::{Difference, ReplayView};
use baton_envelope::{AgentVersion, Envelope, Event, IntentId, Json, Record, Route, WaitResult};
use baton_jetstream::{Error, Head, ReplayAnswer, ReplayRequest};

use crate::context::Context;

/// How many characters of a differing value to show.
const SHOWN: usize = 200;

/// A committed hop: its envelope, its recorded steps, and its commit.
struct Done {
    envelope: Envelope,
    attempt: u32,
    steps: BTreeMap<String, Json>,
    waits: BTreeMap<String, WaitResult>,
    commit: Record,
}

pub(super) async fn replay(
    cx: &Context,
    route: &Route,
    version: &AgentVersion,
    count: u32,
) -> Result<ReplayView, Error> {
    let agent = &route.agent;
    let wanted = usize::try_from(count).unwrap_or(usize::MAX);
    let mut view = ReplayView {
        asked: count,
        ..ReplayView::default()
    };
    for (intent, hop, seq) in cx.projection.last_done(agent, &route.active, wanted).await? {
        let Some(done) = Box::pin(done(cx, &intent, hop, seq)).await? else {
            continue;
        };
        let request = ReplayRequest {
            envelope: done.envelope.clone(),
            attempt: done.attempt,
            steps: done.steps.clone(),
            waits: done.waits.clone(),
        };
        let answer = cx.mesh.replay(agent, version, &request).await?;
        if answer.outcome == "refused" {
            view.refused = answer.message;
            break;
        }
        let differences = compare(&intent, hop, &done.commit, &answer);
        view.replayed += 1;
        view.same += u32::from(differences.is_empty());
        view.differences.extend(differences);
    }
    Ok(view)
}

/// A committed hop, from its history; `None` if the history is gone.
async fn done(cx: &Context, intent: &IntentId, hop: u32, seq: u64) -> Result<Option<Done>, Error> {
    let history: Vec<Head> = cx.mesh.trail(intent).await?;
    let mut envelope = None;
    let (mut steps, mut waits) = (BTreeMap::new(), BTreeMap::new());
    let mut attempt = 1;
    for head in history {
        let record = head.record;
        if head.seq == seq {
            let Some(envelope) = envelope else { return Ok(None) };
            return Ok(Some(Done {
                envelope,
                attempt,
                steps,
                waits,
                commit: with_content(cx, record).await?,
            }));
        }
        if record.snapshot.hop == hop {
            attempt = record.snapshot.attempt;
            if let Some(step) = record.step {
                let result = match &step.result_ref {
                    Some(object) => {
                        let tree = record.snapshot.root.as_ref().unwrap_or(intent);
                        Box::pin(cx.mesh.body_of(tree, object)).await?.json
                    }
                    None => step.result,
                };
                steps.insert(step.name, result);
            }
            waits.extend(record.results.into_iter().map(|result| (result.name.clone(), result)));
        }
        if let Some(found) = record.envelope.filter(|envelope| envelope.hop == hop) {
            envelope = Some(*found);
        }
    }
    Ok(None)
}

/// The record with what it hands on or came to, also where that is an object: a replay answers with the content.
async fn with_content(cx: &Context, mut record: Record) -> Result<Record, Error> {
    if let Some(next) = record.envelope.take() {
        record.envelope = Some(match &next.payload_ref {
            Some(payload) => {
                let body = cx.mesh.body_of(next.root(), payload).await?;
                Box::new(next.with_payload(body))
            }
            None => next,
        });
    }
    if record.snapshot.result_ref.is_some() {
        let body = cx.mesh.result_body(&record.intent, &record.snapshot).await?;
        record.snapshot.result = body.map(|body| body.json);
    }
    Ok(record)
}

fn compare(intent: &IntentId, hop: u32, commit: &Record, answer: &ReplayAnswer) -> Vec<Difference> {
    let mut found = Vec::new();
    let mut differ = |what: &str, old: String, new: String| {
        found.push(Difference {
            intent: intent.clone(),
            hop,
            what: what.to_owned(),
            old: shown(&old),
            new: shown(&new),
        });
    };
    for step in &answer.new_steps {
        differ("step", "not recorded".to_owned(), format!("wants to run \"{step}\""));
    }
    let (outcome, to, value) = match (&commit.event, &commit.envelope) {
        (Event::HandedOff, Some(next)) => ("hand_off", Some(next.to.to_string()), Some(next.payload.clone())),
        (Event::Completed, _) => ("complete", None, commit.snapshot.result.clone()),
        (event, _) => (event.name(), None, None),
    };
    if answer.outcome != outcome {
        let said = [answer.code.clone(), answer.message.clone()].into_iter().flatten();
        let said: Vec<String> = std::iter::once(answer.outcome.clone()).chain(said).collect();
        differ("outcome", outcome.to_owned(), said.join(": "));
        return found;
    }
    // Who has the capability and the least load depends on the moment, so a difference means nothing.
    let by_capability = answer.to.as_ref().is_some_and(|to| to.starts_with("capability "));
    if answer.to != to && !by_capability {
        differ("to", to.unwrap_or_default(), answer.to.clone().unwrap_or_default());
    }
    let answered = if outcome == "complete" {
        &answer.result
    } else {
        &answer.payload
    };
    let (old, new) = (value.unwrap_or_default(), answered.clone().unwrap_or_default());
    if !old.same_meaning(&new) {
        let what = if outcome == "complete" { "result" } else { "payload" };
        differ(what, old.get().to_owned(), new.get().to_owned());
    }
    found
}

fn shown(text: &str) -> String {
    let mut short: String = text.chars().take(SHOWN).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    short
}
