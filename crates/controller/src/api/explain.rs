//! Explains which version would take work, and why, with the same functions that route it.

use std::collections::BTreeMap;

use baton_envelope::codes;
use baton_envelope::control::{Candidate, ControlError, ExplainRoute, ExplainView};
use baton_envelope::{AgentName, AgentVersion, Asked, IntentId, PathEntry, Route, Unroutable, choose};
use baton_jetstream::Error;

use crate::context::Context;

/// The parts of an intent that affect its route.
struct Circumstances {
    root: IntentId,
    kind: Option<String>,
    pins: BTreeMap<AgentName, AgentVersion>,
    path: Vec<PathEntry>,
}

impl Circumstances {
    fn asked(&self) -> Asked<'_> {
        Asked {
            root: &self.root,
            kind: self.kind.as_deref(),
            pins: &self.pins,
            path: &self.path,
        }
    }
}

pub(super) async fn explain(cx: &Context, asked: ExplainRoute) -> Result<ExplainView, Error> {
    let about = circumstances(cx, &asked).await?;
    match asked.agent {
        Some(agent) => by_name(cx, &agent, &about).await,
        None if asked.capabilities.is_empty() => Err(ControlError::new(
            codes::BAD_REQUEST,
            "neither an agent nor a capability was named",
            "name one of them",
        )
        .into()),
        None => by_capability(cx, &asked.capabilities, &about).await,
    }
}

async fn circumstances(cx: &Context, asked: &ExplainRoute) -> Result<Circumstances, Error> {
    let Some(intent) = &asked.intent else {
        return Ok(Circumstances {
            // Without an intent, the question is about a new one.
            root: cx.mesh.clock().intent_id(),
            kind: asked.kind.clone(),
            pins: BTreeMap::new(),
            path: Vec::new(),
        });
    };
    let snapshot = match cx.mesh.last_record(intent).await? {
        Some(head) => head.record.snapshot,
        None => return Err(Error::NoIntent(intent.clone())),
    };
    Ok(Circumstances {
        root: snapshot.root.unwrap_or_else(|| intent.clone()),
        kind: asked.kind.clone().or(snapshot.kind),
        pins: snapshot.pins,
        path: snapshot.path,
    })
}

async fn by_name(cx: &Context, agent: &AgentName, about: &Circumstances) -> Result<ExplainView, Error> {
    let route = cx.route(agent).await?;
    let chosen = choose(&route, &about.asked());
    let mut candidates = Vec::new();
    let tickets = cx.mesh.agent_counts(agent).await?;
    for (version, entry) in &route.versions {
        let (able, reason) = match &chosen {
            Ok(choice) if choice.version == *version => (true, choice.why.to_string()),
            Err(Unroutable::Kind { .. }) if route.active == *version => {
                (false, "it is active, and does not take this kind".to_owned())
            }
            Ok(_) | Err(_) => (false, why_not(&route, version, &entry.state.to_string())),
        };
        candidates.push(Candidate {
            agent: agent.clone(),
            version: version.clone(),
            able,
            reason,
            backlog: tickets.get(version).map_or(0, |counts| counts.backlog),
            workers: cx.workers.count(agent, version),
            breaker_open: route.is_withheld(version),
        });
    }
    Ok(match chosen {
        Ok(choice) => ExplainView {
            agent: Some(agent.clone()),
            version: Some(choice.version),
            why: choice.why.to_string(),
            candidates,
        },
        Err(error) => ExplainView {
            agent: None,
            version: None,
            why: error.to_string(),
            candidates,
        },
    })
}

fn why_not(route: &Route, version: &AgentVersion, state: &str) -> String {
    match &route.canary {
        Some(canary) if canary.version == *version => {
            format!(
                "it is the canary, and takes the chains of the buckets below {}",
                canary.percent.get()
            )
        }
        Some(_) | None if route.active == *version => "it is active, and another one comes first".to_owned(),
        Some(_) | None => format!("it is {state}"),
    }
}

async fn by_capability(cx: &Context, needed: &[String], about: &Circumstances) -> Result<ExplainView, Error> {
    let picked = cx.mesh.pick_capable(needed, &about.asked()).await?;
    let candidates = picked
        .candidates
        .into_iter()
        .map(|one| Candidate {
            agent: one.agent,
            version: one.version,
            able: one.able,
            reason: one.reason,
            backlog: one.backlog,
            workers: u64::from(one.workers),
            breaker_open: one.breaker_open,
        })
        .collect();
    Ok(match picked.best {
        Some((agent, choice)) => ExplainView {
            agent: Some(agent),
            version: Some(choice.version),
            why: format!(
                "it has {}, and the least work for each worker; {}",
                needed.join(", "),
                choice.why
            ),
            candidates,
        },
        None => ExplainView {
            agent: None,
            version: None,
            why: format!("no agent has {}", needed.join(" and ")),
            candidates,
        },
    })
}
