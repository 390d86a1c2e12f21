//! Carries out kills: pauses what was killed, takes what runs from its workers, and records that this is done. Whoever
//! recorded the kill begins at once; the leader goes on with what somebody left unfinished.

use std::collections::BTreeSet;

use baton_envelope::rollout::{Act, work_killed};
use baton_envelope::{AgentName, AgentVersion, Author, IntentId, Role, Route};
use baton_jetstream::Error;

use crate::context::Context;

/// What a kill came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Killed {
    /// How many intents were fenced.
    pub(crate) fenced: u64,
    /// How many workers were told.
    pub(crate) workers: u64,
}

/// Finishes the kill of a version, or of the whole agent. It may be repeated, and by several at once: each hop is fenced
/// once. Nothing is done where no kill is under way any more.
pub(crate) async fn finish(
    cx: &Context,
    agent: &AgentName,
    version: Option<&AgentVersion>,
    act: &Act,
) -> Result<Killed, Error> {
    let route = cx.route(agent).await?;
    let mut killed = Killed::default();
    let Some((by, reason)) = under_way(&route, version) else {
        return Ok(killed);
    };
    let author = Author::of(Role::Operator, by);
    let mut fenced: BTreeSet<IntentId> = BTreeSet::new();
    for version in versions(&route, version) {
        let lost = cx.mesh.fence_version(agent, &version, &reason, &author).await?;
        killed.workers += cx.tell_all(agent, &version, &lost).await;
        fenced.extend(lost);
    }
    killed.fenced = u64::try_from(fenced.len()).unwrap_or(u64::MAX);
    cx.decide(agent, |present| Ok(work_killed(present, version, killed.fenced, act)))
        .await?;
    tracing::info!(%agent, ?version, fenced = killed.fenced, workers = killed.workers, "killed");
    Ok(killed)
}

/// Who ordered the kill that is under way, and what the records of it say.
fn under_way(route: &Route, version: Option<&AgentVersion>) -> Option<(String, String)> {
    let pause = match version {
        Some(version) => route.versions.get(version)?.paused.as_ref()?,
        None => route.paused.as_ref()?,
    };
    let of = version.map(|version| format!("@{version}")).unwrap_or_default();
    let why = pause
        .reason
        .as_ref()
        .map(|reason| format!(": {reason}"))
        .unwrap_or_default();
    let reason = format!("{}{of} was killed{why}", route.agent);
    pause.is_killing().then(|| (pause.by.clone(), reason))
}

/// The versions that are killed.
fn versions(route: &Route, version: Option<&AgentVersion>) -> BTreeSet<AgentVersion> {
    match version {
        Some(version) => BTreeSet::from([version.clone()]),
        None => route.versions.keys().chain([&route.active]).cloned().collect(),
    }
}
