//! W13: what a hop costs that is given 20 memories of 2 KiB.
//!
//! Beside the hop of W3, which is given none, and beside a bare client that reads as many bytes with one batched get. Each
//! intent is a tree of its own, whose memories are stored before the clock starts. Its envelope either has the view that a
//! handoff gives a receiver, and the hop reads it; or it has none, as that of a first hop or of a child, and the hop makes its
//! own. All of them take turns at each intent, so that what disturbs the machine disturbs them alike; therefore no CPU time can
//! be told of one of them.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::Duration;

use baton_agent::{Agent, Fault, Handler, Hop, Json, Outcome, token_counter};
use baton_baseline::{Baseline, Reads};
use baton_envelope::context::{
    Counter, EnvelopeContext, Fixed, Kind, Level, Memory, MemoryKey, Reach, Request, assemble,
};
use baton_envelope::{AgentName, Bands, Envelope, ObjectHash};
use baton_jetstream::{ControllerMesh, Error, Mesh, RouteFollower};
use futures::stream::{StreamExt as _, TryStreamExt as _};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use tokio::time::Instant;

use crate::baton::{Crew, payload, submit_and_wait, version};
use crate::error::BenchError;
use crate::figure::{Figure, Metric};
use crate::measure::WARM_UP_SAMPLES;
use crate::meter::Spent;
use crate::options::{Only, Options};
use crate::pairs::medians;
use crate::report::{Fact, Pair, Report, Target};
use crate::run::Say;
use crate::side::{Layout, Shape, Side};
use crate::site::{ServerSetup, Site};
use crate::workload::Workload;

/// How many memories each intent has, and the size of each in bytes.
const MEMORIES: usize = 20;
const BYTES: usize = 2 * 1024;
/// The tokens of a view: all of the memories have room.
const BUDGET: u64 = 16_000;
/// How many intents get their memories at the same time.
const AT_ONCE: usize = 16;
const READER: &str = "reader";
/// Who has remembered it.
const BY: &str = "bench";
/// What the texts consist of.
const WORDS: [&str; 24] = [
    "the", "retry", "of", "a", "request", "waits", "longer", "after", "each", "failure", "and", "stops", "when",
    "server", "answers", "again", "because", "library", "counts", "attempts", "by", "itself", "without", "jitter",
];

/// What was counted so far.
static COUNTS: LazyLock<Mutex<HashMap<String, u64>>> = LazyLock::new(Mutex::default);

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Way {
    /// The hop of W3.
    Plain,
    /// The bare client, with one batched get.
    Floor,
    /// A hop with a view in its envelope.
    Given,
    /// A hop that makes its own view.
    Own,
}

impl Way {
    const ALL: [Self; 4] = [Self::Plain, Self::Floor, Self::Given, Self::Own];

    /// Those of one side.
    const fn of(side: Option<Only>) -> &'static [Self] {
        match side {
            None | Some(Only::Open) => &Self::ALL,
            Some(Only::Floor) => &[Self::Floor],
            Some(Only::Baton) => &[Self::Given, Self::Own],
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Plain => "w3",
            Self::Floor => "floor",
            Self::Given => "view given",
            Self::Own => "own view",
        }
    }
}

/// One figure for each way.
type Round = BTreeMap<Way, Figure>;

/// Measures hops with memories, and the assembly.
pub(crate) async fn measure(options: &Options, setup: &ServerSetup, say: Say<'_>) -> Result<Vec<Report>, BenchError> {
    let site = Site::start(setup, "1s", options.tickets()).await?;
    let ways = Way::of(options.only);
    if let (Some(only), Some(server)) = (options.only, site.pid()) {
        let (only, own) = (only.name(), std::process::id());
        say(&format!("{only}: process {own}, server {server}"));
    }
    let mut rounds: Vec<Round> = Vec::new();
    for number in 1.. {
        let round = Box::pin(round(&site, options, ways, number)).await?;
        let told: Vec<String> = round
            .iter()
            .map(|(way, figure)| format!("{} {figure}", way.name()))
            .collect();
        say(&format!("w13: round {number}: {}", told.join("; ")));
        rounds.push(round);
        if !options.forever && number == options.pairs() {
            break;
        }
    }
    let mut reports = match options.only {
        None => compared(&rounds),
        Some(_) => vec![alone(ways, &rounds)],
    };
    if options.only != Some(Only::Floor) {
        say("w13: assembly");
        reports.push(crate::assembly::measure(options)?);
    }
    Ok(reports)
}

/// Each hop with memories beside that of W3 and beside the floor.
fn compared(rounds: &[Round]) -> Vec<Report> {
    let mut reports = Vec::new();
    for (subject, what) in [
        (Way::Given, "20 memories, the view is given"),
        (Way::Own, "20 memories, the hop makes the view"),
    ] {
        for (baseline, most) in [(Way::Plain, 1.5), (Way::Floor, 1.3)] {
            let report = Report::new(Workload::W13, what, baseline.name(), Only::Baton.name());
            let mut report = report.aiming(Metric::P50Ms, Target::AtMost(most));
            for round in rounds {
                if let (Some(baseline), Some(subject)) = (round.get(&baseline), round.get(&subject)) {
                    report.add(Pair {
                        first: "in turns".to_owned(),
                        baseline: baseline.clone(),
                        subject: subject.clone(),
                    });
                }
            }
            reports.push(report);
        }
    }
    reports
}

/// One side without the others.
fn alone(ways: &[Way], rounds: &[Round]) -> Report {
    let facts = ways.iter().flat_map(|way| -> Vec<Fact> {
        let figures: Vec<Figure> = rounds.iter().filter_map(|round| round.get(way).cloned()).collect();
        medians(way.name(), &figures)
    });
    let mut report = Report::new(Workload::W13, "20 memories", "", "");
    report.facts = facts.collect();
    report
}

/// The order at an intent. Each way comes at each place, and after each of its neighbours.
fn order(ways: &[Way], number: usize) -> Vec<Way> {
    let mut order = ways.to_vec();
    order.rotate_left((number / 2) % ways.len().max(1));
    if number % 2 == 1 {
        order.reverse();
    }
    order
}

/// One figure for each way, of intents that come one at a time and in turns.
async fn round(site: &Site, options: &Options, ways: &[Way], number: u32) -> Result<Round, BenchError> {
    let warm = usize::try_from(WARM_UP_SAMPLES).unwrap_or(usize::MAX);
    let samples = usize::try_from(options.few_samples()).unwrap_or(usize::MAX);
    let mut sides = Sides::start(site, options, ways, (number, warm.saturating_add(samples))).await?;
    let mut times: BTreeMap<Way, Vec<Duration>> = BTreeMap::new();
    for sample in 0..warm.saturating_add(samples) {
        for way in order(ways, sample) {
            let took = sides.one(way).await?;
            if sample >= warm {
                times.entry(way).or_default().push(took);
            }
        }
    }
    sides.stop().await?;
    let figure = |(way, times)| (way, Figure::latency(times, &Spent::default()));
    Ok(times.into_iter().map(figure).collect())
}

/// All ways at work on one server, each in a namespace of its own; the two with memories share theirs.
struct Sides {
    plain: Option<Side>,
    floor: Option<Floor>,
    reader: Option<Reader>,
}

/// The bare client.
struct Floor {
    baseline: Baseline,
    next: u64,
}

/// A mesh with an agent that reads its context.
struct Reader {
    mesh: Mesh,
    crew: Crew,
    /// How many memories its hops were given in full.
    read: Arc<AtomicU64>,
    /// The intents to come, and how many of them there were.
    ready: BTreeMap<Way, Vec<Envelope>>,
    prepared: usize,
    _routes: RouteFollower,
}

impl Sides {
    async fn start(
        site: &Site,
        options: &Options,
        ways: &[Way],
        (round, intents): (u32, usize),
    ) -> Result<Self, BenchError> {
        let mut sides = Self {
            plain: None,
            floor: None,
            reader: None,
        };
        if ways.contains(&Way::Plain) {
            let shape = Shape {
                agents: 1,
                versions: 1,
                layout: Layout::Relay,
                slots: options.slots,
                payload: options.payload,
                shards: 1,
            };
            sides.plain = Some(Side::start(site, Only::Baton, &format!("plain{round}"), shape).await?);
        }
        if ways.contains(&Way::Floor) {
            sides.floor = Some(Floor::start(site, options, (round, intents)).await?);
        }
        let readers: Vec<Way> = ways.iter().copied().filter(|way| *way >= Way::Given).collect();
        if !readers.is_empty() {
            sides.reader = Some(Reader::start(site, options, &readers, (round, intents)).await?);
        }
        Ok(sides)
    }

    /// How long one intent takes from its submission to its result.
    async fn one(&mut self, way: Way) -> Result<Duration, BenchError> {
        let missing = || BenchError::Broken(format!("{} was not prepared", way.name()));
        match way {
            Way::Plain => {
                let side = self.plain.as_ref().ok_or_else(missing)?;
                timed(side.submit_and_wait()).await
            }
            Way::Floor => {
                let floor = self.floor.as_mut().ok_or_else(missing)?;
                floor.next += 1;
                timed(async { Ok(floor.baseline.submit_and_wait(floor.next - 1).await?) }).await
            }
            Way::Given | Way::Own => {
                let reader = self.reader.as_mut().ok_or_else(missing)?;
                let ready = reader.ready.get_mut(&way).and_then(Vec::pop).ok_or_else(missing)?;
                timed(submit_and_wait(&reader.mesh, ready)).await
            }
        }
    }

    async fn stop(self) -> Result<(), BenchError> {
        if let Some(plain) = self.plain {
            plain.stop().await?;
        }
        if let Some(floor) = self.floor {
            floor.baseline.remove().await?;
        }
        match self.reader {
            Some(reader) => reader.stop().await,
            None => Ok(()),
        }
    }
}

async fn timed(one: impl Future<Output = Result<(), BenchError>>) -> Result<Duration, BenchError> {
    let started = Instant::now();
    one.await?;
    Ok(started.elapsed())
}

impl Floor {
    async fn start(site: &Site, options: &Options, (round, intents): (u32, usize)) -> Result<Self, BenchError> {
        let shape = baton_baseline::Shape {
            stages: 1,
            layout: Layout::Relay,
            slots: usize::try_from(options.slots).unwrap_or(usize::MAX),
            payload: options.payload,
            shards: 1,
            reads: Some(Reads {
                objects: MEMORIES,
                bytes: BYTES,
            }),
        };
        let baseline = Baseline::start(&site.url(), &format!("floor{round}"), shape).await?;
        for number in (0..).take(intents) {
            baseline.store_reads(number).await?;
        }
        Ok(Self { baseline, next: 0 })
    }
}

/// Reads its context, and nothing else.
struct Reads20(Arc<AtomicU64>);

impl Handler for Reads20 {
    type Input = Json;

    async fn handle(&self, hop: &mut Hop, payload: Json) -> Result<Outcome, Fault> {
        let context = hop.context().await?;
        let full = context.memories().filter(|given| *given.level == Level::Full);
        let full = u64::try_from(full.count()).unwrap_or(u64::MAX);
        if context.gaps().is_empty() {
            self.0.fetch_add(full, Ordering::Relaxed);
        }
        Outcome::complete(&payload)
    }
}

impl Reader {
    async fn start(
        site: &Site,
        options: &Options,
        ways: &[Way],
        (round, intents): (u32, usize),
    ) -> Result<Self, BenchError> {
        let mesh = site.connect(&format!("reader{round}")).await?;
        mesh.ensure_topology(mesh.limits()).await?;
        let (agent, first) = (READER.parse::<AgentName>().map_err(Error::from)?, version("1.0.0")?);
        mesh.ensure_agent(&agent, &first, Bands::default()).await?;
        ControllerMesh::of(&mesh)
            .set_route(&agent, &first, "bench", true)
            .await?;
        let (read, mut crew) = (Arc::new(AtomicU64::new(0)), Crew::none());
        let builder = Agent::builder(READER, "1.0.0")?.handler(Reads20(Arc::clone(&read)));
        crew.hire(builder.concurrency(options.slots).bind(&mesh).await?);
        let mut reader = Self {
            // A real submitter follows the routes, worker or not.
            _routes: mesh.follow_routes().await?,
            mesh,
            crew,
            read,
            ready: BTreeMap::new(),
            prepared: 0,
        };
        let (memories, payload) = (memories()?, payload(options.payload));
        for way in ways.iter().copied() {
            let envelopes = (0..intents).map(|_| reader.envelope(way, &agent, (&memories, &payload)));
            let envelopes: Vec<_> = envelopes.collect();
            let ready: Vec<Envelope> = futures::stream::iter(envelopes)
                .buffer_unordered(AT_ONCE)
                .try_collect()
                .await?;
            reader.prepared += ready.len();
            reader.ready.insert(way, ready);
        }
        Ok(reader)
    }

    /// An intent whose memories are stored, with the view of its receiver where it is given one.
    async fn envelope(
        &self,
        way: Way,
        agent: &AgentName,
        (memories, payload): (&[(Memory, Vec<u8>)], &Json),
    ) -> Result<Envelope, BenchError> {
        let clock = self.mesh.clock();
        let envelope = Envelope::first(clock.envelope_id(), clock.intent_id(), agent.clone(), payload.clone());
        let constraints = Json::of(&BTreeMap::from([("max_tokens", BUDGET)])).map_err(|error| broken(&error))?;
        let mut envelope = envelope.with_constraints(constraints);
        self.mesh
            .begin_with(&mut envelope, memories.to_vec(), (BY, counted_once))
            .await?;
        if way == Way::Given {
            self.give_view(&mut envelope, memories).await?;
        }
        Ok(envelope)
    }

    /// Gives the receiver the view that a handoff would.
    async fn give_view(&self, envelope: &mut Envelope, memories: &[(Memory, Vec<u8>)]) -> Result<(), BenchError> {
        let context = EnvelopeContext::of(envelope).map_err(|error| broken(&error))?;
        let heads: Vec<ObjectHash> = context.head.iter().cloned().collect();
        let chain = self
            .mesh
            .context_chain(envelope.root(), &heads, Reach::Catalogue)
            .await?;
        let content = |hash: &ObjectHash| {
            let found = memories.iter().find(|(memory, _)| memory.hash == *hash);
            found.map(|(_, content)| &content[..])
        };
        let (request, fixed, candidates) = (Request::trim(BUDGET), Fixed::of(envelope), chain.candidates());
        let made = assemble(&request, &fixed, &candidates, &token_counter(), &content);
        let made = made.map_err(|error| broken(&error))?;
        let context = EnvelopeContext {
            view: Some(Box::new(made.view)),
            ..context
        };
        envelope.context = context.json();
        envelope.memory = made.refs;
        Ok(())
    }

    /// Stops the worker, once it is certain that each hop had all that it was to have: else it was fast for nothing.
    async fn stop(self) -> Result<(), BenchError> {
        let left: usize = self.ready.values().map(Vec::len).sum();
        let needed = u64::try_from((self.prepared - left) * MEMORIES).unwrap_or(u64::MAX);
        self.crew.dismiss().await?;
        self.mesh.remove_everything().await?;
        match self.read.load(Ordering::Relaxed) {
            read if read == needed => Ok(()),
            read => Err(BenchError::Broken(format!(
                "hops had {read} memories in full, and {needed} were to be had"
            ))),
        }
    }
}

fn broken(error: &dyn std::fmt::Display) -> BenchError {
    BenchError::Broken(error.to_string())
}

/// Counts each text once: every intent remembers the same, and counting is no part of what is prepared.
fn counted_once() -> Counter<'static> {
    Counter {
        count: &|text| {
            let mut counts = COUNTS.lock().unwrap_or_else(PoisonError::into_inner);
            let count = || (token_counter().count)(text);
            *counts.entry(text.to_owned()).or_insert_with(count)
        },
        ..token_counter()
    }
}

/// What each intent remembers: texts of common words, each another one.
fn memories() -> Result<Vec<(Memory, Vec<u8>)>, BenchError> {
    let mut random = StdRng::seed_from_u64(13);
    let memories = (0..MEMORIES).map(|number| {
        let key: MemoryKey = format!("ms-{number}").parse().map_err(|error| broken(&error))?;
        let content = text(&mut random, BYTES).into_bytes();
        Ok((Memory::new(key, Kind::Fact, &content), content))
    });
    memories.collect()
}

/// A text of common words, of so many bytes.
pub(crate) fn text(random: &mut StdRng, bytes: usize) -> String {
    let mut text = String::with_capacity(bytes + BY.len());
    while text.len() < bytes {
        let word = WORDS
            .get(random.random_range(0..WORDS.len()))
            .copied()
            .unwrap_or_default();
        text.push_str(word);
        text.push(' ');
    }
    text.truncate(bytes);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_comes_at_every_place_and_as_often() {
        let mut places = BTreeMap::new();
        for number in 0..8 {
            for (place, way) in order(&Way::ALL, number).into_iter().enumerate() {
                *places.entry((way, place)).or_insert(0) += 1;
            }
        }
        assert_eq!(places.len(), 16, "{places:?}");
        assert!(places.values().all(|times| *times == 2), "{places:?}");
        assert_eq!(order(&[Way::Floor], 3), [Way::Floor]);
    }

    #[test]
    fn memories_have_their_size_and_are_different() {
        let memories = memories().expect("keys");
        let hashes: std::collections::BTreeSet<_> = memories.iter().map(|(memory, _)| &memory.hash).collect();
        assert_eq!((memories.len(), hashes.len()), (MEMORIES, MEMORIES));
        assert!(memories.iter().all(|(_, content)| content.len() == BYTES));
    }
}
