//! Readiness: a ready version that gets no work and has lost its workers is only declared.

use baton_envelope::rollout;
use baton_envelope::{Route, VersionState};

use crate::rounds::each::each;
use crate::rounds::error::RoundError;
use crate::rounds::observations::Observations;
use crate::rounds::round::{Period, Round};
use crate::rounds::term::Term;

/// Makes ready versions without workers declared again.
#[derive(Debug)]
pub(crate) struct Readiness;

impl Round for Readiness {
    const NAME: &'static str = "readiness";
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
    for (version, entry) in &route.versions {
        // People who work by hand send no heartbeats.
        if entry.state == VersionState::Ready && !entry.manual && seen.alone_since(agent, version).is_some() {
            let act = term.cx.act().because("no worker is left");
            let decide = |present: &Route| Ok(rollout::silent(present, version, &act));
            term.in_charge()?.decide(agent, decide).await?;
        }
    }
    Ok(())
}
