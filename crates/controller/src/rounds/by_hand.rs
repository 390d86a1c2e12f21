//! Work by hand: what a version has goes before it again when its work is done by hand from now on, or by workers; tickets of
//! senders that do not know manual versions are dropped. What somebody took for a time is given back by the timers.

use baton_envelope::{AgentVersion, Cause, Route, VersionState};

use crate::rounds::each::each;
use crate::rounds::error::RoundError;
use crate::rounds::observations::Observations;
use crate::rounds::round::{Period, Round};
use crate::rounds::term::Term;

/// How many intents of a version to put again in one round.
const AT_MOST: usize = 100;

/// Keeps the work of manual versions without tickets, and that of others with them.
#[derive(Debug)]
pub(crate) struct Hands;

impl Round for Hands {
    const NAME: &'static str = "hands";
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
        // What these have goes to another version.
        if matches!(entry.state, VersionState::Drained | VersionState::Retired) {
            continue;
        }
        let has = |cause| seen.count(&route.agent, version, cause) > 0;
        let is_misplaced = match entry.manual {
            true => has(Cause::Queued) || has(Cause::Delayed) || has(Cause::Running),
            false => has(Cause::ByHand),
        };
        if is_misplaced {
            first = first.and(put_again(term, route, version).await);
        }
        let tickets = seen.tickets(&route.agent, version).unwrap_or_default();
        if entry.manual && tickets.backlog + tickets.in_flight > 0 {
            let mesh = &term.in_charge()?.mesh;
            first = first.and(
                mesh.drop_superseded(&route.agent, version)
                    .await
                    .map(drop)
                    .map_err(RoundError::from),
            );
        }
    }
    first
}

/// Puts the work of a version before it again where its record says otherwise than the route about who does it.
async fn put_again(term: &Term, route: &Route, version: &AgentVersion) -> Result<(), RoundError> {
    let (cx, agent) = (&term.cx, &route.agent);
    let is_manual = route.is_manual(version);
    let held = cx.projection.held(agent, version).await?.into_iter();
    let is_misplaced = |(_, cause): &(_, Cause)| {
        let is_for_workers = matches!(cause, Cause::Queued | Cause::Delayed | Cause::Running);
        (is_manual && is_for_workers) || (!is_manual && *cause == Cause::ByHand)
    };
    let mut misplaced: Vec<_> = held.filter(is_misplaced).collect();
    // Start elsewhere in the list each round, so that what people hold does not block the rest.
    let turn = usize::try_from(cx.mesh.now().unix_millis() / 500).unwrap_or_default();
    let first = turn
        .wrapping_mul(AT_MOST)
        .checked_rem(misplaced.len())
        .unwrap_or_default();
    misplaced.rotate_left(first);
    for (intent, cause) in misplaced.into_iter().take(AT_MOST) {
        match term
            .in_charge()?
            .mesh
            .put_as_routed(&intent, agent, version, &cx.by)
            .await
        {
            Ok(put) => tracing::debug!(%intent, %agent, %version, %cause, ?put, "looked at who does it"),
            Err(error) => {
                tracing::warn!(%error, %intent, %agent, %version, "work could not be put before its version again");
            }
        }
    }
    Ok(())
}
