//! What the crash, drain, dead-letter and priority tests share: programs behind gates, agents in this process, and what
//! every history must satisfy.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;
use std::{fmt, fs};

use baton_agent::{Agent, AgentBuilder, Fault, Handler, Hop, Json, Outcome, RunSummary};
use baton_controller::{Controller, ControllerConfig};
use baton_envelope::{Author, Envelope, Event, IntentId, MaxHops, Priority, Role, Status, WaitReason, next};
use baton_jetstream::{Filter, Head, Mesh, Submitted};
use baton_testkit::{ProcessGuard, eventually};
use futures::StreamExt as _;
use tempfile::TempDir;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::TestMesh;

/// Longer than the ack wait (10 s), with room for a busy machine.
pub const TAKEOVER: Duration = Duration::from_secs(15);
/// Well under the ack wait: what came within this time did not wait for it.
pub const NO_ACK_WAIT: Duration = Duration::from_secs(5);
/// How long anything may take that needs no timer.
pub const SOON: Duration = Duration::from_secs(15);

/// Reads one JSON object, runs the steps `one`, `two`, `three` that are not recorded, completes. Each thing that it
/// really does becomes a line of `log`. `payload.gate` names the step (or `outcome`) before which it waits for a file
/// `<intent>.<run>`, `run` counting the starts of this program for the intent. It ends when its worker is gone.
const STEPS: &str = r#"
import json, os, sys, time
folder = sys.argv[1]
told = json.loads(sys.stdin.readline())
parent, intent = os.getppid(), told["intent"]
gated = (told["payload"] or {}).get("gate")
path = os.path.join(folder, "log")

def log(what):
    with open(path, "a") as file:
        file.write(what + "\n")

def say(what):
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()

def gate(name):
    while gated == name and not os.path.exists(os.path.join(folder, f"{intent}.{run}")):
        if os.getppid() != parent:
            sys.exit(1)
        time.sleep(0.005)

log(f"{intent} run")
with open(path) as file:
    run = sum(line == f"{intent} run\n" for line in file)
for step in ["one", "two", "three"]:
    if step not in told["steps"]:
        gate(step)
        log(f"{intent} {step} {run}")
        say({"step": step, "result": run})
gate("outcome")
log(f"{intent} outcome {run}")
say({"outcome": "complete", "result": run})
"#;

/// A program in a folder of its own, with a log and gates.
#[derive(Debug)]
pub struct Program {
    dir: TempDir,
    exec: String,
}

impl Program {
    /// The program of three steps.
    #[must_use]
    pub fn three_steps() -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        let script = dir.path().join("steps.py");
        fs::write(&script, STEPS).expect("the script");
        // exec: the program's parent is then the worker itself, and not a shell.
        let exec = format!("exec python3 {} {}", script.display(), dir.path().display());
        Self { dir, exec }
    }

    /// A line for `sh -c`; `{dir}` in it is the program's folder.
    #[must_use]
    pub fn shell(line: &str) -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        let exec = line.replace("{dir}", &dir.path().display().to_string());
        Self { dir, exec }
    }

    /// The line for `sh -c`.
    #[must_use]
    pub fn exec(&self) -> &str {
        &self.exec
    }

    /// The folder.
    #[must_use]
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Starts a `baton worker` process that runs it.
    #[must_use]
    pub fn worker(&self, mesh: &TestMesh, agent: &str, name: &str, args: &[&str]) -> ProcessGuard {
        self.worker_of(mesh, (agent, "1.0.0"), name, args)
    }

    /// Starts a `baton worker` process of a version that runs it.
    #[must_use]
    pub fn worker_of(
        &self,
        mesh: &TestMesh,
        (agent, version): (&str, &str),
        name: &str,
        args: &[&str],
    ) -> ProcessGuard {
        let mut command = mesh.baton(&["worker", "--agent", agent, "--version", version, "--exec", &self.exec]);
        command.args(args).env("BATON_LOG", "info,async_nats=off");
        ProcessGuard::spawn(name, command, self.dir())
    }

    /// What the program did for an intent, without its starts: `one 1` is step one in the first run.
    #[must_use]
    pub fn did(&self, intent: &IntentId) -> Vec<String> {
        self.lines(intent).into_iter().filter(|line| line != "run").collect()
    }

    /// How often the program was started for an intent.
    #[must_use]
    pub fn runs(&self, intent: &IntentId) -> usize {
        self.lines(intent).iter().filter(|line| *line == "run").count()
    }

    fn lines(&self, intent: &IntentId) -> Vec<String> {
        let log = fs::read_to_string(self.dir().join("log")).unwrap_or_default();
        let prefix = format!("{intent} ");
        log.lines()
            .filter_map(|line| line.strip_prefix(&prefix).map(str::to_owned))
            .collect()
    }

    /// Opens the gate of one run.
    pub fn open_gate(&self, intent: &IntentId, run: usize) {
        self.touch(&format!("{intent}.{run}"));
    }

    /// Creates a file in the folder.
    pub fn touch(&self, name: &str) {
        fs::write(self.dir().join(name), "").expect("a file");
    }
}

/// Waits until a worker process takes work.
pub async fn ready(worker: &ProcessGuard) {
    logged(worker, "worker ready").await;
}

/// Waits until a process has written this to its log.
pub async fn logged(worker: &ProcessGuard, text: &str) {
    eventually(&format!("the log says {text:?}"), SOON, async || {
        let log = worker.stderr();
        log.contains(text).then_some(()).ok_or(log)
    })
    .await;
}

/// An agent in this process, on a connection of its own.
#[derive(Debug)]
pub struct Running {
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<RunSummary>,
}

impl Running {
    /// Binds the agent and lets it work.
    pub async fn start(url: &str, builder: AgentBuilder) -> Self {
        let mesh = crate::connect(url).await;
        let worker = builder.bind(&mesh).await.expect("bind");
        let (stop, stopped) = oneshot::channel::<()>();
        let task = tokio::spawn(async move {
            let stopped = async move {
                if stopped.await.is_err() {
                    std::future::pending::<()>().await;
                }
            };
            worker.run_until(stopped).await.expect("worker")
        });
        let stop = Some(stop);
        Self { stop, task }
    }

    /// Tells it to stop and waits for its end.
    pub async fn stop(mut self) -> RunSummary {
        if let Some(stop) = self.stop.take() {
            stop.send(()).expect("the worker has ended by itself");
        }
        (&mut self.task).await.expect("the worker's task")
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A handler made of a closure over the envelope.
pub struct ByEnvelope<F>(F);

impl<F> ByEnvelope<F> {
    /// A handler.
    pub const fn new(run: F) -> Self {
        Self(run)
    }
}

impl<F> fmt::Debug for ByEnvelope<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ByEnvelope").finish_non_exhaustive()
    }
}

impl<F, Fut> Handler for ByEnvelope<F>
where
    F: Fn(Envelope) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<Outcome, Fault>> + Send + 'static,
{
    type Input = Json;

    async fn handle(&self, hop: &mut Hop, _payload: Json) -> Result<Outcome, Fault> {
        (self.0)(hop.envelope().clone()).await
    }
}

/// An agent, version 1.0.0, that runs a closure.
pub fn agent<F, Fut>(name: &str, run: F) -> AgentBuilder
where
    F: Fn(Envelope) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<Outcome, Fault>> + Send + 'static,
{
    agent_at(name, "1.0.0", run)
}

/// An agent of a version that runs a closure.
pub fn agent_at<F, Fut>(name: &str, version: &str, run: F) -> AgentBuilder
where
    F: Fn(Envelope) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<Outcome, Fault>> + Send + 'static,
{
    Agent::builder(name, version).expect("agent").handler(ByEnvelope(run))
}

impl TestMesh {
    /// Kills the controller (as far as a task can be killed) and restarts the server on the same store; then a new
    /// controller starts on a new connection.
    pub async fn restart_everything(&mut self) {
        self.controller.abort();
        self.server.restart().await;
        self.mesh = crate::connect(self.server.url()).await;
        let controller = Controller::new(self.mesh.clone(), ControllerConfig::default());
        self.controller = tokio::spawn(async move {
            controller.run_until(std::future::pending()).await.expect("controller");
        });
    }

    /// Stops the controller, as far as a task can be killed.
    #[must_use]
    pub fn without_controller(self) -> Self {
        self.controller.abort();
        self
    }

    /// All records of an intent.
    pub async fn history_of(&self, intent: &IntentId) -> Vec<Head> {
        self.mesh.history(intent, 1).await.expect("history")
    }

    /// The present of an intent.
    pub async fn head_of(&self, intent: &IntentId) -> Head {
        self.mesh.head(intent).await.expect("head").expect("a record")
    }

    /// Waits until so many records of an event are there.
    pub async fn until_events(&self, intent: &IntentId, event: &Event, count: usize, max: Duration) {
        eventually(&format!("{intent} has {count} × {}", event.name()), max, async || {
            let history = self.mesh.history(intent, 1).await.map_err(|error| error.to_string())?;
            let found = history.iter().filter(|head| head.record.event == *event).count();
            let events: Vec<&str> = history.iter().map(|head| head.record.event.name()).collect();
            (found >= count).then_some(()).ok_or_else(|| events.join(" "))
        })
        .await;
    }

    /// Runs a `baton` command to its end.
    pub async fn run_baton(&self, args: &[&str]) -> Output {
        let mut command: Command = self.baton(args);
        tokio::task::spawn_blocking(move || command.output())
            .await
            .expect("join")
            .expect("baton runs")
    }

    /// Puts a parked intent back with the CLI; further arguments are its flags.
    pub async fn redrive(&self, intent: &IntentId, flags: &[&str]) {
        let mut args = vec!["dead", "redrive", intent.as_str()];
        args.extend(flags);
        let output = self.run_baton(&args).await;
        assert!(output.status.success(), "redrive of {intent}: {output:?}");
    }

    /// An envelope for a new intent.
    pub fn envelope(&self, id: &str, agent: &str, payload: &str) -> Envelope {
        let id: IntentId = id.parse().expect("intent id");
        let agent = agent.parse().expect("agent name");
        let payload = Json::parse(payload).expect("payload");
        Envelope::first(self.mesh.clock().envelope_id(), id, agent, payload)
    }

    /// Submits an envelope as soon as its agent is known.
    pub async fn submit_envelope(&self, envelope: Envelope) -> IntentId {
        let intent = envelope.intent.clone();
        Box::pin(submit_whatever_comes(&self.mesh, envelope)).await;
        intent
    }

    /// Submits many at a time, and pursues each until it is in, whatever happens to the server meanwhile.
    pub async fn submit_all(&self, envelopes: Vec<Envelope>) -> Vec<IntentId> {
        submit_all(&self.mesh, envelopes).await
    }

    /// Waits until all of these are completed.
    pub async fn until_all_completed(&self, count: usize, max: Duration) {
        eventually(&format!("{count} intents are completed"), max, async || {
            let heads = self
                .mesh
                .list(&Filter::default())
                .await
                .map_err(|error| error.to_string())?
                .heads;
            let mut open = heads
                .iter()
                .filter(|head| head.record.snapshot.status.name() != "completed");
            match open.next() {
                None if heads.len() == count => Ok(()),
                None => Err(format!("{} of {count} are there", heads.len())),
                Some(head) => {
                    let (intent, snapshot) = (&head.record.intent, &head.record.snapshot);
                    let more = open.count();
                    Err(format!(
                        "{intent} is {} at hop {}, and {more} more",
                        snapshot.status, snapshot.hop
                    ))
                }
            }
        })
        .await;
    }

    /// The histories of many intents.
    pub async fn histories(&self, intents: &[IntentId]) -> Vec<Vec<Head>> {
        futures::stream::iter(intents)
            .map(|intent| self.history_of(intent))
            .buffered(32)
            .collect()
            .await
    }
}

/// As [`TestMesh::submit_all`], on a connection.
pub async fn submit_all(mesh: &Mesh, envelopes: Vec<Envelope>) -> Vec<IntentId> {
    futures::stream::iter(envelopes)
        .map(|envelope| async {
            let intent = envelope.intent.clone();
            Box::pin(submit_whatever_comes(mesh, envelope)).await;
            intent
        })
        .buffered(64)
        .collect()
        .await
}

async fn submit_whatever_comes(mesh: &Mesh, envelope: Envelope) {
    let until = Instant::now() + Duration::from_secs(60);
    let by = Author::of(Role::Client, "test");
    loop {
        match mesh.submit_when_known(envelope.clone(), by.clone(), SOON).await {
            Ok(Submitted::New { .. } | Submitted::Repeated(_)) => return,
            Ok(Submitted::Conflict { head, .. }) => panic!("conflict with {head:?}"),
            Err(error) if Instant::now() > until => panic!("{} cannot be submitted: {error}", envelope.intent),
            // Unknown: the id makes the repeat the same intent.
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}

/// Sets the priority of an envelope.
#[must_use]
pub fn urgent(mut envelope: Envelope, priority: i64) -> Envelope {
    envelope.priority = Priority::new(priority).expect("priority");
    envelope
}

/// Sets the limit on hops of an envelope.
#[must_use]
pub fn at_most(mut envelope: Envelope, hops: i64) -> Envelope {
    envelope.max_hops = MaxHops::new(hops).expect("max hops");
    envelope
}

/// Checks a finished history: legal under `next`, exactly one terminal record and that one last, hops within the limit,
/// epochs that never shrink, and each hop committed once.
pub fn assert_legal(history: &[Head]) {
    let told = || -> Vec<String> {
        let line = |head: &Head| {
            let (record, at) = (&head.record, &head.record.snapshot);
            let event = record.event.name();
            format!(
                "{} {event} hop {} attempt {} epoch {} by {}",
                head.seq, at.hop, at.attempt, at.epoch, record.by.instance
            )
        };
        history.iter().map(line).collect()
    };
    let mut status = None;
    let mut before: Option<&Head> = None;
    for head in history {
        let (record, snapshot) = (&head.record, &head.record.snapshot);
        let mut after = next(status.as_ref(), &record.event).unwrap_or_else(|error| panic!("{error}: {:#?}", told()));
        if status.is_none() && snapshot.wake_at.is_some() {
            // Work that begins later waits for its time first.
            after = Status::Waiting {
                reason: WaitReason::Time,
            };
        }
        if matches!(record.event, Event::Submitted | Event::Redriven) && snapshot.is_before_its_turn() {
            after = Status::Waiting {
                reason: WaitReason::Order,
            };
        }
        if status.is_none() && record.broadcast.is_some() {
            // No agent has it: it waits for its copies.
            after = Status::Waiting {
                reason: WaitReason::Children,
            };
        }
        if record.event == Event::Redriven && snapshot.is_undoing() && record.envelope.is_none() {
            after = Status::Compensating;
        }
        assert_eq!(after, snapshot.status, "{:#?}", told());
        assert!(snapshot.hop <= snapshot.max_hops.get(), "{:#?}", told());
        if let Some(before) = before {
            assert!(before.seq < head.seq, "{:#?}", told());
            assert!(before.record.snapshot.epoch <= snapshot.epoch, "{:#?}", told());
        }
        (status, before) = (Some(after), Some(head));
    }
    let terminal = |head: &&Head| head.record.snapshot.status.is_terminal();
    assert_eq!(history.iter().filter(terminal).count(), 1, "{:#?}", told());
    assert!(history.last().as_ref().is_some_and(terminal), "{:#?}", told());
    for (hop, count) in commits(history) {
        assert_eq!(count, 1, "commits of hop {hop}: {:#?}", told());
    }
}

/// How often each hop was committed. A commit is written on the state of the hop that it ends.
pub fn commits(history: &[Head]) -> BTreeMap<u32, usize> {
    let mut found = BTreeMap::new();
    for pair in history.windows(2) {
        if let [before, head] = pair
            && matches!(head.record.event, Event::HandedOff | Event::Completed)
        {
            *found.entry(before.record.snapshot.hop).or_default() += 1;
        }
    }
    found
}

/// The names of the events.
pub fn events(history: &[Head]) -> Vec<&str> {
    history.iter().map(|head| head.record.event.name()).collect()
}

/// How many records of an event there are, by its wire name.
#[must_use]
pub fn count(history: &[Head], event: &str) -> usize {
    events(history).into_iter().filter(|found| *found == event).count()
}

/// The workers that wrote, in order, each once.
pub fn workers(history: &[Head]) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    for head in history.iter().filter(|head| head.record.by.role == Role::Worker) {
        if !found.contains(&head.record.by.instance) {
            found.push(head.record.by.instance.clone());
        }
    }
    found
}
