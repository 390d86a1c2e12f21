//! Makes consumers follow the states of their versions. Whoever changed a state may have died before the consumers
//! followed.

use std::time::Duration;

use baton_envelope::Route;

use crate::rounds::each::each;
use crate::rounds::error::RoundError;
use crate::rounds::round::{Period, Round};
use crate::rounds::term::Term;

/// How often to compare consumers with states.
const EVERY: Duration = Duration::from_secs(10);

/// Compares the consumers of all versions with their states.
#[derive(Debug)]
pub(crate) struct Consumers;

impl Round for Consumers {
    const NAME: &'static str = "consumers";
    const PERIOD: Period = Period::Time(EVERY);

    fn begin(_: &Term) -> Self {
        Self
    }

    async fn round(&mut self, term: &Term) -> Result<(), RoundError> {
        let routes = term.cx.mesh.known_routes().await?;
        each(&routes, |route| of_agent(term, route)).await
    }
}

async fn of_agent(term: &Term, route: &Route) -> Result<(), RoundError> {
    // Read from the bucket: the followed copy may lag.
    let present = term.cx.route(&route.agent).await?;
    Ok(term.in_charge()?.pause_or_resume(&present).await?)
}
