//! The load report: how much waits for each version, how many workers it has, and the current alarms.

use baton_envelope::control::{LoadReport, VersionLoad};

use crate::rounds::error::RoundError;
use crate::rounds::observations::Observations;
use crate::rounds::round::{Period, Round};
use crate::rounds::term::Term;

/// Publishes the load report to everyone who follows the routes.
#[derive(Debug)]
pub(crate) struct Load;

impl Round for Load {
    const NAME: &'static str = "load";
    const PERIOD: Period = Period::Observation;

    fn begin(_: &Term) -> Self {
        Self
    }

    async fn round(&mut self, term: &Term) -> Result<(), RoundError> {
        let seen = term.observations()?;
        tell(term, &seen).await
    }
}

/// Publishes it once.
pub(crate) async fn tell(term: &Term, seen: &Observations) -> Result<(), RoundError> {
    let cx = &term.cx;
    let mut report = LoadReport {
        at: cx.mesh.now(),
        versions: Vec::new(),
        alarms: term.alarms(),
    };
    for route in &seen.routes {
        let agent = &route.agent;
        for version in route.versions.keys() {
            let Some(counts) = seen.tickets(agent, version) else {
                continue;
            };
            report.versions.push(VersionLoad {
                agent: agent.clone(),
                version: version.clone(),
                backlog: counts.backlog,
                workers: u32::try_from(cx.workers.count(agent, version)).unwrap_or(u32::MAX),
                breaker_open: route.is_withheld(version),
            });
        }
    }
    Ok(term.in_charge()?.mesh.publish_load(&report).await?)
}
