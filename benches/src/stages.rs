//! W10: how long each stage of a handoff takes while many are under way.
//!
//! Two agents: the first hands on to the second, which completes. The stages follow each other without a gap:
//!
//! - *record*: from the end of the first handler until the server has stored `handed_off`;
//! - *ticket*: until it has stored the ticket of the second agent;
//! - *pull*: until the handler of the second agent begins;
//! - *commit*: from the end of that handler until the server has stored `completed`;
//! - *settle*: until the server has the acknowledgement of the ticket.
//!
//! What is stored has the server's time, and the handlers take theirs from the same clock of the same machine.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use baton_agent::{Agent, Fault, Handler, Hop, Json, Outcome};
use baton_baseline::{Ack, Scene, Seen, StoredAt, Witness, stored_records};
use baton_envelope::{AgentName, Bands, Envelope, EnvelopeId, HEADER_EVENT, HEADER_INTENT, IntentId};
use baton_jetstream::{ControllerMesh, Error, Mesh};
use rustix::time::{ClockId, clock_gettime};
use tokio::sync::Semaphore;

use crate::baton::{Crew, payload, submit, version, work_streams};
use crate::error::BenchError;
use crate::options::{Only, Options};
use crate::report::{Fact, Report};
use crate::run::Say;
use crate::site::{ServerSetup, Site};
use crate::stats::{count, percentile};
use crate::workload::Workload;

/// How many handoffs are under way at a time.
const AT_A_TIME: [u32; 2] = [100, 1_000];
const NAMES: [&str; 2] = ["hands-on", "completes"];
const STAGES: [&str; 5] = ["record", "ticket", "pull", "commit", "settle"];
/// From which moment to which each stage goes, and all of it. Between the fourth moment and the fifth is the handler itself.
const SPANS: [(usize, usize); 6] = [(0, 1), (1, 2), (2, 3), (4, 5), (5, 6), (0, 6)];

/// Nanoseconds since the Unix epoch.
type Nanos = i64;

/// The clock that the server stamps messages with.
fn now() -> Nanos {
    let time = clock_gettime(ClockId::Realtime);
    time.tv_sec * 1_000_000_000 + time.tv_nsec
}

/// When the handlers of an intent began and ended.
#[derive(Debug, Default, Clone, Copy)]
struct Handled {
    first_ended: Nanos,
    second_began: Nanos,
    second_ended: Nanos,
}

/// What the handlers share.
#[derive(Debug, Clone)]
struct Shared {
    handled: Arc<Mutex<HashMap<String, Handled>>>,
    /// As many permits as handoffs may be under way.
    under_way: Arc<Semaphore>,
}

impl Shared {
    fn note(&self, hop: &Hop, note: impl FnOnce(&mut Handled)) {
        let mut handled = self.handled.lock().unwrap_or_else(PoisonError::into_inner);
        note(handled.entry(hop.intent().to_string()).or_default());
    }
}

/// The first agent.
struct HandsOn(Shared);

impl Handler for HandsOn {
    type Input = Json;

    async fn handle(&self, hop: &mut Hop, payload: Json) -> Result<Outcome, Fault> {
        let outcome = Outcome::hand_off(NAMES[1], &payload);
        self.0.note(hop, |handled| handled.first_ended = now());
        outcome
    }
}

/// The second agent.
struct Completes(Shared);

impl Handler for Completes {
    type Input = Json;

    async fn handle(&self, hop: &mut Hop, payload: Json) -> Result<Outcome, Fault> {
        let began = now();
        let outcome = Outcome::complete(&payload);
        // Another may begin.
        self.0.under_way.add_permits(1);
        self.0.note(hop, |handled| {
            handled.second_began = began;
            handled.second_ended = now();
        });
        outcome
    }
}

/// Measures the stages with few and with many handoffs at a time.
pub(crate) async fn measure(options: &Options, setup: &ServerSetup, say: Say<'_>) -> Result<Vec<Report>, BenchError> {
    if options.only == Some(Only::Floor) {
        return Ok(Vec::new());
    }
    let mut reports = Vec::new();
    for at_a_time in AT_A_TIME {
        say(&format!("w10: {at_a_time} at a time"));
        // A server for each, so that neither finds what the other left.
        let site = Site::start(setup, "1s", options.tickets()).await?;
        reports.push(Box::pin(one(&site, options, at_a_time)).await?);
    }
    Ok(reports)
}

async fn one(site: &Site, options: &Options, at_a_time: u32) -> Result<Report, BenchError> {
    let mesh = site.connect("w10").await?;
    mesh.ensure_topology(mesh.limits()).await?;
    let permits = usize::try_from(at_a_time).unwrap_or(usize::MAX);
    let shared = Shared {
        handled: Arc::default(),
        under_way: Arc::new(Semaphore::new(permits)),
    };
    let crew = hire(&mesh, &shared, at_a_time).await?;
    let _routes = mesh.follow_routes().await?;
    let (first, second) = (agent(NAMES[0])?, agent(NAMES[1])?);
    let stream = mesh.subjects().work_stream(&second);
    let scene = Scene {
        tickets: mesh.subjects().work_version(&second, &version("1.0.0")?),
        intent: HEADER_INTENT,
        stream: stream.clone(),
        now,
    };
    let witness = Witness::begin(&site.url(), scene).await?;
    let (samples, payload) = (
        options.samples.unwrap_or(default_samples(options)),
        payload(options.payload),
    );
    let begun = submit_all(&mesh, &shared, at_a_time, samples, |id, intent| {
        Envelope::first(id, intent, first.clone(), payload.clone())
    });
    let Begun { counted, at } = begun.await?;
    let streams = work_streams(&mesh, &[first, second]);
    site.until_empty(&streams).await?;
    let took = Duration::from_nanos(u64::try_from(now() - at).unwrap_or_default());
    crew.dismiss().await?;
    let seen = witness.end()?;

    let stored = site.stored_in(std::slice::from_ref(&stream)).await?;
    let tickets = u64::try_from(seen.tickets.len()).unwrap_or(u64::MAX);
    if stored != tickets {
        return Err(broken(format!("{stored} tickets are stored, and {tickets} were seen")));
    }
    let records = stored_records(&site.url(), &mesh.subjects().ledger_stream(), HEADER_EVENT).await?;
    let handled = std::mem::take(&mut *shared.handled.lock().unwrap_or_else(PoisonError::into_inner));
    let times = Passed::new(records, handled, seen).times(&counted)?;
    let mut report = Report::new(Workload::W10, format!("{at_a_time} at a time"), "", "");
    for (name, times) in STAGES.into_iter().chain(["all of it"]).zip(times) {
        report.facts.extend(percentiles(name, times));
    }
    let rate = count(samples) / took.as_secs_f64();
    report.facts.push(Fact::new("handoffs", Some(rate), "per second"));
    Ok(report)
}

/// What was submitted.
struct Begun {
    /// The intents that count. Those before them find everything cold.
    counted: HashSet<String>,
    /// When the first that counts began.
    at: Nanos,
}

/// Submits all, as many at a time as may be under way, and waits until the last is submitted.
async fn submit_all(
    mesh: &Mesh,
    shared: &Shared,
    at_a_time: u32,
    samples: u64,
    envelope: impl Fn(EnvelopeId, IntentId) -> Envelope,
) -> Result<Begun, BenchError> {
    let warm = u64::from(at_a_time) * 2;
    let mut begun = Begun {
        counted: HashSet::new(),
        at: now(),
    };
    let mut submissions = Submissions(tokio::task::JoinSet::new());
    for number in 0..warm + samples {
        let permit = Arc::clone(&shared.under_way).acquire_owned().await;
        // The second handler gives it back.
        permit.map_err(|error| broken(error.to_string()))?.forget();
        let clock = mesh.clock();
        let (id, intent) = (clock.envelope_id(), clock.intent_id());
        if number == warm {
            begun.at = now();
        }
        if number >= warm {
            begun.counted.insert(intent.to_string());
        }
        submissions.begin(mesh, envelope(id, intent))?;
    }
    submissions.finish().await?;
    Ok(begun)
}

/// The stages of each intent.
struct Passed {
    handed_off: HashMap<String, Nanos>,
    completed: HashMap<String, Nanos>,
    handled: HashMap<String, Handled>,
    seen: Seen,
}

impl Passed {
    fn new(records: Vec<StoredAt>, handled: HashMap<String, Handled>, seen: Seen) -> Self {
        let (mut handed_off, mut completed) = (HashMap::new(), HashMap::new());
        for record in records {
            match record.event.as_str() {
                "handed_off" => drop(handed_off.insert(record.intent, record.at)),
                "completed" => drop(completed.insert(record.intent, record.at)),
                _ => {}
            }
        }
        Self {
            handed_off,
            completed,
            handled,
            seen,
        }
    }

    /// How long each stage took of the intents that count, and all of it.
    fn times(&self, counted: &HashSet<String>) -> Result<[Vec<Duration>; 6], BenchError> {
        let mut times: [Vec<Duration>; 6] = std::array::from_fn(|_| Vec::with_capacity(counted.len()));
        let mut acked = HashSet::new();
        // A ticket that was delivered twice, since this process was slow, is acked twice.
        for ack in self.seen.acks.iter().filter(|ack| acked.insert(ack.ticket)) {
            let place = usize::try_from(ack.ticket).unwrap_or_default().checked_sub(1);
            let intent = place.and_then(|place| self.seen.tickets.get(place));
            let Some(intent) = intent.filter(|intent| counted.contains(*intent)) else {
                continue;
            };
            let moments = self.moments(intent, ack);
            let moments = moments.ok_or_else(|| broken(format!("{intent} has not passed all stages")))?;
            for (times, (from, to)) in times.iter_mut().zip(SPANS) {
                times.push(span(intent, &moments, from, to)?);
            }
        }
        let all = times.last().map_or(0, Vec::len);
        if all != counted.len() {
            return Err(broken(format!("{all} of {} were acknowledged", counted.len())));
        }
        Ok(times)
    }

    fn moments(&self, intent: &str, ack: &Ack) -> Option<[Nanos; 7]> {
        let handled = self.handled.get(intent)?;
        Some([
            handled.first_ended,
            *self.handed_off.get(intent)?,
            ack.stored,
            handled.second_began,
            handled.second_ended,
            *self.completed.get(intent)?,
            ack.at,
        ])
    }
}

fn broken(what: String) -> BenchError {
    BenchError::Broken(what)
}

/// How many handoffs to measure.
const fn default_samples(options: &Options) -> u64 {
    if options.quick { 2_000 } else { 20_000 }
}

fn agent(name: &str) -> Result<AgentName, BenchError> {
    Ok(name.parse().map_err(Error::from)?)
}

/// Starts the workers of both agents. Some slots are kept for urgent work, so there are more of them than handoffs.
async fn hire(mesh: &Mesh, shared: &Shared, at_a_time: u32) -> Result<Crew, BenchError> {
    let (version, mut crew) = (version("1.0.0")?, Crew::none());
    for name in NAMES {
        let agent = agent(name)?;
        mesh.ensure_agent(&agent, &version, Bands::default()).await?;
        ControllerMesh::of(mesh)
            .set_route(&agent, &version, "bench", true)
            .await?;
    }
    let builder = |name| Agent::builder(name, "1.0.0");
    let first = builder(NAMES[0])?.handler(HandsOn(shared.clone()));
    crew.hire(first.concurrency(2 * at_a_time).bind(mesh).await?);
    let second = builder(NAMES[1])?.handler(Completes(shared.clone()));
    crew.hire(second.concurrency(2 * at_a_time).bind(mesh).await?);
    Ok(crew)
}

/// Submissions under way.
struct Submissions(tokio::task::JoinSet<Result<(), BenchError>>);

impl Submissions {
    fn begin(&mut self, mesh: &Mesh, envelope: Envelope) -> Result<(), BenchError> {
        let mesh = mesh.clone();
        self.0.spawn(async move { submit(&mesh, envelope).await });
        while let Some(done) = self.0.try_join_next() {
            done.map_err(|error| broken(error.to_string()))??;
        }
        Ok(())
    }

    async fn finish(mut self) -> Result<(), BenchError> {
        while let Some(done) = self.0.join_next().await {
            done.map_err(|error| broken(error.to_string()))??;
        }
        Ok(())
    }
}

/// The time between two moments. It is negative only if the tickets were not seen in the order of their stream.
fn span(intent: &str, times: &[Nanos; 7], from: usize, to: usize) -> Result<Duration, BenchError> {
    let at = |index: usize| times.get(index).copied().unwrap_or_default();
    let nanos = u64::try_from(at(to) - at(from));
    nanos
        .map(Duration::from_nanos)
        .map_err(|_| broken(format!("moment {to} of {intent} is before moment {from}: {times:?}")))
}

fn percentiles(name: &str, mut times: Vec<Duration>) -> [Fact; 3] {
    times.sort_unstable();
    [50, 95, 99].map(|percent| {
        let value = percentile(&times, percent).as_secs_f64() * 1e3;
        Fact::new(format!("{name}, p{percent}"), Some(value), "ms")
    })
}
