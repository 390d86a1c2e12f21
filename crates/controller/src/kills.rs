//! Carries out kills: pauses what was killed, takes what runs from its workers, and records that this is done. Whoever
//! recorded the kill begins at once; the leader goes on with what somebody left unfinished.

use std::collections::BTreeSet;
use std::time::Duration;

use baton_envelope::rollout::{Act, work_killed};
use baton_envelope::{AgentName, AgentVersion, Author, Cause, IntentId, Pause, Role, Route};
use baton_jetstream::{Error, MaybeGiven, Taking};

use crate::context::Context;

/// How long the projection may take to catch up before a conclusion from what it holds.
const CATCH_UP: Duration = Duration::from_secs(10);

/// What a kill came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Killed {
    /// How many intents were fenced, also those that another controller fenced for the same kill.
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
    let Some(kill) = under_way(&route, version) else {
        return Ok(killed);
    };
    let reason = reason_of(&route, version, &kill);
    let author = Author::of(Role::Operator, kill.by.clone());
    let taking = Taking {
        reason: &reason,
        by: &author,
        since: kill.at,
    };
    let mut fenced: BTreeSet<IntentId> = BTreeSet::new();
    let versions = versions(&route, version);
    // Whoever resumed one of them in the meantime, by a route of before the kill, gave away more.
    let mut left: Vec<&AgentVersion> = versions.iter().collect();
    while let Some(of) = left.pop() {
        let forgets = cx.mesh.may_have_forgotten().await?;
        // Before the list: a ticket that its sender writes once more, because the server has lost it, stands in neither while
        // the list is made, and its hop may run.
        let with_ticket = match forgets {
            true => cx.mesh.with_ticket(agent, of).await?,
            false => BTreeSet::new(),
        };
        let mut tickets = cx.mesh.pause_and_list(agent, of).await?;
        if forgets {
            tickets.extend(without_ticket(cx, agent, of, &with_ticket).await?);
        }
        // Somebody may have finished this kill and resumed the agent: then what was listed is new work. Nobody resumes while
        // this very kill is under way, so what was listed before this look ran before.
        let present = cx.route(agent).await?;
        if under_way(&present, version).as_ref() != Some(&kill) {
            cx.pause_or_resume(&present).await?;
            return Ok(killed);
        }
        let lost = cx.mesh.fence_tickets((agent, of), tickets, taking).await?;
        killed.workers += cx.tell_all(agent, of, &lost).await;
        fenced.extend(lost);
        if left.is_empty() {
            let counts = cx.mesh.agent_counts(agent).await?;
            let is_running = |of: &&AgentVersion| counts.get(*of).is_some_and(|counts| counts.running);
            left.extend(versions.iter().filter(is_running));
        }
    }
    killed.fenced = u64::try_from(fenced.len()).unwrap_or(u64::MAX);
    // Not of a later kill, which is owed still.
    let done = |present: &Route| match under_way(present, version) {
        Some(present_kill) if present_kill == kill => work_killed(present, version, killed.fenced, act),
        Some(_) | None => None,
    };
    cx.decide(agent, |present| Ok(done(present))).await?;
    tracing::info!(%agent, ?version, fenced = killed.fenced, workers = killed.workers, "killed");
    Ok(killed)
}

/// The hops before a version that may run without a ticket, because the server has lost it: all but those that are known to have
/// one.
async fn without_ticket(
    cx: &Context,
    agent: &AgentName,
    version: &AgentVersion,
    with_ticket: &BTreeSet<IntentId>,
) -> Result<Vec<MaybeGiven>, Error> {
    cx.projection.caught_up(CATCH_UP).await?;
    let held = cx.projection.held(agent, version).await?;
    let may_run = |cause: &Cause| matches!(cause, Cause::Queued | Cause::Running | Cause::Delayed | Cause::Paused);
    let before = held.into_iter().filter(|(_, cause)| may_run(cause));
    let lost = before.filter(|(intent, _)| !with_ticket.contains(intent));
    Ok(lost.map(|(intent, _)| MaybeGiven::lost(intent)).collect())
}

/// The kill that is under way.
fn under_way(route: &Route, version: Option<&AgentVersion>) -> Option<Pause> {
    let pause = match version {
        Some(version) => route.versions.get(version)?.paused.as_ref()?,
        None => route.paused.as_ref()?,
    };
    pause.is_killing().then(|| pause.clone())
}

/// What the records of a kill say.
fn reason_of(route: &Route, version: Option<&AgentVersion>, kill: &Pause) -> String {
    let of = version.map(|version| format!("@{version}")).unwrap_or_default();
    let why = kill
        .reason
        .as_ref()
        .map(|reason| format!(": {reason}"))
        .unwrap_or_default();
    format!("{}{of} was killed{why}", route.agent)
}

/// The versions that are killed.
fn versions(route: &Route, version: Option<&AgentVersion>) -> BTreeSet<AgentVersion> {
    match version {
        Some(version) => BTreeSet::from([version.clone()]),
        None => route.versions.keys().chain([&route.active]).cloned().collect(),
    }
}
