//! Requests the rollout from the controllers and follows it in the route: each revision is a decision, with its reason.

use std::time::Duration;

use baton_envelope::control::{AboutAgent, Check, EvidenceView, RetireVersion, ShowRollout, StartRollout, VersionAct};
use baton_envelope::{AgentName, AgentVersion, Json, Percent, Phase, Route, Timestamp, VersionState};
use baton_jetstream::{Error, Mesh};
use tokio::time::Instant;

use crate::error::DemoError;
use crate::harness::{LOOK, START};
use crate::upgrade::UpgradePlan;

/// Who asks.
const BY: &str = "baton demo";
/// The shares of the new work, in order.
const STEPS: [u64; 4] = [10, 25, 50, 100];
/// How long the route may go without a decision. If a controller dies, another takes over within 8 s.
const STUCK: Duration = Duration::from_secs(120);
/// How long a controller may take to answer; it may have died with the question.
const ANSWER: Duration = Duration::from_secs(10);

/// The rollout of one version of one agent.
#[derive(Debug)]
pub(super) struct Rolling<'a> {
    mesh: &'a Mesh,
    pub(super) agent: AgentName,
    pub(super) from: AgentVersion,
    pub(super) to: AgentVersion,
    /// The last revision that was reported.
    reported: u64,
    started: Option<Timestamp>,
}

impl<'a> Rolling<'a> {
    pub(super) fn new(mesh: &'a Mesh, agent: &str, from: &str, to: &str) -> Result<Self, DemoError> {
        Ok(Self {
            mesh,
            agent: agent.parse().map_err(Error::from)?,
            from: from.parse().map_err(baton_agent::BuildError::from)?,
            to: to.parse().map_err(baton_agent::BuildError::from)?,
            reported: 0,
            started: None,
        })
    }

    /// Waits until the new version is known and its workers send heartbeats.
    pub(super) async fn until_ready(&self) -> Result<(), DemoError> {
        let until = Instant::now() + START;
        loop {
            let route = self.mesh.route(&self.agent).await.unwrap_or_default();
            match route.and_then(|(route, _)| route.state(&self.to)) {
                Some(VersionState::Ready) => return Ok(()),
                _ if Instant::now() > until => {
                    let problem = format!("{}@{} did not come up within {START:?}", self.agent, self.to);
                    return Err(DemoError::Stuck(problem));
                }
                _ => tokio::time::sleep(LOOK).await,
            }
        }
    }

    /// Requests the rollout.
    pub(super) async fn start(&mut self, plan: &UpgradePlan) -> Result<(), DemoError> {
        let question = StartRollout {
            id: self.mesh.clock().intent_id().to_string(),
            agent: self.agent.clone(),
            version: self.to.clone(),
            steps: STEPS.into_iter().filter_map(|step| Percent::new(step).ok()).collect(),
            hold_seconds: plan.hold.as_secs(),
            auto: true,
            at_once: false,
            force: false,
            margins: plan.margins.clone(),
            by: BY.to_owned(),
        };
        let status = self.mesh.ask_controller(&question).await?;
        self.started = status.rollout.map(|rollout| rollout.started_at);
        Ok(())
    }

    /// Follows the route until the version that goes out of service is drained, and returns that version.
    pub(super) async fn follow(&mut self, say: &(dyn Fn(&str) + Sync)) -> Result<AgentVersion, DemoError> {
        let mut until = Instant::now() + STUCK;
        loop {
            for (revision, route) in self.news().await {
                until = Instant::now() + STUCK;
                self.reported = revision;
                if let Some(line) = self.line(&route) {
                    say(&line);
                }
                let old = match route.rollout.as_ref().map(|rollout| &rollout.phase) {
                    Some(Phase::Done) => &self.from,
                    Some(Phase::RolledBack) => &self.to,
                    _ => continue,
                };
                if route.state(old) == Some(VersionState::Drained) {
                    return Ok(old.clone());
                }
            }
            if Instant::now() > until {
                return Err(DemoError::Stuck(format!(
                    "nothing was decided for {STUCK:?}: {}",
                    self.stands().await
                )));
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Takes a drained version out of service. Asks again if a controller died with the question.
    pub(super) async fn retire(&self, version: &AgentVersion) -> Result<(), DemoError> {
        let until = Instant::now() + STUCK;
        let question = RetireVersion(VersionAct {
            agent: self.agent.clone(),
            version: version.clone(),
            by: BY.to_owned(),
            reason: None,
        });
        loop {
            let asked = self.mesh.ask_controller(&question);
            let problem = match tokio::time::timeout(ANSWER, asked).await {
                Ok(Ok(_)) => return Ok(()),
                Ok(Err(error)) => error,
                Err(_) => Error::NoController,
            };
            let route = self.mesh.route(&self.agent).await.unwrap_or_default();
            if route.and_then(|(route, _)| route.state(version)) == Some(VersionState::Retired) {
                return Ok(());
            }
            if Instant::now() > until {
                return Err(problem.into());
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// The revisions of the route since the rollout was requested, oldest first.
    pub(super) async fn decisions(&self) -> Result<Vec<Route>, DemoError> {
        let history = self.mesh.route_history(&self.agent).await?;
        let began = |route: &Route| route.rollout.as_ref().map(|rollout| rollout.started_at) == self.started;
        Ok(history.into_iter().map(|(_, route)| route).filter(began).collect())
    }

    /// The revisions that were not reported yet. If they cannot be read now, the next call reads them.
    async fn news(&self) -> Vec<(u64, Route)> {
        match self.mesh.route(&self.agent).await {
            Ok(Some((_, revision))) if revision > self.reported => {
                let history = self.mesh.route_history(&self.agent).await.unwrap_or_default();
                let is_new = |(revision, route): &(u64, Route)| *revision > self.reported && route.rollout.is_some();
                history.into_iter().filter(is_new).collect()
            }
            Ok(_) | Err(_) => Vec::new(),
        }
    }

    /// The line about a decision.
    fn line(&self, route: &Route) -> Option<String> {
        let decision = route.decision.as_ref()?;
        let after = decision.at.since(self.started?).as_secs_f64();
        let reason = decision.reason.as_deref().unwrap_or_default();
        let Self { from, to, .. } = self;
        let what = match decision.what.as_str() {
            "started" => {
                let checks: Vec<Check> = decision
                    .numbers
                    .as_ref()
                    .and_then(|numbers| numbers.read().ok())
                    .unwrap_or_default();
                let names: Vec<&str> = checks.iter().map(|check| check.name.as_str()).collect();
                format!(
                    "{} % of the chains go to {to}; checked before: {}",
                    share(route),
                    names.join(", ")
                )
            }
            "advanced" => format!(
                "{} % go to {to}: {reason}{}",
                share(route),
                latency(decision.numbers.as_ref())
            ),
            "promoted" => format!(
                "100 % go to {to}: {reason}{}; {from} gets nothing new, and drains",
                latency(decision.numbers.as_ref())
            ),
            "rolled_back" => {
                let back = &route.active;
                format!("0 % go to {to}, rolled back to {back}: {reason}; {to} gets nothing new, and drains")
            }
            "drained" => {
                let versions = route.versions.iter();
                let mut drained = versions.filter(|(_, entry)| entry.state == VersionState::Drained);
                let version = drained.next().map(|(version, _)| version.to_string());
                format!("{} is drained: {reason}", version.unwrap_or_default())
            }
            "retired" | "declared" => return None,
            other => format!("{other}: {reason}"),
        };
        Some(format!("  {after:>5.1} s  {what}"))
    }

    /// The state of the rollout, for an error that says why nothing happens.
    async fn stands(&self) -> String {
        let question = ShowRollout(AboutAgent::one(self.agent.clone()));
        let asked = self.mesh.ask_controller(&question);
        match tokio::time::timeout(ANSWER, asked).await {
            Ok(Ok(status)) => {
                let open: Vec<String> = status
                    .drains
                    .iter()
                    .map(|drain| format!("{} is {} and has {} open", drain.version, drain.state, drain.open))
                    .collect();
                format!("{} {}", status.verdict.unwrap_or_default(), open.join(", "))
            }
            Ok(Err(error)) => error.to_string(),
            Err(_) => "no controller answers".to_owned(),
        }
    }
}

/// The share of the new version after a revision, in percent: its canary share, or 100 if it is active.
pub(super) fn share(route: &Route) -> u8 {
    match (&route.canary, &route.rollout) {
        (Some(canary), _) => canary.percent.get(),
        (None, Some(rollout)) if rollout.to == route.active => 100,
        (None, _) => 0,
    }
}

/// The evidence recorded with a decision.
pub(super) fn evidence(numbers: Option<&Json>) -> Option<EvidenceView> {
    numbers?.read().ok()
}

fn latency(numbers: Option<&Json>) -> String {
    let seen = evidence(numbers);
    match seen.map(|seen| (seen.to_in_step.p95_ms, seen.from.p95_ms)) {
        Some((Some(new), Some(old))) => format!(", p95 {new:.0} ms ({old:.0} ms)"),
        _ => String::new(),
    }
}
