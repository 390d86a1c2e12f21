//! W7: the memory of a server, a controller and a worker, each in its own process, as thousands of intents pass.

use std::ffi::OsString;
use std::process::{Command, Stdio};
use std::time::Duration;

use baton_agent::{Agent, shutdown_signal};
use baton_embedded::ManagedChild;
use baton_envelope::{AgentName, Author, Envelope, Json, Role};
use baton_jetstream::{Error, Mesh, Target};
use tokio::time::Instant;

use crate::baton::{Stage, payload, submit, work_streams};
use crate::error::BenchError;
use crate::measure::concurrently;
use crate::meter::memory_mb;
use crate::options::{Only, Options};
use crate::report::{self, Fact, Report};
use crate::run::Say;
use crate::site::{ServerSetup, Site};
use crate::stats::median;
use crate::workload::Workload;

const AGENT: &str = "noop";
/// The namespace that a controller uses by default.
const NAMESPACE: &str = "mesh";
/// How long to wait until a newly started worker is known.
const KNOWN: Duration = Duration::from_secs(30);
/// The pause between two samples of the processes.
const LOOK: Duration = Duration::from_millis(500);
/// How many samples a checkpoint under load is the median of.
const LOOKS: usize = 20;
/// How many submissions to make before letting the queues run empty, so that no backlog is measured.
const WAVE: u64 = 5_000;
/// How long to leave a mesh alone at a checkpoint: at least and at most, and how long its ledger must not have shrunk.
const REST: (Duration, Duration) = (Duration::from_secs(10), Duration::from_secs(180));
const STILL: Duration = Duration::from_secs(20);
/// How long a ledger that is too full may go without shrinking.
const STUCK: Duration = Duration::from_secs(60);
/// How much memory a worker may use, in MB, and by what factor the server may grow.
const WORKER: report::Target = report::Target::AtMost(25.0);
const FLAT: report::Target = report::Target::AtMost(1.2);

/// The processes and their names.
struct Processes {
    server: u32,
    controller: ManagedChild,
    worker: ManagedChild,
}

/// One sample of all three, in MB.
type Look = [Option<f64>; 3];
const NAMES: [&str; 3] = ["server", "controller", "worker"];

/// Runs the worker process that [`measure`] starts, until it is told to stop.
pub(crate) async fn work(url: &str, slots: u32) -> Result<(), BenchError> {
    let mesh = Target::at(url).connect().await?;
    let worker = Agent::builder(AGENT, "1.0.0")?.handler(Stage::last());
    let worker = worker.concurrency(slots).bind(&mesh).await?;
    worker.run_until(shutdown_signal()).await?;
    Ok(())
}

/// Measures the three processes: idle, under load, and at two checkpoints.
pub(crate) async fn measure(options: &Options, setup: &ServerSetup, say: Say<'_>) -> Result<Vec<Report>, BenchError> {
    if options.only == Some(Only::Floor) {
        return Ok(Vec::new());
    }
    let site = Site::start(setup, "1s", options.tickets()).await?;
    let processes = Processes::start(&site, options)?;
    let mesh = site.connect(NAMESPACE).await?;
    let agent: AgentName = AGENT.parse().map_err(Error::from)?;
    mesh.ensure_topology(mesh.limits()).await?;
    let _routes = mesh.follow_routes().await?;
    let load = Load {
        work: work_streams(&mesh, [&agent]),
        payload: payload(options.payload),
        agent,
        mesh,
        site: &site,
        ledger_at_most: options.ledger_at_most,
    };
    let by = Author::of(Role::Client, "bench");
    load.mesh.submit_when_known(load.envelope(), by, KNOWN).await?;

    let total = options.memory_intents();
    let mut report = Report::new(Workload::W7, format!("memory, {total} intents"), "", "");
    say("w7: idle");
    let (_, idle) = looking(&processes, load.rest()).await?;
    report.facts.extend(facts("idle", &last(&idle)));
    let mut checkpoints = Vec::new();
    let mut passed = 0;
    for checkpoint in [total / 5, total] {
        say(&format!("w7: on to {checkpoint} intents"));
        let started = Instant::now();
        let (_, looks) = looking(&processes, load.pass(checkpoint - passed)).await?;
        let seconds = started.elapsed().as_secs_f64();
        let rate = crate::stats::count(checkpoint - passed) / seconds;
        passed = checkpoint;
        let loaded = last(&looks);
        let most = extreme(&looks);
        report
            .facts
            .push(Fact::new(format!("rate up to {checkpoint}"), Some(rate), "/s"));
        report.facts.extend(facts(&format!("most until {checkpoint}"), &most));
        report.facts.extend(facts(&format!("at load, {checkpoint}"), &loaded));
        let ((), looks) = looking(&processes, load.rest()).await?;
        let rested = last(&looks);
        report.facts.extend(facts(&format!("at rest, {checkpoint}"), &rested));
        for (what, stream) in load.stores() {
            let held = load.site.held_in(&stream).await.ok().map(crate::stats::count);
            report
                .facts
                .push(Fact::new(format!("{what}, {checkpoint}"), held, "messages"));
        }
        checkpoints.push((most, loaded, rested));
    }
    if let [(_, early_loaded, early_rested), (most, loaded, rested)] = checkpoints.as_slice() {
        let grown = |late: &Look, early: &Look| Some(late[0]? / early[0]?);
        let server = |what, ratio| Fact::new(what, ratio, "times").aiming(FLAT);
        report
            .facts
            .push(server("server, late to early, at load", grown(loaded, early_loaded)));
        report
            .facts
            .push(server("server, late to early, at rest", grown(rested, early_rested)));
        report
            .facts
            .push(Fact::new("worker at most", most[2], "MB").aiming(WORKER));
    }
    Ok(vec![report])
}

impl Processes {
    fn start(site: &Site, options: &Options) -> Result<Self, BenchError> {
        let url = site.url();
        let mut worker = options.itself()?;
        worker.extend(["--worker-at".into(), url.clone().into()]);
        worker.extend(["--slots".into(), options.slots.to_string().into()]);
        Ok(Self {
            server: site.pid().unwrap_or_default(),
            controller: controller(&url, options)?,
            worker: spawn(&worker)?,
        })
    }

    fn look(&self) -> Look {
        [self.server, self.controller.pid(), self.worker.pid()].map(memory_mb)
    }
}

/// Starts a controller.
pub(crate) fn controller(url: &str, options: &Options) -> Result<ManagedChild, BenchError> {
    let mut words = vec![options.baton()?, "controller".into(), "--server".into(), url.into()];
    if let Some(config) = &options.controller_config {
        words.extend(["--config".into(), config.clone().into_os_string()]);
    }
    spawn(&words)
}

fn spawn(words: &[OsString]) -> Result<ManagedChild, BenchError> {
    let what = || {
        words
            .iter()
            .map(|word| word.to_string_lossy())
            .collect::<Vec<_>>()
            .join(" ")
    };
    let Some((program, arguments)) = words.split_first() else {
        return Err(BenchError::Broken("a command without words".to_owned()));
    };
    let mut command = Command::new(program);
    command.args(arguments).env("BATON_LOG", "warn");
    command.stdin(Stdio::null()).stdout(Stdio::null());
    ManagedChild::spawn(&mut command).map_err(BenchError::io(format!("starting {}", what())))
}

/// Samples the processes while a future runs.
async fn looking<T>(
    processes: &Processes,
    going_on: impl Future<Output = Result<T, BenchError>>,
) -> Result<(T, Vec<Look>), BenchError> {
    tokio::pin!(going_on);
    let mut looks = Vec::new();
    loop {
        tokio::select! {
            done = &mut going_on => {
                looks.push(processes.look());
                return Ok((done?, looks));
            }
            () = tokio::time::sleep(LOOK) => looks.push(processes.look()),
        }
    }
}

struct Load<'a> {
    mesh: Mesh,
    site: &'a Site,
    agent: AgentName,
    work: Vec<String>,
    payload: Json,
    ledger_at_most: Option<u64>,
}

impl Load<'_> {
    fn envelope(&self) -> Envelope {
        let clock = self.mesh.clock();
        let (id, intent) = (clock.envelope_id(), clock.intent_id());
        Envelope::first(id, intent, self.agent.clone(), self.payload.clone())
    }

    /// Lets this many intents pass.
    async fn pass(&self, intents: u64) -> Result<(), BenchError> {
        let mut left = intents;
        while left > 0 {
            let wave = left.min(WAVE);
            concurrently(wave, || submit(&self.mesh, self.envelope())).await?;
            self.site.until_empty(&self.work).await?;
            self.until_archived().await?;
            left -= wave;
        }
        Ok(())
    }

    /// Waits while the ledger has more records than it may.
    async fn until_archived(&self) -> Result<(), BenchError> {
        let Some(most) = self.ledger_at_most else { return Ok(()) };
        let ledger = self.mesh.subjects().ledger_stream();
        let mut ebb = Ebb::new();
        loop {
            let held = self.site.held_in(&ledger).await?;
            if held <= most {
                return Ok(());
            }
            if ebb.still(held) > STUCK {
                let seconds = STUCK.as_secs();
                return Err(BenchError::NotArchived { held, most, seconds });
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Waits until the ledger no longer shrinks: everything that can be archived is.
    async fn rest(&self) -> Result<(), BenchError> {
        let ledger = self.mesh.subjects().ledger_stream();
        let (started, mut ebb) = (Instant::now(), Ebb::new());
        loop {
            let still = ebb.still(self.site.held_in(&ledger).await?);
            let rested = started.elapsed();
            if rested > REST.1 || (rested > REST.0 && still > STILL) {
                return Ok(());
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Where records are kept, and the name of each place. Without an archive, its stream does not exist.
    fn stores(&self) -> [(&'static str, String); 2] {
        let ledger = self.mesh.subjects().ledger_stream();
        let archive = ledger.replace("LEDGER", "ARCHIVE");
        [("ledger", ledger), ("archive", archive)]
    }
}

/// A stream observed as it shrinks.
struct Ebb {
    smallest: u64,
    since: Instant,
}

impl Ebb {
    fn new() -> Self {
        Self {
            smallest: u64::MAX,
            since: Instant::now(),
        }
    }

    /// How long it has not shrunk.
    fn still(&mut self, held: u64) -> Duration {
        if held < self.smallest {
            (self.smallest, self.since) = (held, Instant::now());
        }
        self.since.elapsed()
    }
}

fn facts(when: &str, look: &Look) -> Vec<Fact> {
    let fact = |(name, value): (&&str, &Option<f64>)| Fact::new(format!("{name}, {when}"), *value, "MB");
    NAMES.iter().zip(look).map(fact).collect()
}

/// The median of the last samples.
fn last(looks: &[Look]) -> Look {
    let tail = looks.get(looks.len().saturating_sub(LOOKS)..).unwrap_or_default();
    over(tail, median)
}

/// The maximum of all samples.
fn extreme(looks: &[Look]) -> Look {
    over(looks, |values| values.iter().copied().fold(f64::MIN, f64::max))
}

fn over(looks: &[Look], fold: impl Fn(&[f64]) -> f64) -> Look {
    std::array::from_fn(|index| {
        let values: Vec<f64> = looks.iter().filter_map(|look| *look.get(index)?).collect();
        (!values.is_empty()).then(|| fold(&values))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_that_cannot_be_seen_has_no_memory_and_not_none() {
        let looks = [[Some(1.0), None, Some(9.0)], [Some(3.0), None, Some(5.0)]];
        assert_eq!(last(&looks), [Some(2.0), None, Some(7.0)]);
        assert_eq!(extreme(&looks), [Some(3.0), None, Some(9.0)]);
    }

    #[test]
    fn a_checkpoint_forgets_what_was_before_its_last_looks() {
        let mut looks = vec![[Some(1_000.0), None, None]; 5];
        looks.extend(vec![[Some(10.0), None, None]; LOOKS]);
        assert_eq!(last(&looks)[0], Some(10.0));
    }
}
