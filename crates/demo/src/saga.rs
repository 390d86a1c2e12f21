//! The saga scenario: trips of which three things are booked, one after the other. The third cannot be had, so the first two are
//! taken back, the latest first and each once, though the worker that books and the one that takes back are killed in the middle.

use std::path::PathBuf;
use std::time::Duration;

use baton_agent::{Fault, Handler, Hop, Outcome};
use baton_envelope::{IntentId, Json, OnExhausted, Policy, Status};
use baton_jetstream::{Events, Head};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::agents::{Part, append};
use crate::check::{Verdict, judge};
use crate::error::DemoError;
use crate::harness::{Harness, START};

/// The agent that books, and the one that takes back.
pub(crate) const TRAVEL: &str = "travel";
pub(crate) const CLERK: &str = "clerk";
/// What can be booked of a trip, in order; a car cannot.
const BOOKED: [&str; 2] = ["flight", "hotel"];
/// The step that takes back.
const TAKE_BACK: &str = "take-back";
/// How long a booking takes, and taking it back.
const WORK: Duration = Duration::from_millis(200);
/// How long the rest may take after the last kill.
const END: Duration = Duration::from_secs(120);

/// The settings of the scenario.
#[derive(Debug, Clone)]
pub struct SagaPlan {
    /// The number of trips.
    pub intents: usize,
    /// This program.
    pub exe: PathBuf,
    /// Whether to keep the folder with the server's data and the logs.
    pub keep: bool,
}

/// The judgement.
#[derive(Debug, Clone, Serialize)]
pub struct SagaVerdict {
    /// As in the other scenarios, of the trips and of the undos together. None of the trips completes.
    #[serde(flatten)]
    pub common: Verdict,
    /// Trips that failed because there was no car, after all was taken back.
    pub failed: usize,
    /// Bookings that are recorded.
    pub booked: usize,
    /// Bookings that were taken back.
    pub undone: usize,
    /// Bookings that were taken back more than once.
    pub undone_twice: usize,
    /// Trips whose bookings were taken back in reverse order.
    pub in_reverse: usize,
}

/// The result of the scenario.
#[derive(Debug)]
pub struct SagaReport {
    /// The judgement.
    pub verdict: SagaVerdict,
    /// The history of the first trip.
    pub example: Vec<Head>,
    /// The folder, if it was kept.
    pub folder: Option<PathBuf>,
}

impl SagaVerdict {
    /// Whether each trip failed, and what it had booked was taken back once, the latest first.
    pub fn is_good(&self) -> bool {
        let (trips, bookings) = (self.common.submitted, self.common.submitted * BOOKED.len());
        let common = &self.common;
        (
            common.lost,
            common.duplicate_commits,
            common.repeated_steps,
            common.illegal_records,
        ) == (0, 0, 0, 0)
            && (self.failed, self.in_reverse) == (trips, trips)
            && (self.booked, self.undone, self.undone_twice) == (bookings, bookings, 0)
    }
}

/// Runs the scenario; `say` receives a line for each thing that happens.
///
/// # Errors
/// When a process or the server cannot be started, or something that the scenario waits for does not happen.
pub async fn run_saga(plan: &SagaPlan, say: &(dyn Fn(&str) + Sync)) -> Result<SagaReport, DemoError> {
    let harness = Harness::open(&plan.exe, say).await?;
    let controller = harness.controller("controller")?;
    let mut travel = harness.agent(&Part::of(TRAVEL))?;
    let mut clerk = harness.agent(&Part::of(CLERK))?;
    harness.wait_for_route_of(&[TRAVEL, CLERK]).await?;
    let mut events = harness.mesh.events(None).await?;
    let started = Instant::now();
    let trips = harness
        .submit_with(TRAVEL, trips(plan.intents)?, Some(&compensates()))
        .await?;
    say(&format!("{} trips submitted: flight, hotel, car", trips.len()));

    let failed = |error| DemoError::io("a worker cannot be killed", error);
    until_recorded(&mut events, BOOKED[0]).await?;
    travel.kill().map_err(failed)?;
    travel = harness.agent(&Part::of(TRAVEL))?;
    say("the worker that books killed with SIGKILL between two bookings; another one started");
    until_recorded(&mut events, TAKE_BACK).await?;
    clerk.kill().map_err(failed)?;
    clerk = harness.agent(&Part::of(CLERK))?;
    say("there is no car; the worker that takes back killed with SIGKILL in the middle; another one started");

    harness.until_over(&trips, Instant::now() + END).await?;
    let seconds = started.elapsed().as_secs_f64();
    let trips = harness.histories(trips).await?;
    let undos = trips
        .iter()
        .flat_map(|(trip, _)| (0..BOOKED.len()).map(move |place| undo_of(trip, place)));
    let undos: Vec<IntentId> = undos.collect();
    let undos = harness.histories(undos).await?;
    let verdict = told(&trips, &undos, &harness.effects()?, seconds);
    let example = trips.into_iter().next().map(|(_, history)| history);
    drop((travel, clerk, controller, events));
    let folder = harness.close(plan.keep || !verdict.is_good());
    Ok(SagaReport {
        verdict,
        example: example.unwrap_or_default(),
        folder,
    })
}

/// The undo of a trip with this place in its plan.
fn undo_of(trip: &IntentId, place: usize) -> IntentId {
    IntentId::of_child(trip, 1, &format!("undo#{}", place + 1), 0)
}

fn told(trips: &[(IntentId, Vec<Head>)], undos: &[(IntentId, Vec<Head>)], effects: &str, seconds: f64) -> SagaVerdict {
    let all: Vec<_> = trips.iter().chain(undos).cloned().collect();
    let last = |history: &[Head]| history.last().map(|head| head.record.snapshot.status.clone());
    let no_car = |history: &[Head]| {
        last(history)
            == Some(Status::Failed {
                code: NO_CARS.to_owned(),
            })
    };
    let steps = |histories: &[(IntentId, Vec<Head>)]| {
        let heads = histories.iter().flat_map(|(_, history)| history);
        heads.filter(|head| head.record.step.is_some()).count()
    };
    let ends = trips
        .iter()
        .flat_map(|(_, history)| history)
        .flat_map(|head| &head.record.children);
    let undone = ends
        .flat_map(|done| &done.ends)
        .filter(|end| end.state == Status::Completed.name())
        .count();
    let failed = trips.iter().filter(|(_, history)| no_car(history)).count();
    let common = Verdict {
        submitted: trips.len(),
        completed: 0,
        lost: trips.len() - failed,
        kills: 2,
        seconds,
        ..judge(&all, effects)
    };
    SagaVerdict {
        failed,
        booked: steps(trips),
        undone,
        undone_twice: steps(undos).saturating_sub(undone),
        in_reverse: trips.iter().filter(|(trip, _)| is_in_reverse(trip, undos)).count(),
        common,
    }
}

/// Whether the undos of a trip took back its bookings from the last to the first, one after the other.
fn is_in_reverse(trip: &IntentId, undos: &[(IntentId, Vec<Head>)]) -> bool {
    let done = BOOKED.iter().enumerate().map(|(place, _)| {
        let id = undo_of(trip, place);
        let (_, history) = undos.iter().find(|(undo, _)| *undo == id)?;
        let step = history.iter().find(|head| head.record.step.is_some())?;
        let thing: Taken = step.record.step.as_ref()?.result.read().ok()?;
        Some((step.seq, thing.thing))
    });
    let Some(done) = done.collect::<Option<Vec<_>>>() else {
        return false;
    };
    let in_line = done.is_sorted_by_key(|(seq, _)| *seq);
    in_line
        && done
            .iter()
            .map(|(_, thing)| thing.as_str())
            .eq(BOOKED.into_iter().rev())
}

fn trips(count: usize) -> Result<Vec<(IntentId, Json)>, DemoError> {
    let trip = |n| {
        let id = format!("trip-{n}").parse().map_err(baton_jetstream::Error::from)?;
        Ok((id, Json::string(&format!("trip {n}"))))
    };
    (1..=count).map(trip).collect()
}

/// What fails for good is taken back.
fn compensates() -> Policy {
    Policy {
        on_exhausted: Some(OnExhausted::Compensate),
        ..Policy::default()
    }
}

/// Waits until a step of this name is recorded. Then the next thing is under way.
async fn until_recorded(events: &mut Events, name: &str) -> Result<(), DemoError> {
    let recorded = async {
        while let Some(live) = events.next().await {
            if live.record.step.is_some_and(|step| step.name == name) {
                return true;
            }
        }
        false
    };
    match tokio::time::timeout(START, recorded).await {
        Ok(true) => Ok(()),
        Ok(false) | Err(_) => Err(DemoError::Stuck(format!("step {name} was not done"))),
    }
}

/// The code with which a trip fails.
const NO_CARS: &str = "NO_CARS";

/// Books what a trip needs.
pub(crate) struct Travel {
    pub(crate) effects: PathBuf,
    pub(crate) instance: String,
}

/// What is to be taken back, and was.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Taken {
    thing: String,
}

impl Handler for Travel {
    type Input = String;

    async fn handle(&self, hop: &mut Hop, trip: String) -> Result<Outcome, Fault> {
        let place = format!("{} {}", hop.intent(), hop.number());
        for thing in BOOKED {
            let book = || async {
                tokio::time::sleep(WORK).await;
                append(&self.effects, &format!("{place} {thing} {}", self.instance))?;
                Ok::<_, Fault>(format!("{thing} of {trip}"))
            };
            let thing = || Taken {
                thing: thing.to_owned(),
            };
            hop.step_undoable(&thing().thing, book, CLERK, |_| thing()).await?;
        }
        Err(Fault::terminal(NO_CARS, "no car is left"))
    }
}

/// Takes bookings back.
pub(crate) struct Clerk {
    pub(crate) effects: PathBuf,
    pub(crate) instance: String,
}

impl Handler for Clerk {
    type Input = Taken;

    async fn handle(&self, hop: &mut Hop, booked: Taken) -> Result<Outcome, Fault> {
        let line = format!("{} {} {TAKE_BACK} {}", hop.intent(), hop.number(), self.instance);
        let taken = hop.step(TAKE_BACK, || async {
            tokio::time::sleep(WORK).await;
            append(&self.effects, &line)?;
            Ok::<_, Fault>(booked)
        });
        Outcome::complete(&taken.await?)
    }
}
