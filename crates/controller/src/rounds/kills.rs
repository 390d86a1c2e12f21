//! Finishes kills that whoever began them left unfinished. Once killed, an agent must commit nothing that ran before, and
//! only the end of the kill is the promise of that.

use baton_envelope::Route;

use crate::kills;
use crate::rounds::each::each;
use crate::rounds::error::RoundError;
use crate::rounds::round::{Period, Round};
use crate::rounds::term::Term;

/// Finishes kills.
#[derive(Debug)]
pub(crate) struct Kills;

impl Round for Kills {
    const NAME: &'static str = "kills";
    const PERIOD: Period = Period::Observation;

    fn begin(_: &Term) -> Self {
        Self
    }

    async fn round(&mut self, term: &Term) -> Result<(), RoundError> {
        let seen = term.observations()?;
        each(&seen.routes, |route| of_agent(term, route)).await
    }
}

async fn of_agent(term: &Term, route: &Route) -> Result<(), RoundError> {
    for version in route.kills() {
        let cx = term.in_charge()?;
        let act = cx.act().because("what ran is fenced out");
        kills::finish(cx, &route.agent, version.as_ref(), &act).await?;
    }
    Ok(())
}
