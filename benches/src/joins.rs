//! W11: what a join costs. Parents call many children and go on when all have ended; beside them as many flat intents for the same
//! agent. W12: what a key costs. Intents that wait for their turn, with many keys and with one.
//!
//! A controller runs in this process, since its rounds gather the ends of children and give the next turn. Its share of the CPU
//! is part of the client's: it follows the ledger, whatever kind of work there is, and the CPU is counted until it has caught up.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use baton_agent::{Agent, Call, Fault, Handler, Hop, Json, Outcome};
use baton_controller::{Controller, ControllerConfig};
use baton_envelope::control::{AboutAgent, ShowRollout};
use baton_envelope::{AgentName, Bands, Envelope};
use baton_jetstream::{ControllerMesh, Error, Mesh};
use tokio::sync::{Notify, oneshot};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::baton::{Crew, payload, submit, submit_and_wait, version};
use crate::error::BenchError;
use crate::measure::{SUBMITTERS, concurrently};
use crate::meter::{Spent, memory_mb};
use crate::options::{Only, Options};
use crate::report::{Fact, Report, Target};
use crate::run::Say;
use crate::site::{ServerSetup, Site};
use crate::stats::{count, median};
use crate::workload::Workload;

/// How many children a parent has.
const SIZES: [u64; 4] = [10, 100, 1_000, 5_000];
/// The children of a parent stand in one record: 5,000 of these fit.
const PAYLOAD: usize = 32;
/// How many keys there are in the first half of W12.
const KEYS: u64 = 100;
/// How long all of a measurement may take.
const PATIENCE: Duration = Duration::from_secs(300);
/// How long to leave the controller alone before it is asked once more whether it has caught up.
const BETWEEN_LOOKS: Duration = Duration::from_millis(2);
const PARENT: &str = "parent";
const CHILD: &str = "child";

/// Calls as many children as its payload says.
struct Parent(Counted);

impl Handler for Parent {
    type Input = u64;

    async fn handle(&self, hop: &mut Hop, children: u64) -> Result<Outcome, Fault> {
        let payload = payload(PAYLOAD);
        let calls: Vec<Call> = (0..children)
            .map(|_| Call::new(CHILD, &payload))
            .collect::<Result<_, _>>()?;
        let called = hop.call_all(calls).await?;
        self.0.note();
        Outcome::complete(&called.len())
    }
}

/// Counts what it has done, and does nothing else.
#[derive(Debug, Clone, Default)]
struct Counted(Arc<(AtomicU64, Notify)>);

impl Counted {
    fn note(&self) {
        self.0.0.fetch_add(1, Ordering::SeqCst);
        self.0.1.notify_one();
    }

    fn done(&self) -> u64 {
        self.0.0.load(Ordering::SeqCst)
    }

    /// Waits until it has done so many.
    async fn until(&self, done: u64) -> Result<(), BenchError> {
        let all = async {
            loop {
                let more = self.0.1.notified();
                if self.done() >= done {
                    return;
                }
                // One may have come between the two.
                drop(tokio::time::timeout(Duration::from_millis(20), more).await);
            }
        };
        tokio::time::timeout(PATIENCE, all).await.map_err(|_| {
            let found = self.done();
            BenchError::Broken(format!("{found} of {done} were done in {PATIENCE:?}"))
        })
    }
}

impl Handler for Counted {
    type Input = Json;

    async fn handle(&self, _: &mut Hop, payload: Json) -> Result<Outcome, Fault> {
        self.note();
        Outcome::complete(&payload)
    }
}

/// A mesh with a controller and both agents in this process.
struct Family {
    site: Site,
    mesh: Mesh,
    child: AgentName,
    parent: AgentName,
    counted: Counted,
    joined: Counted,
    crew: Crew,
    stop: oneshot::Sender<()>,
    controller: JoinHandle<Result<(), baton_controller::Error>>,
}

/// What one measurement came to.
#[derive(Debug, Clone, Copy)]
struct Cost {
    took: Duration,
    spent: Spent,
    written: u64,
}

impl Family {
    async fn start(setup: &ServerSetup, options: &Options) -> Result<Self, BenchError> {
        let site = Site::start(setup, "1s", options.tickets()).await?;
        let mesh = site.connect("family").await?;
        mesh.ensure_topology(mesh.limits()).await?;
        let named = |name: &str| name.parse::<AgentName>().map_err(Error::from);
        let (parent, child) = (named(PARENT)?, named(CHILD)?);
        let first = version("1.0.0")?;
        for agent in [&parent, &child] {
            mesh.ensure_agent(agent, &first, Bands::default()).await?;
            ControllerMesh::of(&mesh)
                .set_route(agent, &first, "bench", true)
                .await?;
        }
        let (counted, joined, mut crew) = (Counted::default(), Counted::default(), Crew::none());
        let builder = Agent::builder(PARENT, "1.0.0")?.handler(Parent(joined.clone()));
        crew.hire(builder.concurrency(options.slots).bind(&mesh).await?);
        let builder = Agent::builder(CHILD, "1.0.0")?.handler(counted.clone());
        crew.hire(builder.concurrency(options.slots).bind(&mesh).await?);
        let (stop, stopped) = oneshot::channel::<()>();
        let controller = Controller::new(site.connect("family").await?, ControllerConfig::default());
        let controller = tokio::spawn(controller.run_until(async {
            let _gone = stopped.await;
        }));
        Ok(Self {
            site,
            mesh,
            child,
            parent,
            counted,
            joined,
            crew,
            stop,
            controller,
        })
    }

    async fn stop(self) -> Result<(), BenchError> {
        self.crew.dismiss().await?;
        // A controller that has exited by itself reports why.
        let _gone = self.stop.send(());
        if let Ok(ended) = self.controller.await {
            ended?;
        }
        Ok(())
    }

    fn envelope(&self, to: &AgentName, payload: Json) -> Envelope {
        let clock = self.mesh.clock();
        Envelope::first(clock.envelope_id(), clock.intent_id(), to.clone(), payload)
    }

    /// Parents with so many children each, until the last has ended.
    async fn joins(&self, parents: u64, children: u64) -> Result<Cost, BenchError> {
        let before = self.joined.done();
        self.measured(async || {
            concurrently(parents, || async {
                let payload = Json::of(&children).map_err(|error| BenchError::Broken(error.to_string()))?;
                submit(&self.mesh, self.envelope(&self.parent, payload)).await
            })
            .await?;
            self.joined.until(before + parents).await
        })
        .await
    }

    /// As many intents without a parent, each of which somebody waits for: it takes as many results as a parent does.
    async fn awaited(&self, intents: u64) -> Result<Cost, BenchError> {
        self.measured(async || {
            let one = || submit_and_wait(&self.mesh, self.envelope(&self.child, payload(PAYLOAD)));
            concurrently(intents, one).await
        })
        .await
    }

    /// As many intents without a parent, with as many keys; none without.
    async fn flat(&self, intents: u64, keys: Option<u64>) -> Result<Cost, BenchError> {
        let (number, before) = (AtomicU64::new(0), self.counted.done());
        self.measured(async || {
            concurrently(intents, || {
                let number = number.fetch_add(1, Ordering::Relaxed);
                let envelope = Envelope {
                    order_key: keys.map(|keys| format!("key-{}", number % keys)),
                    ..self.envelope(&self.child, payload(PAYLOAD))
                };
                submit(&self.mesh, envelope)
            })
            .await?;
            self.counted.until(before + intents).await
        })
        .await
    }

    /// Waits until the controller has noted every record.
    async fn until_noted(&self) -> Result<(), BenchError> {
        let question = ShowRollout(AboutAgent::one(self.child.clone()));
        let noted = async {
            while self.mesh.ask_controller(&question).await?.behind > 0 {
                tokio::time::sleep(BETWEEN_LOOKS).await;
            }
            Ok::<_, Error>(())
        };
        let noted = tokio::time::timeout(PATIENCE, noted).await;
        noted.map_err(|_| BenchError::Broken(format!("the controller has not caught up in {PATIENCE:?}")))??;
        Ok(())
    }

    /// What it takes until the last ticket is acked, the CPU until every record is noted, and how much is written.
    async fn measured(&self, run: impl AsyncFnOnce() -> Result<(), BenchError>) -> Result<Cost, BenchError> {
        let subjects = self.mesh.subjects();
        let work = [&self.parent, &self.child].map(|agent| subjects.work_stream(agent));
        let mut streams = work.to_vec();
        streams.push(subjects.ledger_stream());
        let before = self.site.stored_in(&streams).await?;
        let (spent, started) = (self.site.spent(), Instant::now());
        run().await?;
        self.site.until_empty(&work).await?;
        let took = started.elapsed();
        self.until_noted().await?;
        Ok(Cost {
            took,
            spent: self.site.spent().since(spent),
            written: self.site.stored_in(&streams).await? - before,
        })
    }
}

/// Measures joins of each size.
pub(crate) async fn joins(options: &Options, setup: &ServerSetup, say: Say<'_>) -> Result<Vec<Report>, BenchError> {
    let mut reports = Vec::new();
    if options.only == Some(Only::Floor) {
        return Ok(reports);
    }
    let sizes = if options.quick { &SIZES[..2] } else { &SIZES[..] };
    let all = options.samples.unwrap_or(if options.quick { 500 } else { 5_000 });
    for children in sizes.iter().copied().filter(|children| *children <= all) {
        let parents = all / children;
        say(&format!("w11: {parents} joins of {children}"));
        let family = Family::start(setup, options).await?;
        let mut report = Report::new(Workload::W11, format!("joins of {children}"), "", "");
        // Everything is cold at first.
        family.flat(SUBMITTERS as u64, None).await?;
        let (mut joined, mut flat, mut awaited) = (Vec::new(), Vec::new(), Vec::new());
        let intents = parents * children;
        for pair in 0..options.pairs() {
            if pair % 2 == 0 {
                flat.push(family.flat(intents, None).await?);
                awaited.push(family.awaited(intents).await?);
            }
            joined.push(family.joins(parents, children).await?);
            if pair % 2 == 1 {
                awaited.push(family.awaited(intents).await?);
                flat.push(family.flat(intents, None).await?);
            }
        }
        let others: [(&str, &[Cost]); 2] = [("a flat intent", &flat), ("an awaited intent", &awaited)];
        report.facts = told(&joined, &others, count(intents));
        let memory = [family.site.pid(), Some(std::process::id())].map(|pid| pid.and_then(memory_mb));
        report.facts.push(Fact::new("memory of the server", memory[0], "MB"));
        report
            .facts
            .push(Fact::new("memory of workers and controller", memory[1], "MB"));
        family.stop().await?;
        reports.push(report);
    }
    Ok(reports)
}

/// What is measured, its unit, and its value for all that was measured together.
type Measure<'m> = (&'static str, &'static str, &'m dyn Fn(&Cost) -> f64);

/// What a child costs, and beside it each kind of intent that is no child.
fn told(joined: &[Cost], others: &[(&str, &[Cost])], children: f64) -> Vec<Fact> {
    let time = |cost: &Cost| cost.took.as_secs_f64() * 1e6;
    let cpu = |cost: &Cost| {
        let both = [cost.spent.client, cost.spent.server];
        both.into_iter().flatten().sum::<Duration>().as_secs_f64() * 1e6
    };
    let written = |cost: &Cost| count(cost.written);
    let measures: [Measure<'_>; 3] = [
        ("time", "µs", &time),
        ("CPU", "µs", &cpu),
        ("written", "messages", &written),
    ];
    let mut facts = Vec::new();
    for (measure, unit, value) in measures {
        let of = |costs: &[Cost]| {
            let values: Vec<f64> = costs.iter().map(|cost| value(cost) / children).collect();
            Some(median(&values))
        };
        facts.push(Fact::new(format!("{measure}, a child"), of(joined), unit));
        for (what, costs) in others {
            facts.push(Fact::new(format!("{measure}, {what}"), of(costs), unit));
            let ratios: Vec<f64> = joined
                .iter()
                .zip(*costs)
                .map(|(one, two)| value(one) / value(two))
                .collect();
            let ratio = Fact::new(format!("{measure}, a child to {what}"), Some(median(&ratios)), "");
            facts.push(ratio.aiming(Target::AtMost(1.3)));
        }
    }
    facts
}

/// Measures keyed intents.
pub(crate) async fn keys(options: &Options, setup: &ServerSetup, say: Say<'_>) -> Result<Vec<Report>, BenchError> {
    if options.only == Some(Only::Floor) {
        return Ok(Vec::new());
    }
    let intents = options.samples.unwrap_or(if options.quick { 500 } else { 5_000 });
    let mut report = Report::new(Workload::W12, "intents with keys", "", "");
    let halves = [
        ("no key", intents, None, None),
        ("100 keys", intents, Some(KEYS), Some(Target::AtLeast(1_000.0))),
        ("one key", intents / 5, Some(1), Some(Target::AtLeast(100.0))),
    ];
    for (what, intents, keys, target) in halves {
        say(&format!("w12: {what}"));
        let family = Family::start(setup, options).await?;
        family.flat(SUBMITTERS as u64, None).await?;
        let mut rates = Vec::new();
        for _ in 0..options.pairs() {
            let cost = family.flat(intents, keys).await?;
            rates.push(count(intents) / cost.took.as_secs_f64());
        }
        family.stop().await?;
        let fact = Fact::new(what, Some(median(&rates)), "per second");
        report.facts.push(match target {
            Some(target) => fact.aiming(target),
            None => fact,
        });
    }
    Ok(vec![report])
}
