//! Misrouted work: a sender with an old route gave it to a version that takes none. It does not run there, because the
//! consumers are paused; this round sends it to a version that takes work.

use baton_envelope::control::Counts;
use baton_envelope::{AgentVersion, Route, VersionState};
use baton_jetstream::Moved;

use crate::rounds::each::each;
use crate::rounds::error::RoundError;
use crate::rounds::observations::Observations;
use crate::rounds::round::{Period, Round};
use crate::rounds::term::Term;

/// How many intents of a version to send elsewhere in one round.
const AT_MOST: usize = 100;

/// Sends misrouted work elsewhere.
#[derive(Debug)]
pub(crate) struct Misrouted;

impl Round for Misrouted {
    const NAME: &'static str = "misrouted";
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
    let agent = &route.agent;
    let mut first = Ok(());
    for (version, entry) in &route.versions {
        let takes_none = matches!(entry.state, VersionState::Drained | VersionState::Retired);
        if !takes_none {
            continue;
        }
        // A retired version has no consumers, and nothing counts its tickets.
        let tickets = seen.tickets(agent, version).unwrap_or_default();
        if seen.is_held(agent, version) || tickets.backlog + tickets.in_flight > 0 {
            first = first.and(of_version(term, route, version, tickets).await);
        }
    }
    first
}

/// Sends away the work that a sender with an old route gave to a drained or retired version.
async fn of_version(term: &Term, route: &Route, version: &AgentVersion, tickets: Counts) -> Result<(), RoundError> {
    let (cx, agent) = (&term.cx, &route.agent);
    let mut rerouted = 0;
    let mut held = cx.projection.held(agent, version).await?;
    // Start elsewhere in the list each round, so that intents that cannot be sent do not block the rest.
    let turn = usize::try_from(cx.mesh.now().unix_millis() / 500).unwrap_or_default();
    let first = turn.wrapping_mul(AT_MOST).checked_rem(held.len()).unwrap_or_default();
    held.rotate_left(first);
    for (intent, cause) in held.into_iter().take(AT_MOST) {
        match term.in_charge()?.mesh.reroute(&intent, agent, version, &cx.by).await {
            Ok(Moved::Done { to, .. }) => {
                tracing::info!(%intent, %agent, from = %version, %to, %cause, "misrouted work was sent elsewhere");
                rerouted += 1;
            }
            Ok(Moved::NotThere) => {}
            Err(error) => {
                tracing::warn!(%error, %intent, %agent, %version, "misrouted work could not be sent elsewhere");
            }
        }
    }
    // Its workers get nothing, so nobody else removes the old tickets. The next round finds a ticket that its sender
    // writes only now.
    if rerouted > 0 || tickets.backlog + tickets.in_flight > 0 {
        term.in_charge()?.mesh.drop_superseded(agent, version).await?;
    }
    Ok(())
}
