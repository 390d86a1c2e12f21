//! Alarms: work that nobody will do without a person. Each new alarm is published once.

use std::collections::BTreeMap;
use std::time::Duration;

use baton_envelope::codes;
use baton_envelope::context::Concern;
use baton_envelope::control::Alarm;
use baton_envelope::{AgentName, AgentVersion, Breaker, BreakerState, Cause, Route, Timestamp, VersionState};

use crate::alarm;
use crate::context::Context;
use crate::rounds::error::RoundError;
use crate::rounds::load;
use crate::rounds::lost::Lost;
use crate::rounds::observations::Observations;
use crate::rounds::round::{Period, Round};
use crate::rounds::term::Term;

/// How long a version that takes work may have no live worker before it raises an alarm.
const RESTART: Duration = Duration::from_secs(10);

/// Finds what needs a person, and publishes it.
#[derive(Debug)]
pub(crate) struct Alarms {
    known: Known,
    lost: Lost,
}

impl Round for Alarms {
    const NAME: &'static str = "alarms";
    const PERIOD: Period = Period::Observation;

    fn begin(_: &Term) -> Self {
        Self {
            known: Known::default(),
            lost: Lost::default(),
        }
    }

    async fn round(&mut self, term: &Term) -> Result<(), RoundError> {
        let seen = term.observations()?;
        let mut first = self.lost.look(&term.cx).await;
        let mut new = Vec::new();
        for route in &seen.routes {
            match of_agent(&term.cx, &seen, route).await {
                Ok(mut alarms) => {
                    alarms.extend(self.lost.alarms(&term.cx, &route.agent));
                    new.extend(self.known.replace(&route.agent, alarms));
                }
                // This agent keeps its known alarms.
                Err(error) => first = first.and(Err(error.of(&route.agent))),
            }
        }
        if term.set_alarms(self.known.all()) {
            // Before the alarms: whoever gets one finds it in the report at once.
            first = first.and(load::tell(term, &seen).await);
        }
        publish(term, &new).await?;
        first
    }
}

async fn publish(term: &Term, alarms: &[Alarm]) -> Result<(), RoundError> {
    for alarm in alarms {
        let (agent, version) = (&alarm.agent, &alarm.version);
        tracing::warn!(%agent, %version, code = alarm.code, ways_out = alarm.ways_out.join("; or "), "{}", alarm.message);
        if let Err(error) = alarm::send(&term.in_charge()?.mesh, alarm).await {
            tracing::debug!(%error, "cannot publish an alarm");
        }
    }
    Ok(())
}

async fn of_agent(cx: &Context, seen: &Observations, route: &Route) -> Result<Vec<Alarm>, RoundError> {
    let agent = &route.agent;
    let mut alarms: Vec<Alarm> = route
        .versions
        .keys()
        .filter_map(|version| void(cx, agent, version))
        .collect();
    // What waits for something else needs no worker, and to look at all of it would cost something.
    for version in route
        .versions
        .keys()
        .filter(|version| seen.needs_workers(agent, version))
    {
        if let Some(since) = seen.alone_since(agent, version) {
            alarms.extend(alarm(cx, route, version, since).await?);
        }
    }
    for version in seen.held_versions(agent) {
        if route.state(version).is_none() && !route.versions.is_empty() {
            alarms.extend(unknown_version(cx, route, version).await?);
        }
    }
    alarms.extend(forgeries(cx, route));
    alarms.extend(
        route
            .versions
            .keys()
            .filter_map(|version| incomplete(cx, agent, version)),
    );
    for (version, _) in route.versions.iter().filter(|(_, entry)| entry.withheld.is_some()) {
        if let Some((breaker, _)) = cx.mesh.breaker(agent, version).await? {
            alarms.extend(breaker_open(route, &breaker));
        }
    }
    Ok(alarms)
}

/// The alarm of work that stands before a version that nobody has heard of: no worker ever takes it.
async fn unknown_version(cx: &Context, route: &Route, version: &AgentVersion) -> Result<Option<Alarm>, RoundError> {
    let (agent, active) = (&route.agent, &route.active);
    let holds = cx.hold_views(route, version).await?;
    let stuck = holds.iter().filter(|hold| hold.cause.needs_workers());
    let count: u64 = stuck.clone().map(|hold| hold.count).sum();
    let Some(oldest) = stuck.min_by_key(|hold| hold.since) else {
        return Ok(None);
    };
    Ok(Some(Alarm {
        code: codes::UNKNOWN_VERSION.to_owned(),
        agent: agent.clone(),
        version: version.clone(),
        since: oldest.since,
        message: format!(
            "{count} open intents wait for {agent}@{version}, and no worker of it was ever heard of, the oldest is {}",
            oldest.oldest
        ),
        ways_out: vec![
            format!("baton intents move --agent {agent} --from {version} --to {active}"),
            format!("baton worker --agent {agent} --version {version} --exec 'CMD…'"),
        ],
        critical: false,
    }))
}

/// The alarms of what nobody of the agent has written: tickets that no record owes, and records while it was its turn.
fn forgeries(cx: &Context, route: &Route) -> Vec<Alarm> {
    let (agent, now) = (&route.agent, cx.mesh.now());
    let mut alarms = Vec::new();
    for version in route.versions.keys() {
        let workers = cx.workers.of(agent, version);
        let dropped: u64 = workers.iter().map(|worker| u64::from(worker.dropped)).sum();
        if dropped > 0 {
            alarms.push(Alarm {
                code: codes::TICKETS_WITHOUT_RECORD.to_owned(),
                agent: agent.clone(),
                version: version.clone(),
                since: now,
                message: format!(
                    "workers of {agent}@{version} dropped {dropped} tickets in the last hour that no record of the ledger owes"
                ),
                ways_out: vec!["see in docs/security.md who may write tickets, and what to do when a credential leaked".to_owned()],
                critical: false,
            });
        }
    }
    if let Some(suspect) = cx.projection.suspect(agent, now) {
        alarms.push(Alarm {
            code: codes::RECORD_OUT_OF_TURN.to_owned(),
            agent: agent.clone(),
            version: route.active.clone(),
            since: suspect.since,
            message: format!(
                "{} records of the last hour are not of whoever's turn it was; the last is on intent {}: {}",
                suspect.count, suspect.intent, suspect.problem
            ),
            ways_out: vec![format!("baton intents get {}", suspect.intent)],
            critical: false,
        });
    }
    alarms
}

/// The alarm of a version whose breaker is not closed.
fn breaker_open(route: &Route, breaker: &Breaker) -> Option<Alarm> {
    let Breaker {
        agent,
        version,
        until,
        probe,
        reason,
        ..
    } = breaker;
    let then = match (&breaker.state, until, probe) {
        (BreakerState::HalfOpen, _, Some(probe)) => format!("{probe} was let through and decides"),
        (BreakerState::Open, Some(until), _) => format!("after {until} one intent is let through"),
        (BreakerState::Open, None, _) => "it stays open until somebody closes it".to_owned(),
        (_, _, _) => return None,
    };
    let reason = reason.as_deref().unwrap_or("by hand");
    let mut ways_out = vec![format!(
        "baton agents breaker {agent} {version} --close --reason 'CAUSE…'"
    )];
    if route.active == *version && route.previous.is_some() {
        ways_out.push(format!("baton rollout rollback {agent}"));
    }
    Some(Alarm {
        code: codes::BREAKER_OPEN.to_owned(),
        agent: agent.clone(),
        version: version.clone(),
        since: breaker.since,
        message: format!("the breaker of {agent}@{version} is open and its work waits ({reason}); {then}"),
        ways_out,
        critical: false,
    })
}

/// The alarm of a version whose views lack what they were to have.
fn incomplete(cx: &Context, agent: &AgentName, version: &AgentVersion) -> Option<Alarm> {
    let found = cx.projection.completeness(agent, version, cx.mesh.now())?;
    let concern = found.completeness.concern();
    let (resolved, requested) = (found.completeness.resolved, found.completeness.requested);
    let (minutes, intent) = (found.minutes, &found.intent);
    (concern != Concern::None).then(|| Alarm {
        code: codes::COMPLETENESS_LOW.to_owned(),
        agent: agent.clone(),
        version: version.clone(),
        since: found.since,
        message: format!(
            "in the last {minutes} minutes hops of {agent}@{version} could read {resolved} of {requested} memories that they were \
             given in full, the last that lacked some is of {intent}"
        ),
        ways_out: vec![
            format!("baton context show {intent}"),
            format!("baton context verify {intent}"),
        ],
        critical: concern == Concern::Alarm,
    })
}

/// The alarm of a version in whose name records were written that do not verify.
fn void(cx: &Context, agent: &AgentName, version: &AgentVersion) -> Option<Alarm> {
    let seen = cx.projection.void_of(agent, version)?;
    let (intent, seq) = (&seen.intent, seen.seq);
    Some(Alarm {
        code: codes::VOID_RECORDS.to_owned(),
        agent: agent.clone(),
        version: version.clone(),
        since: seen.since,
        message: format!(
            "{} ledger records at the turn of {agent}@{version} are void, the last at {seq} of {intent}: {}",
            seen.count, seen.problem
        ),
        ways_out: vec![
            format!("baton audit verify {intent}"),
            format!("baton intents get {intent}"),
        ],
        critical: false,
    })
}

/// The alarm of a version with work that nobody will do without a person. `alone_since` is when the version was first
/// seen without a live worker.
async fn alarm(
    cx: &Context,
    route: &Route,
    version: &AgentVersion,
    alone_since: Timestamp,
) -> Result<Option<Alarm>, RoundError> {
    let agent = &route.agent;
    let state = route.state(version).unwrap_or_default();
    let is_draining = state == VersionState::Draining;
    // Workers of a version that takes work restart from time to time; those of a draining version may never come back.
    let is_usual = !is_draining && cx.mesh.now().since(alone_since) < RESTART;
    if state.is_paused() || is_usual || cx.workers.count(agent, version) > 0 {
        return Ok(None);
    }
    let holds = cx.hold_views(route, version).await?;
    let stuck: u64 = holds
        .iter()
        .filter(|hold| hold.cause.needs_workers())
        .map(|hold| hold.count)
        .sum();
    if stuck == 0 {
        return Ok(None);
    }
    let causes: Vec<String> = holds
        .iter()
        .map(|hold| format!("{} {}", hold.count, hold.cause))
        .collect();
    let oldest = holds
        .iter()
        .filter(|hold| hold.cause != Cause::ChainPinned)
        .min_by_key(|hold| hold.since);
    let example = oldest
        .map(|hold| format!(", the oldest is {}", hold.oldest))
        .unwrap_or_default();
    let to = match route
        .canary
        .as_ref()
        .filter(|canary| route.active == *version && canary.version != *version)
    {
        Some(canary) => canary.version.clone(),
        None if route.active != *version => route.active.clone(),
        None => route.previous.clone().unwrap_or_else(|| route.active.clone()),
    };
    let mut ways_out = vec![format!(
        "baton worker --agent {agent} --version {version} --exec 'CMD…'"
    )];
    if to != *version {
        ways_out.push(format!("baton intents move --agent {agent} --from {version} --to {to}"));
    }
    if is_draining {
        ways_out.push(format!("baton agents quarantine {agent} {version}"));
    }
    Ok(Some(Alarm {
        code: if is_draining {
            codes::DRAIN_WITHOUT_WORKERS
        } else {
            codes::WORK_WITHOUT_WORKERS
        }
        .to_owned(),
        agent: agent.clone(),
        version: version.clone(),
        since: alone_since,
        message: format!(
            "{agent}@{version} is {state} and has no live worker, and {stuck} open intents wait for one ({}{example})",
            causes.join(", ")
        ),
        ways_out,
        critical: false,
    }))
}

/// Agent, version and code.
type Key = (AgentName, AgentVersion, String);

/// The current alarms.
#[derive(Debug, Default)]
struct Known {
    alarms: BTreeMap<Key, Alarm>,
}

impl Known {
    /// Replaces the alarms of an agent; returns the new ones.
    fn replace(&mut self, agent: &AgentName, now: Vec<Alarm>) -> Vec<Alarm> {
        let before = std::mem::take(&mut self.alarms);
        let mut new = Vec::new();
        for mut alarm in now {
            let key = (alarm.agent.clone(), alarm.version.clone(), alarm.code.clone());
            match before.get(&key) {
                Some(known) => {
                    alarm.since = known.since;
                    if alarm.critical && !known.critical {
                        new.push(alarm.clone());
                    }
                }
                None => new.push(alarm.clone()),
            }
            self.alarms.insert(key, alarm);
        }
        let others = before.into_iter().filter(|(_, alarm)| alarm.agent != *agent);
        self.alarms.extend(others);
        new
    }

    /// All current alarms.
    fn all(&self) -> Vec<Alarm> {
        self.alarms.values().cloned().collect()
    }
}
