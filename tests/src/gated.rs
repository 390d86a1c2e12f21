//! What the tests of versions share: agents that say which version they are, a gate that holds their work, rollouts that
//! are steered over the control API.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use baton_agent::{AgentBuilder, Called, Json, Outcome};
use baton_envelope::control::{
    AboutAgent, DrainView, ExplainRoute, ExplainView, PromoteRollout, Question, RollBack, RolloutAct, ShowRollout,
    StartRollout, StatusView,
};
use baton_envelope::{AgentName, AgentVersion, IntentId, Margins, Percent, canary_bucket};
use baton_jetstream::{Error, Head};
use baton_testkit::eventually;
use serde::de::DeserializeOwned;
use tokio::sync::watch;

use crate::TestMesh;
use crate::chaos::{SOON, agent_at};

/// Who steers, where it does not matter.
pub const OPERATOR: &str = "alice@test";

/// Holds what comes to it until it is opened, and counts what came.
#[derive(Debug, Clone)]
pub struct Gate {
    open: watch::Sender<bool>,
    came: Arc<AtomicUsize>,
}

impl Gate {
    /// One that holds.
    #[must_use]
    pub fn shut() -> Self {
        Self {
            open: watch::Sender::new(false),
            came: Arc::default(),
        }
    }

    /// One that holds nothing.
    #[must_use]
    pub fn open() -> Self {
        let gate = Self::shut();
        gate.lift();
        gate
    }

    /// Lets everything go on, from now on.
    pub fn lift(&self) {
        self.open.send_replace(true);
    }

    /// How much has come to it.
    #[must_use]
    pub fn came(&self) -> usize {
        self.came.load(Ordering::SeqCst)
    }

    /// Counts, and waits until it is open.
    pub async fn pass(&self) {
        self.came.fetch_add(1, Ordering::SeqCst);
        let mut open = self.open.subscribe();
        open.wait_for(|open| *open).await.expect("the gate is there");
    }
}

/// An agent whose result is its own name and version, behind a gate.
#[must_use]
pub fn teller(name: &str, version: &str, gate: &Gate) -> AgentBuilder {
    let (said, gate) = (format!("{name}@{version}"), gate.clone());
    agent_at(name, version, move |_| {
        let (said, gate) = (said.clone(), gate.clone());
        async move {
            gate.pass().await;
            Outcome::complete(&said)
        }
    })
}

/// An agent, version 1.0.0, that hands everything on with its payload, behind a gate.
#[must_use]
pub fn passer(name: &str, next: &'static str, gate: &Gate) -> AgentBuilder {
    passer_at(name, "1.0.0", next, gate)
}

/// Likewise, of a version.
#[must_use]
pub fn passer_at(name: &str, version: &str, next: &'static str, gate: &Gate) -> AgentBuilder {
    let gate = gate.clone();
    agent_at(name, version, move |envelope| {
        let gate = gate.clone();
        async move {
            gate.pass().await;
            Outcome::hand_off(next, &envelope.payload)
        }
    })
}

/// An id.
#[must_use]
pub fn id(text: &str) -> IntentId {
    text.parse().expect("intent id")
}

/// Ids that begin with `prefix` and whose buckets lie in `range`.
pub fn ids_in(prefix: &str, range: Range<u8>) -> impl Iterator<Item = IntentId> {
    (0_u32..)
        .map(move |number| id(&format!("{prefix}-{number}")))
        .filter(move |id| range.contains(&canary_bucket(id)))
}

/// What an intent came to, as text.
#[must_use]
pub fn result(head: &Head) -> String {
    let result = head.record.snapshot.result.as_ref();
    result.and_then(|result| result.read().ok()).unwrap_or_default()
}

/// What an intent came to, as a value of a type.
///
/// # Panics
/// When it has no result, or one of another type.
#[must_use]
#[track_caller]
pub fn result_as<T: DeserializeOwned>(head: &Head) -> T {
    let result = head.record.snapshot.result.as_ref().expect("a result");
    result.read().expect("a result of that type")
}

/// What a child came to, in a word: its text where it has completed, else its code, or its state where it has none.
#[must_use]
pub fn said(called: &Called) -> String {
    let code = || called.code().unwrap_or(called.state()).to_owned();
    called.result::<String>().unwrap_or_else(|_| code())
}

/// The version that had an intent last.
#[must_use]
pub fn version_of(head: &Head) -> String {
    let version = head.record.snapshot.version.as_ref();
    version.map(ToString::to_string).unwrap_or_default()
}

/// The agent that had an intent last.
#[must_use]
pub fn agent_of(head: &Head) -> String {
    let agent = head.record.snapshot.agent.as_ref();
    agent.map(ToString::to_string).unwrap_or_default()
}

fn agent_name(text: &str) -> AgentName {
    text.parse().expect("agent name")
}

fn version(text: &str) -> AgentVersion {
    text.parse().expect("version")
}

impl TestMesh {
    /// Asks a controller.
    ///
    /// # Errors
    /// What the controller refuses with.
    pub async fn ask<Q: Question>(&self, question: &Q) -> Result<Q::Answer, Error> {
        self.mesh.ask_controller(question).await
    }

    /// Waits until a version of an agent is in a state, by its wire name.
    pub async fn until_version_is(&self, agent: &str, of: &str, state: &str) {
        let name = agent_name(agent);
        eventually(&format!("{agent}@{of} is {state}"), SOON, async || {
            match self.mesh.route(&name).await {
                Ok(Some((route, _))) => match route.state(&version(of)) {
                    Some(found) if found.name() == state => Ok(()),
                    found => Err(format!("{found:?}; {:?}", route.decision)),
                },
                other => Err(format!("{other:?}")),
            }
        })
        .await;
    }

    /// What asks for a rollout with these shares, of which nothing comes by itself.
    #[must_use]
    pub fn rollout_to(&self, agent: &str, to: &str, steps: &[u64]) -> StartRollout {
        StartRollout {
            id: self.mesh.clock().intent_id().to_string(),
            agent: agent_name(agent),
            version: version(to),
            steps: steps.iter().map(|share| Percent::new(*share).expect("share")).collect(),
            hold_seconds: 0,
            auto: false,
            at_once: steps.is_empty(),
            force: false,
            margins: Margins::default(),
            by: OPERATOR.to_owned(),
        }
    }

    /// Gives a version the first of these shares of the new work; nothing more comes by itself.
    pub async fn start_rollout(&self, agent: &str, to: &str, steps: &[u64]) -> StatusView {
        let question = self.rollout_to(agent, to, steps);
        self.ask(&question).await.expect("started")
    }

    /// Takes the next step.
    pub async fn promote(&self, agent: &str, to_end: bool) -> StatusView {
        let question = PromoteRollout(RolloutAct {
            reason: None,
            agent: agent_name(agent),
            by: OPERATOR.to_owned(),
            take_over: false,
            to_end,
        });
        self.ask(&question).await.expect("promoted")
    }

    /// Gives the new work back.
    pub async fn rollback(&self, agent: &str) -> StatusView {
        let question = RollBack {
            reason: None,
            agent: agent_name(agent),
            to: None,
            by: OPERATOR.to_owned(),
        };
        self.ask(&question).await.expect("rolled back")
    }

    /// Where the rollout of an agent stands.
    pub async fn status_of(&self, agent: &str) -> StatusView {
        let question = ShowRollout(AboutAgent::one(agent_name(agent)));
        self.ask(&question).await.expect("a status")
    }

    /// Waits until what holds a version is as it should be.
    pub async fn until_held(
        &self,
        agent: &str,
        of: &str,
        what: &str,
        is_so: impl Fn(&DrainView) -> bool + Sync,
    ) -> DrainView {
        eventually(&format!("{agent}@{of} is held by {what}"), SOON, async || {
            let drains = self.status_of(agent).await.drains;
            let found = drains.into_iter().find(|drain| drain.version == version(of));
            found
                .as_ref()
                .filter(|drain| is_so(drain))
                .cloned()
                .ok_or(format!("{found:?}"))
        })
        .await
    }

    /// Which version of an agent would take an intent.
    pub async fn explain(&self, agent: &str, intent: &IntentId) -> ExplainView {
        let question = ExplainRoute {
            agent: Some(agent_name(agent)),
            intent: Some(intent.clone()),
            ..ExplainRoute::default()
        };
        self.ask(&question).await.expect("explained")
    }

    /// Which agent would take work that needs something.
    pub async fn explain_capable(&self, needed: &[&str], intent: Option<&IntentId>) -> ExplainView {
        let question = ExplainRoute {
            capabilities: needed.iter().map(|&one| one.to_owned()).collect(),
            intent: intent.cloned(),
            ..ExplainRoute::default()
        };
        self.ask(&question).await.expect("explained")
    }

    /// What the server says of a stream.
    pub async fn stream_state(&self, stream: &str) -> serde_json::Value {
        let info = self
            .server
            .api(&format!("STREAM.INFO.{stream}"), &serde_json::json!({}))
            .await;
        info.get("state").cloned().unwrap_or_else(|| panic!("no state: {info}"))
    }

    /// Waits until the routers have dealt with all that was published.
    pub async fn until_intake_is_empty(&self) {
        eventually("the intake is empty", SOON, async || {
            let state = self.stream_state("MESH_INTAKE").await;
            let left = state.get("messages").and_then(serde_json::Value::as_u64);
            (left == Some(0)).then_some(()).ok_or(state.to_string())
        })
        .await;
    }

    /// Submits an intent with an empty payload to an agent.
    pub async fn submit_to(&self, agent: &str, intent: &IntentId) {
        let mut envelope = self.envelope(intent.as_str(), agent, "null");
        envelope.payload = Json::null();
        self.submit_envelope(envelope).await;
    }
}
