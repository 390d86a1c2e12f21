//! One run of a pattern: its names, what its agents and its client do, and what really happened.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use baton_agent::{Agent, AgentBuilder, Amounts, Fault, Handler, Hop, Json, Outcome};
use baton_envelope::control::Question;
use baton_envelope::{Author, Envelope, IntentId, Role, Route, Snapshot, Timestamp};
use baton_jetstream::{Head, Mesh};
use baton_testkit::eventually;
use futures::future::BoxFuture;

use super::seen::{Fact, Log, Seen};
use super::{Accident, PATIENCE, Victim};

/// How long an answer may take. What asks a controller that died hears nothing, and asks again.
const ANSWER: Duration = Duration::from_secs(4);
/// The statuses of what has ended.
const ENDS: [&str; 5] = ["completed", "failed", "cancelled", "rejected", "timed_out"];

/// How often a script looks how far the client has come.
const LOOK: Duration = Duration::from_millis(10);

/// One run of a pattern.
#[derive(Debug, Clone)]
pub struct Run {
    pattern: &'static str,
    tag: String,
    log: Log,
    /// Whether this process is a part of the run alone, which may be stopped and woken.
    is_apart: bool,
    /// Whether its victim is a worker that is woken.
    is_frozen: bool,
}

impl Run {
    /// One in this process.
    pub(super) fn new(pattern: &'static str, accident: &Accident) -> Self {
        Self {
            pattern,
            tag: accident.to_string(),
            log: Log::in_memory(),
            is_apart: false,
            is_frozen: matches!(accident, Accident::Frozen(moment) if matches!(moment.victim, Victim::Worker(_))),
        }
    }

    /// One of which a part is a process of its own.
    pub(super) fn shared(pattern: &'static str, accident: &Accident) -> Self {
        Self {
            log: Log::in_file(),
            ..Self::new(pattern, accident)
        }
    }

    /// The same run, in that process.
    pub(super) fn apart(pattern: &'static str, tag: &str, log: &Path) -> Self {
        Self {
            pattern,
            tag: tag.to_owned(),
            log: Log::at(log),
            is_apart: true,
            is_frozen: true,
        }
    }

    pub(super) fn tag(&self) -> &str {
        &self.tag
    }

    /// Where the processes of this run write down what happened, if there are several.
    pub(super) fn log(&self) -> Option<&Path> {
        self.log.path()
    }

    pub(super) fn seen(&self) -> Seen {
        self.log.seen()
    }

    pub(super) fn tell(&self, fact: Fact) {
        self.log.tell(fact);
    }

    /// Waits until the client that is a process of its own has done what it had to do.
    pub(super) async fn stopped(&self) {
        while !self.seen().has_stopped {
            tokio::time::sleep(LOOK).await;
        }
    }

    /// How often one effect may run once more than is recorded: a holder that froze between its announcement and the effect runs
    /// it when it wakes up.
    pub(super) fn repeats(&self) -> usize {
        usize::from(self.is_frozen)
    }

    /// As [`baton_testkit::eventually`]; but a client that was stopped has all the time that it was, and begins nothing more
    /// when it wakes up and all has ended: whoever runs it knows better by then.
    pub async fn eventually<T>(
        &self,
        what: &str,
        max: Duration,
        mut probe: impl AsyncFnMut() -> Result<T, String>,
    ) -> T {
        if !self.is_apart {
            return eventually(what, max, probe).await;
        }
        loop {
            if self.seen().is_over {
                self.tell(Fact::Stopped);
                std::future::pending::<()>().await;
            }
            if let Ok(value) = probe().await {
                return value;
            }
            tokio::time::sleep(LOOK).await;
        }
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
        self.seen().intents
    }

    /// Counts an intent as one of this run, which nobody submits by [`Run::submit`].
    pub fn also(&self, intent: IntentId) {
        self.tell(Fact::Intent(intent));
    }

    /// The same time in every call: so long after the first.
    pub fn later(&self, client: &Mesh, after: Duration) -> Timestamp {
        if let Some(later) = self.seen().later {
            return later;
        }
        let later = client.now().plus(after);
        self.tell(Fact::Later(later));
        self.seen().later.unwrap_or(later)
    }

    /// Notes a time under a name; the first counts.
    pub fn note(&self, name: &str, at: Timestamp) {
        self.tell(Fact::Time(name.to_owned(), at));
    }

    /// A time that was noted.
    #[must_use]
    pub fn noted(&self, name: &str) -> Option<Timestamp> {
        self.seen().times.get(name).copied()
    }

    /// How far the client has come: what it would know from its own disk after its death.
    #[must_use]
    pub fn phase(&self) -> usize {
        self.seen().phase
    }

    /// Notes that the client has come so far.
    pub fn reach(&self, phase: usize) {
        self.tell(Fact::Phase(phase));
    }

    /// Waits until the client has come so far.
    pub async fn reached(&self, phase: usize) {
        while self.phase() < phase {
            tokio::time::sleep(LOOK).await;
        }
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
        let fact = Fact::Effect(hop.intent().clone(), name.to_owned());
        let effect = || async {
            self.tell(fact);
            Ok::<_, Fault>("done".to_owned())
        };
        hop.step(name, effect).await.map(|_: String| ())
    }

    /// As [`Run::step`], a call that holds so many tokens and takes them.
    ///
    /// # Errors
    /// As [`Hop::spend`].
    pub async fn spend(&self, hop: &mut Hop, name: &str, tokens: u64) -> Result<(), Fault> {
        let fact = Fact::Effect(hop.intent().clone(), name.to_owned());
        let call = |_| async {
            self.tell(fact);
            Ok::<_, Fault>("done".to_owned())
        };
        let spent = hop.spend(name, Amounts::tokens(tokens), call);
        spent.await.map(|_: String| ())
    }

    /// As [`Run::step`], with an undo: an agent of this run gets the name of the step.
    ///
    /// # Errors
    /// As [`Hop::step_undoable`].
    pub async fn undoable(&self, hop: &mut Hop, name: &str, role: &str) -> Result<(), Fault> {
        let fact = Fact::Effect(hop.intent().clone(), name.to_owned());
        let effect = || async {
            self.tell(fact);
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
        self.eventually(&format!("{intent} is submitted"), PATIENCE, async || {
            self.also(intent.clone());
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
        self.eventually(&format!("{name} is sent to {intent}"), PATIENCE, async || {
            self.tell(Fact::Signal(name.to_owned(), id.clone()));
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
        self.eventually(&format!("{by} decides about {intent}"), PATIENCE, async || {
            let published = client.publish_raw(subject.clone(), Vec::new(), "".into()).await;
            published.map(drop).map_err(|error| error.to_string())
        })
        .await;
    }

    /// Asks a controller once.
    ///
    /// # Errors
    /// Its refusal, or that it did not answer: then nobody knows.
    pub async fn ask<Q: Question>(&self, client: &Mesh, question: &Q) -> Result<Q::Answer, String> {
        match tokio::time::timeout(ANSWER, client.ask_controller(question)).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err("no answer".to_owned()),
        }
    }

    /// Asks a controller again and again until what is asked for is so: an answer may be lost, and then nobody knows.
    pub async fn ask_until<Q: Question>(
        &self,
        client: &Mesh,
        question: &Q,
        is_so: impl AsyncFn() -> Result<bool, String>,
    ) {
        let what = format!("{} of {}", Q::VERB, self.intent());
        self.eventually(&what, PATIENCE, async || {
            if is_so().await? {
                return Ok(());
            }
            let answer = self.ask(client, question).await;
            let answer = answer.err().unwrap_or_else(|| "it was answered".to_owned());
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
        self.eventually(&format!("{intent} is {statuses:?}"), PATIENCE, async || {
            match client.head(intent).await {
                Ok(Some(head)) if statuses.contains(&head.record.snapshot.status.name()) => Ok(head),
                Ok(Some(head)) => {
                    let Snapshot { status, .. } = &head.record.snapshot;
                    Err(format!("{status} ({})", head.record.event.name()))
                }
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
