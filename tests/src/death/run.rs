//! One run of a pattern: its names, what its agents and its client do, and what really happened.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use baton_agent::{Agent, AgentBuilder, Fault, Handler, Hop, Json, Outcome};
use baton_envelope::control::Question;
use baton_envelope::{Author, Envelope, IntentId, Role, Route, Timestamp};
use baton_jetstream::{Head, Mesh};
use baton_testkit::eventually;
use futures::future::BoxFuture;
use tokio::sync::watch;

use super::{Accident, PATIENCE};

/// How long an answer may take. What asks a controller that died hears nothing, and asks again.
const ANSWER: Duration = Duration::from_secs(4);
/// The statuses of what has ended.
const ENDS: [&str; 5] = ["completed", "failed", "cancelled", "rejected", "timed_out"];

/// One run of a pattern.
#[derive(Debug, Clone)]
pub struct Run {
    pattern: &'static str,
    tag: String,
    seen: Arc<Mutex<Seen>>,
    later: Arc<OnceLock<Timestamp>>,
    phase: watch::Sender<usize>,
}

/// What really happened in a run, beside what the ledger says.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// How often the effect of each step ran, by intent and step.
    pub(super) effects: BTreeMap<(IntentId, String), usize>,
    /// The signals that were sent: name and id.
    pub(super) signals: BTreeMap<String, String>,
    /// The intents of the run.
    pub(super) intents: BTreeSet<IntentId>,
    /// Times that the client noted.
    times: BTreeMap<&'static str, Timestamp>,
}

impl Run {
    pub(super) fn new(pattern: &'static str, accident: Accident) -> Self {
        Self {
            pattern,
            tag: accident.to_string(),
            seen: Arc::default(),
            later: Arc::default(),
            phase: watch::Sender::new(0),
        }
    }

    pub(super) fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The name of an agent in this run.
    #[must_use]
    pub fn agent(&self, role: &str) -> String {
        format!("{role}-{}-{}", self.pattern, self.tag)
    }

    /// The intent of this run, or the first of several.
    #[must_use]
    pub fn intent(&self) -> IntentId {
        crate::gated::id(&format!("{}-{}", self.pattern, self.tag))
    }

    /// Another intent of this run.
    #[must_use]
    pub fn another(&self, name: &str) -> IntentId {
        crate::gated::id(&format!("{}-{}-{name}", self.pattern, self.tag))
    }

    /// The intents of this run: what was submitted, and what [`Run::also`] names.
    #[must_use]
    pub fn intents(&self) -> BTreeSet<IntentId> {
        self.seen().intents.clone()
    }

    /// Counts an intent as one of this run, which nobody submits by [`Run::submit`].
    pub fn also(&self, intent: IntentId) {
        self.seen().intents.insert(intent);
    }

    /// The same time in every call: so long after the first.
    pub fn later(&self, client: &Mesh, after: Duration) -> Timestamp {
        *self.later.get_or_init(|| client.now().plus(after))
    }

    /// Notes a time under a name; the first counts.
    pub fn note(&self, name: &'static str, at: Timestamp) {
        self.seen().times.entry(name).or_insert(at);
    }

    /// A time that was noted.
    #[must_use]
    pub fn noted(&self, name: &str) -> Option<Timestamp> {
        self.seen().times.get(name).copied()
    }

    /// How far the client has come: what it would know from its own disk after its death.
    #[must_use]
    pub fn phase(&self) -> usize {
        *self.phase.borrow()
    }

    /// Notes that the client has come so far.
    pub fn reach(&self, phase: usize) {
        self.phase.send_modify(|now| *now = phase.max(*now));
    }

    /// Waits until the client has come so far.
    pub async fn reached(&self, phase: usize) {
        let mut now = self.phase.subscribe();
        now.wait_for(|now| *now >= phase).await.expect("this run holds it");
    }

    /// An agent whose hops run a script.
    pub fn scripted<F>(&self, role: &str, script: F) -> AgentBuilder
    where
        F: for<'h> Fn(&'h mut Hop, &'h Self) -> BoxFuture<'h, Result<Outcome, Fault>> + Send + Sync + 'static,
    {
        let (run, script) = (self.clone(), Box::new(script));
        let handler = Scripted { run, script };
        Agent::builder(&self.agent(role), "1.0.0")
            .expect("agent")
            .handler(handler)
    }

    /// A step of a script; its effect is counted.
    ///
    /// # Errors
    /// As [`Hop::step`].
    pub async fn step(&self, hop: &mut Hop, name: &str) -> Result<(), Fault> {
        let key = (hop.intent().clone(), name.to_owned());
        let effect = || async {
            *self.seen().effects.entry(key).or_default() += 1;
            Ok::<_, Fault>("done".to_owned())
        };
        hop.step(name, effect).await.map(|_: String| ())
    }

    /// As [`Run::step`], with an undo: an agent of this run gets the name of the step.
    ///
    /// # Errors
    /// As [`Hop::step_undoable`].
    pub async fn undoable(&self, hop: &mut Hop, name: &str, role: &str) -> Result<(), Fault> {
        let key = (hop.intent().clone(), name.to_owned());
        let effect = || async {
            *self.seen().effects.entry(key).or_default() += 1;
            Ok::<_, Fault>("done".to_owned())
        };
        let agent = self.agent(role);
        let done = hop.step_undoable(name, effect, &agent, |_: &String| name.to_owned());
        done.await.map(|_: String| ())
    }

    /// Submits the intent of this run, however often it takes.
    pub async fn submit(&self, client: &Mesh, role: &str, change: impl Fn(&mut Envelope) + Send + Sync) {
        self.submit_as(client, role, self.intent(), change).await;
    }

    /// Submits an intent of this run, however often it takes.
    pub async fn submit_as(
        &self,
        client: &Mesh,
        role: &str,
        intent: IntentId,
        change: impl Fn(&mut Envelope) + Send + Sync,
    ) {
        let agent = self.agent(role);
        self.also(intent.clone());
        eventually(&format!("{intent} is submitted"), PATIENCE, async || {
            let to = agent.parse().expect("agent name");
            let id = client.clock().envelope_id();
            let mut envelope = Envelope::first(id, intent.clone(), to, Json::null());
            change(&mut envelope);
            let by = Author::of(Role::Client, "test");
            let submitted = client.submit_when_known(envelope, by, PATIENCE).await;
            submitted.map(drop).map_err(|error| error.to_string())
        })
        .await;
    }

    /// Sends a signal; the name is its id, too.
    pub async fn signal(&self, client: &Mesh, name: &str) {
        let (intent, id) = (self.intent(), format!("{name}-{}", self.tag));
        self.seen().signals.insert(name.to_owned(), id.clone());
        eventually(&format!("{name} is sent to {intent}"), PATIENCE, async || {
            let body = format!("\"{name}\"").into();
            let sent = client.send_signal(&intent, name, Some(&id), body).await;
            sent.map(drop).map_err(|error| error.to_string())
        })
        .await;
    }

    /// Publishes what a person decides about a wait of the intent.
    pub async fn decide(&self, client: &Mesh, by: &str, (hop, wait): (u32, &str), choice: &str) {
        let intent = self.intent();
        let subject = format!("mesh.decide.{by}.{intent}.{hop}.{wait}.{choice}");
        eventually(&format!("{by} decides about {intent}"), PATIENCE, async || {
            let published = client.publish_raw(subject.clone(), Vec::new(), "".into()).await;
            published.map(drop).map_err(|error| error.to_string())
        })
        .await;
    }

    /// Asks a controller again and again until what is asked for is so: an answer may be lost, and then nobody knows.
    pub async fn ask_until<Q: Question>(
        &self,
        client: &Mesh,
        question: &Q,
        is_so: impl AsyncFn() -> Result<bool, String>,
    ) {
        let what = format!("{} of {}", Q::VERB, self.intent());
        eventually(&what, PATIENCE, async || {
            if is_so().await? {
                return Ok(());
            }
            let asked = tokio::time::timeout(ANSWER, client.ask_controller(question)).await;
            let answer = match asked {
                Ok(Ok(_)) => "it was answered".to_owned(),
                Ok(Err(error)) => error.to_string(),
                Err(_) => "no answer".to_owned(),
            };
            is_so().await?.then_some(()).ok_or(answer)
        })
        .await;
    }

    /// As [`Run::ask_until`], by the head of an intent.
    pub async fn ask_until_head<Q: Question>(
        &self,
        client: &Mesh,
        intent: &IntentId,
        question: &Q,
        is_so: impl Fn(&Head) -> bool,
    ) {
        self.ask_until(client, question, async || match client.head(intent).await {
            Ok(head) => Ok(head.as_ref().is_some_and(&is_so)),
            Err(error) => Err(error.to_string()),
        })
        .await;
    }

    /// As [`Run::ask_until`], by the route of an agent.
    pub async fn ask_until_route<Q: Question>(
        &self,
        client: &Mesh,
        role: &str,
        question: &Q,
        is_so: impl Fn(&Route) -> bool,
    ) {
        let agent = self.agent(role).parse().expect("agent name");
        self.ask_until(client, question, async || match client.route(&agent).await {
            Ok(route) => Ok(route.is_some_and(|(route, _)| is_so(&route))),
            Err(error) => Err(error.to_string()),
        })
        .await;
    }

    /// Waits until the status is one of these, by their wire names.
    pub async fn until(&self, client: &Mesh, statuses: &[&str]) -> Head {
        self.until_is(client, &self.intent(), statuses).await
    }

    /// Waits until the status of an intent is one of these, by their wire names.
    pub async fn until_is(&self, client: &Mesh, intent: &IntentId, statuses: &[&str]) -> Head {
        eventually(&format!("{intent} is {statuses:?}"), PATIENCE, async || {
            match client.head(intent).await {
                Ok(Some(head)) if statuses.contains(&head.record.snapshot.status.name()) => Ok(head),
                Ok(Some(head)) => Err(format!(
                    "{} ({})",
                    head.record.snapshot.status,
                    head.record.event.name()
                )),
                Ok(None) => Err("no record".to_owned()),
                Err(error) => Err(error.to_string()),
            }
        })
        .await
    }

    /// Waits until all has ended.
    pub async fn until_ended(&self, client: &Mesh) {
        for intent in self.intents() {
            self.until_is(client, &intent, &ENDS).await;
        }
    }
}

type Script = dyn for<'h> Fn(&'h mut Hop, &'h Run) -> BoxFuture<'h, Result<Outcome, Fault>> + Send + Sync;

struct Scripted {
    run: Run,
    script: Box<Script>,
}

impl Handler for Scripted {
    type Input = Json;

    async fn handle(&self, hop: &mut Hop, _: Json) -> Result<Outcome, Fault> {
        (self.script)(hop, &self.run).await
    }
}
