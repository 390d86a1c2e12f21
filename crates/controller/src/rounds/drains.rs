//! Ends drains: a draining version that nothing holds any more becomes drained.

use std::time::Duration;

use baton_envelope::control::Counts;
use baton_envelope::rollout;
use baton_envelope::{AgentVersion, Route, VersionState};

use crate::rounds::each::each;
use crate::rounds::error::RoundError;
use crate::rounds::observations::Observations;
use crate::rounds::round::{Period, Round};
use crate::rounds::term::Term;

/// How long the projection may take to catch up with the end of the ledger before the decision waits for the next
/// round.
const CATCH_UP: Duration = Duration::from_secs(5);

/// Ends drains.
#[derive(Debug)]
pub(crate) struct Drains;

impl Round for Drains {
    const NAME: &'static str = "drains";
    const PERIOD: Period = Period::Observation;

    fn begin(_: &Term) -> Self {
        Self
    }

    async fn round(&mut self, term: &Term) -> Result<(), RoundError> {
        let seen = term.observations()?;
        each(&seen.routes, |route| of_agent(term, &seen, route)).await
    }
}

async fn of_agent(term: &Term, seen: &Observations, route: &Route) -> Result<(), RoundError> {
    let mut first = Ok(());
    for (version, entry) in &route.versions {
        if entry.state == VersionState::Draining
            && let Some(tickets) = seen.tickets(&route.agent, version)
        {
            // A failure for one version must not delay the others.
            first = first.and(finish_if_empty(term, route, version, tickets).await);
        }
    }
    first
}

/// Marks a version as drained if it is.
///
/// This pauses its consumers first. From then on nothing can run on it, so the ledger up to the end that is read next
/// holds everything there can be. Only a sender with an old route can still add work, and that counts as misrouted.
async fn finish_if_empty(
    term: &Term,
    route: &Route,
    version: &AgentVersion,
    tickets: Counts,
) -> Result<(), RoundError> {
    let (cx, agent) = (&term.cx, &route.agent);
    // Read the route again: since this round began, a rollback may have returned the new work, or a person may have
    // quarantined it.
    let route = &cx.route(agent).await?;
    // Somebody moves its work away, or has paused it.
    let is_held_back = route.holds_back(version, cx.mesh.now());
    if route.state(version) != Some(VersionState::Draining) || is_held_back {
        return Ok(());
    }
    if cx.projection.is_held(agent, version).await? {
        // It was quarantined until now, or an earlier check did not finish, so it is paused. Or it was resumed without
        // waking the idle workers: they would get nothing until they ask again, which takes half a minute.
        if tickets.paused || (tickets.backlog > 0 && tickets.waiting_pulls > 0) {
            term.in_charge()?.mesh.resume_version(agent, version).await?;
        }
        return Ok(());
    }
    if tickets.backlog + tickets.in_flight > 0 {
        // Workers ack superseded tickets when they get them. That may be after a long delay, after the ack wait of a
        // holder that was fenced out, or never.
        let dropped = term.in_charge()?.mesh.drop_superseded(agent, version).await?;
        tracing::debug!(%agent, %version, dropped, "dropped superseded tickets");
        return Ok(());
    }
    term.in_charge()?.mesh.pause_version(agent, version).await?;
    let said = say_if_empty(term, route, version).await;
    if !matches!(said, Ok(true)) {
        // Whatever came in between, the version may have work to do, unless somebody has quarantined it.
        let present = cx.route(agent).await?;
        if !present.holds_back(version, cx.mesh.now()) {
            term.in_charge()?.mesh.resume_version(agent, version).await?;
        }
    }
    said.map(drop)
}

/// Marks a paused version as drained if no open intent names it up to the end of the ledger.
async fn say_if_empty(term: &Term, route: &Route, version: &AgentVersion) -> Result<bool, RoundError> {
    let (cx, agent) = (&term.cx, &route.agent);
    let end = cx.projection.caught_up(CATCH_UP).await?;
    let counts = cx.mesh.agent_counts(agent).await?.remove(version).unwrap_or_default();
    let is_held = cx.projection.is_held(agent, version).await?;
    // A projection in a rebuild knows nothing, and its position shows that.
    let is_known = cx.projection.position() >= end;
    if !(is_known && !is_held && counts.backlog + counts.in_flight == 0) {
        return Ok(false);
    }
    let act = cx
        .act()
        .because(format!("no open intent names it, up to ledger record {end}"));
    let after = term
        .in_charge()?
        .decide(agent, |present| match present.state(version) {
            Some(VersionState::Draining) => rollout::drained(present, version, &act).map(Some),
            Some(_) | None => Ok(None),
        })
        .await?;
    // Somebody may have given it work again in the meantime.
    term.in_charge()?.pause_or_resume(&after).await?;
    let is_drained = after.state(version) == Some(VersionState::Drained);
    if is_drained {
        tracing::info!(%agent, %version, end, "drained");
    }
    Ok(is_drained)
}
