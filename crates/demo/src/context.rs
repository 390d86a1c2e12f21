//! The context scenario: a decision that the first of twelve hops pins is in the view of each hop after it, within a budget that
//! holds a fraction of what was remembered, though the server and a worker are killed in between. What no view had room for is
//! recalled at the end, byte for byte.

use std::path::PathBuf;
use std::time::Duration;

use baton_agent::{Fault, Handler, Hop, Kind, Memory, Outcome, View, token_counter};
use baton_envelope::context::{EnvelopeContext, Level};
use baton_envelope::{Author, Envelope, Event, IntentId, Json, MaxHops, Role};
use baton_jetstream::{Events, Head, ReceivedView};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::agents::{Part, append};
use crate::check::{Verdict, judge};
use crate::error::DemoError;
use crate::harness::{Harness, START};

/// The agents, which hand the work round.
pub(crate) const CIRCLE: [&str; 4] = [SCOUT, "planner", "builder", "tester"];
/// The first of them.
const SCOUT: &str = "scout";
/// How many hops the work takes.
const HOPS: u32 = 12;
/// The budget of each view, in tokens.
const BUDGET: u64 = 4_000;
/// The key of the decision, and what was decided.
const DECISION: &str = "ms-1";
const DECIDED: &str = "Retry with jitter, at most five times, and never a payment.";
/// How long a hop works.
const WORK: Duration = Duration::from_millis(150);
/// At the beginning of which hops the worker of it and the server are killed.
const KILL_AT: u32 = 4;
const OUTAGE_AT: u32 = 7;
/// How long the rest may take after the outage.
const END: Duration = Duration::from_secs(120);

/// The settings of the scenario.
#[derive(Debug, Clone)]
pub struct ContextPlan {
    /// The number of pieces of work.
    pub intents: usize,
    /// This program.
    pub exe: PathBuf,
    /// Whether to keep the folder with the server's data and the logs.
    pub keep: bool,
}

/// The judgement.
#[derive(Debug, Clone, Serialize)]
pub struct ContextVerdict {
    /// As in the other scenarios.
    #[serde(flatten)]
    pub common: Verdict,
    /// Views that agents were given: one for each hop but the first of an intent.
    pub views: usize,
    /// Views with the decision in full.
    pub with_decision: usize,
    /// The tokens of the largest view.
    pub most_used: u64,
    /// The tokens that each had room for.
    pub budget: u64,
    /// Memories that were to be in a view in full and could not be read.
    pub gaps: usize,
    /// Intents of which every link and memory was read to the first, and is what its hash says.
    pub verified: usize,
    /// Intents whose last hop recalled what no view had room for any more.
    pub recalled: usize,
}

/// The view of the last hop of the first intent.
#[derive(Debug)]
pub struct LastView {
    /// The envelope that gave it.
    pub envelope: Envelope,
    /// The view.
    pub view: ReceivedView,
}

/// The result of the scenario.
#[derive(Debug)]
pub struct ContextReport {
    /// The judgement.
    pub verdict: ContextVerdict,
    /// An example.
    pub last: Option<LastView>,
    /// The folder, if it was kept.
    pub folder: Option<PathBuf>,
}

impl ContextVerdict {
    /// Whether each view had the decision within its budget, and nothing of what was remembered is lost.
    pub fn is_good(&self) -> bool {
        let intents = self.common.submitted;
        let views = intents * (HOPS as usize - 1);
        self.common.is_good()
            && (self.views, self.with_decision) == (views, views)
            && self.most_used <= self.budget
            && self.gaps == 0
            && (self.verified, self.recalled) == (intents, intents)
    }
}

/// Runs the scenario; `say` receives a line for each thing that happens.
///
/// # Errors
/// When a process or the server cannot be started, or something that the scenario waits for does not happen.
pub async fn run_context(plan: &ContextPlan, say: &(dyn Fn(&str) + Sync)) -> Result<ContextReport, DemoError> {
    let mut harness = Harness::open(&plan.exe, say).await?;
    let controller = harness.controller("controller")?;
    let mut workers = Vec::new();
    for role in CIRCLE {
        workers.push(harness.agent(&Part::of(role))?);
    }
    harness.wait_for_route_of(&CIRCLE).await?;
    let mut events = harness.mesh.events(None).await?;
    let started = Instant::now();
    let intents = submit(&harness, plan.intents).await?;
    say(&format!(
        "{} submitted; hop 1 pins a decision, each of {HOPS} hops remembers some 700 tokens, a view has room for {BUDGET}",
        intents.len()
    ));

    until_hop(&mut events, KILL_AT).await?;
    let killed = (KILL_AT as usize - 1) % CIRCLE.len();
    let (Some(worker), Some(role)) = (workers.get_mut(killed), CIRCLE.get(killed)) else {
        return Err(DemoError::NoRole(format!("number {killed}")));
    };
    worker
        .kill()
        .map_err(|error| DemoError::io("a worker cannot be killed", error))?;
    *worker = harness.agent(&Part::of(role))?;
    say(&format!(
        "the worker of {role} killed with SIGKILL in hop {KILL_AT}; another one started"
    ));
    until_hop(&mut events, OUTAGE_AT).await?;
    harness.restart_server().await?;
    say(&format!(
        "the server, and with it the store, killed with SIGKILL in hop {OUTAGE_AT} and started again"
    ));

    harness.until_over(&intents, Instant::now() + END).await?;
    let seconds = started.elapsed().as_secs_f64();
    let histories = harness.histories(intents).await?;
    let common = Verdict {
        kills: 2,
        seconds,
        ..judge(&histories, &harness.effects()?)
    };
    let (verdict, last) = told(&harness, &histories, common).await?;
    drop((workers, controller, events));
    let folder = harness.close(plan.keep || !verdict.is_good());
    Ok(ContextReport { verdict, last, folder })
}

async fn submit(harness: &Harness, count: usize) -> Result<Vec<IntentId>, DemoError> {
    let mut intents = Vec::with_capacity(count);
    for number in 1..=count {
        let name = format!("work-{number}");
        let intent: IntentId = name.parse().map_err(baton_jetstream::Error::from)?;
        let to = SCOUT.parse().map_err(baton_jetstream::Error::from)?;
        let payload = Json::of(&Work { topic: name }).map_err(|error| DemoError::Stuck(error.to_string()))?;
        let id = harness.mesh.clock().envelope_id();
        let mut envelope = Envelope::first(id, intent.clone(), to, payload);
        envelope.max_hops = MaxHops::new(HOPS.into()).unwrap_or_default();
        let by = Author::of(Role::Client, "demo");
        harness.mesh.submit(envelope, by).await?;
        intents.push(intent);
    }
    Ok(intents)
}

/// Waits until some intent is at this hop. It works then.
async fn until_hop(events: &mut Events, hop: u32) -> Result<(), DemoError> {
    let there = async {
        while let Some(live) = events.next().await {
            if live.record.event == Event::HandedOff && live.record.snapshot.hop == hop {
                return true;
            }
        }
        false
    };
    match tokio::time::timeout(START, there).await {
        Ok(true) => Ok(()),
        Ok(false) | Err(_) => Err(DemoError::Stuck(format!("no work came to hop {hop}"))),
    }
}

/// Reads what each hop was given, by the ledger and the store alone.
async fn told(
    harness: &Harness,
    histories: &[(IntentId, Vec<Head>)],
    common: Verdict,
) -> Result<(ContextVerdict, Option<LastView>), DemoError> {
    let mut verdict = ContextVerdict {
        common,
        views: 0,
        with_decision: 0,
        most_used: 0,
        budget: BUDGET,
        gaps: 0,
        verified: 0,
        recalled: 0,
    };
    let mut example = None;
    for (intent, history) in histories {
        let mut last = None;
        for envelope in handed_on(history) {
            let view = harness.mesh.received_view(envelope, None, token_counter).await?;
            let decision = view.items.iter().find(|(one, _)| one.memory.key.as_str() == DECISION);
            let is_there = decision.is_some_and(|(_, level)| *level == Level::Full) && view.text.contains(DECIDED);
            verdict.views += 1;
            verdict.with_decision += usize::from(is_there);
            verdict.gaps += view.gaps.len();
            verdict.most_used = verdict.most_used.max(view.view().map_or(u64::MAX, |view| view.used));
            last = Some(LastView {
                envelope: envelope.clone(),
                view,
            });
        }
        if let Some(last) = last {
            let said = EnvelopeContext::of(&last.envelope).map_err(|error| DemoError::Stuck(error.to_string()))?;
            let heads: Vec<_> = said.head.into_iter().collect();
            let chain = harness.mesh.verify_context(intent, &heads).await?;
            // A decision, and the notes of each hop that handed on.
            verdict.verified += usize::from(chain.candidates().len() == HOPS as usize);
            example = example.or(Some(last));
        }
        let result = history.last().and_then(|head| head.record.snapshot.result.as_ref());
        let done: Option<Done> = result.and_then(|result| result.read().ok());
        verdict.recalled += usize::from(done.is_some_and(|done| done.recalled));
    }
    Ok((verdict, example))
}

/// The envelopes with which each hop handed on, in order.
fn handed_on(history: &[Head]) -> impl Iterator<Item = &Envelope> {
    let handed_off = history.iter().filter(|head| head.record.event == Event::HandedOff);
    handed_off.filter_map(|head| head.record.envelope.as_deref())
}

/// What goes round.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Work {
    topic: String,
}

/// What it comes to.
#[derive(Debug, Serialize, Deserialize)]
struct Done {
    /// Whether the notes of the first hop were recalled as they were.
    recalled: bool,
}

/// Some 700 tokens that belong to a hop.
fn notes(topic: &str, hop: u32) -> String {
    let line = "the otter crossed the river and came back. ";
    format!("What hop {hop} of {topic} saw: {}", line.repeat(75))
}

/// An agent of the circle.
pub(crate) struct Keeper {
    pub(crate) effects: PathBuf,
    pub(crate) instance: String,
}

impl Handler for Keeper {
    type Input = Work;

    async fn handle(&self, hop: &mut Hop, work: Work) -> Result<Outcome, Fault> {
        let number = hop.number();
        let line = format!("{} {number} look {}", hop.intent(), self.instance);
        let looked = hop.step("look", || async {
            tokio::time::sleep(WORK).await;
            append(&self.effects, &line)?;
            Ok::<_, Fault>(notes(&work.topic, number))
        });
        let seen = looked.await?;
        if number == 1 {
            let decision = Memory::new(DECISION, Kind::Decision, DECIDED).title("Retries").pin();
            hop.remember(decision).await?;
        }
        if number == HOPS {
            let first = hop.recall("notes-1", 0).await?;
            let recalled = first.is_some_and(|first| first == notes(&work.topic, 1).into_bytes());
            return Outcome::complete(&Done { recalled });
        }
        let title = format!("What hop {number} saw");
        let memory = Memory::new(format!("notes-{number}"), Kind::Observation, seen).title(title);
        hop.remember(memory).await?;
        let next = CIRCLE.iter().cycle().nth(number as usize).unwrap_or(&SCOUT);
        Ok(Outcome::hand_off(next, &work)?.with_context(View::trim().tokens(BUDGET)))
    }
}
