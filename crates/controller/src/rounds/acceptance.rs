//! Work that nobody takes within the time that it may wait: another agent gets it, or it is set aside.

use std::time::Duration;

use baton_envelope::{AgentName, IntentId, OFFERS, OnUnaccepted, Route, is_unaccepted};
use baton_jetstream::PassedOver;

use crate::projection::Overdue;
use crate::rounds::error::RoundError;
use crate::rounds::round::{Period, Round};
use crate::rounds::term::Term;

/// How often to look.
const EVERY: Duration = Duration::from_millis(500);

/// Passes over agents that do not take their work.
#[derive(Debug)]
pub(crate) struct Acceptance;

impl Round for Acceptance {
    const NAME: &'static str = "acceptance";
    const PERIOD: Period = Period::Time(EVERY);

    fn begin(_: &Term) -> Self {
        Self
    }

    async fn round(&mut self, term: &Term) -> Result<(), RoundError> {
        let mut first = Ok(());
        for route in term.cx.mesh.followed_routes() {
            let within = route.policy.as_ref().and_then(|policy| policy.accept_within_ms);
            if let Some(within) = within.filter(|within| *within > 0) {
                let passed = of_agent(term, &route, Duration::from_millis(within)).await;
                first = first.and(passed.map_err(|error| error.of(&route.agent)));
            }
        }
        first.and(of_intents(term).await)
    }
}

/// The work of an agent whose policy says how long it may wait.
async fn of_agent(term: &Term, route: &Route, within: Duration) -> Result<(), RoundError> {
    let (cx, agent) = (&term.cx, &route.agent);
    let since = cx.mesh.now().minus(within.saturating_mul(OFFERS));
    for version in route.versions.keys() {
        for (intent, seq) in cx.projection.queued_since(agent, version, since).await? {
            pass_over(term, agent, &intent, seq, within).await?;
        }
    }
    Ok(())
}

/// Intents that say themselves how long they may wait. What their agent allows is shorter or not said.
async fn of_intents(term: &Term) -> Result<(), RoundError> {
    let now = term.cx.mesh.now();
    let overdue = term.cx.projection.queued_too_long(now, OFFERS).await?;
    for Overdue {
        intent,
        seq,
        agent,
        accept_within,
    } in overdue
    {
        pass_over(term, &agent, &intent, seq, Duration::from_millis(accept_within)).await?;
    }
    Ok(())
}

async fn pass_over(
    term: &Term,
    agent: &AgentName,
    intent: &IntentId,
    seq: u64,
    within: Duration,
) -> Result<(), RoundError> {
    let cx = term.in_charge()?;
    // By the server's time, not by the writer's.
    let Some(head) = cx.mesh.head(intent).await?.filter(|head| head.seq == seq) else {
        return Ok(());
    };
    let since = head.stored_at.unwrap_or(head.record.snapshot.updated_at);
    if !is_unaccepted(cx.mesh.now().since(since), within) {
        return Ok(());
    }
    let route = cx.mesh.followed_route(agent);
    let policy = route.as_ref().and_then(|route| route.policy.as_ref());
    let mut what = policy
        .and_then(|policy| policy.on_unaccepted.clone())
        .unwrap_or_default();
    // Who stands in leaves what it does not take to the other alternatives.
    let stands_in = head
        .record
        .envelope
        .as_ref()
        .is_some_and(|envelope| envelope.stands_in.is_some());
    if stands_in {
        what = OnUnaccepted::Alternative;
    }
    let problem = format!(
        "nobody of {agent} took it, though it was offered {OFFERS} times for {:.1} s",
        within.as_secs_f64()
    );
    match cx.mesh.pass_over(intent, seq, &what, &problem, &cx.by).await {
        Ok(PassedOver::To(to)) => tracing::info!(%intent, %agent, %to, "nobody took it; another agent gets it"),
        Ok(PassedOver::Parked) => tracing::warn!(%intent, %agent, "nobody took it; it is set aside"),
        Ok(PassedOver::Taken) => {}
        Err(error) if error.is_of_server() => return Err(error.into()),
        Err(error) => tracing::warn!(%error, %intent, %agent, "work that nobody took cannot be passed on"),
    }
    Ok(())
}
