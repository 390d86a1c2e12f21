//! The crash scenario: start server, controller and agents, submit work, kill a worker, wait for the end.

use std::path::PathBuf;
use std::time::Duration;

use baton_envelope::{Author, Envelope, Event, IntentId, Json, Role};
use baton_jetstream::{Events, Head, Mesh, WaitEnd};
use tokio::time::Instant;

use crate::agents::{Part, ROLES};
use crate::check::{Verdict, judge};
use crate::error::DemoError;
use crate::harness::{Harness, START};

/// How long all work may take after the last submit: the killed worker's hops wait for the ack wait of 10 s.
const END: Duration = Duration::from_secs(120);

/// The settings of the scenario.
#[derive(Debug, Clone)]
pub struct CrashPlan {
    /// The number of intents.
    pub intents: usize,
    /// This program. The scenario starts it as `EXE controller` and `EXE demo-agent ROLE EFFECTS`.
    pub exe: PathBuf,
    /// Whether to keep the folder with the server's data and the logs.
    pub keep: bool,
}

/// The result of the scenario.
#[derive(Debug)]
pub struct CrashReport {
    /// The judgement.
    pub verdict: Verdict,
    /// The history of an intent that was taken over from the killed worker; if there is none, of the first intent.
    pub example: Vec<Head>,
    /// The folder, if it was kept.
    pub folder: Option<PathBuf>,
}

/// Runs the scenario; `say` receives a line for each thing that happens.
///
/// # Errors
/// When a process or the server cannot be started, or something that the scenario waits for does not happen.
pub async fn run_crash(plan: &CrashPlan, say: &(dyn Fn(&str) + Sync)) -> Result<CrashReport, DemoError> {
    let harness = Harness::open(&plan.exe, say).await?;
    let mesh = &harness.mesh;
    let controller = harness.controller("controller")?;
    let mut agents = Vec::new();
    for role in ROLES {
        agents.push((role, harness.agent(&Part::of(role))?));
    }
    harness.wait_for_routes().await?;
    say("controller and agents research → code → qa are up, each a process of its own");

    let mut events = mesh.events(None).await?;
    let started = Instant::now();
    let intents = submit(mesh, plan.intents).await?;
    say(&format!("{} intents submitted", intents.len()));
    wait_for_half_done_work(&mut events).await?;
    let mut kills = 0;
    for (role, child) in agents.iter_mut().filter(|(role, _)| *role == "code") {
        let killed = child.pid();
        child
            .kill()
            .map_err(|error| DemoError::io("the agent cannot be killed", error))?;
        kills += 1;
        *child = harness.agent(&Part::of(role))?;
        let new = child.pid();
        say(&format!(
            "code (process {killed}) killed with SIGKILL in the middle of work; process {new} started"
        ));
    }
    let until = Instant::now() + END;
    for intent in &intents {
        match mesh
            .wait(intent, until.saturating_duration_since(Instant::now()))
            .await?
        {
            WaitEnd::Ended(_) | WaitEnd::Parked(_) | WaitEnd::TimedOut(_) => {}
        }
    }
    let seconds = started.elapsed().as_secs_f64();

    let mut histories = Vec::new();
    for intent in intents {
        let history = mesh.history(&intent, 1).await?;
        histories.push((intent, history));
    }
    let verdict = Verdict {
        kills,
        seconds,
        ..judge(&histories, &harness.effects()?)
    };
    let taken_over = |history: &[Head]| history.iter().any(|head| head.record.event == Event::Claimed);
    let example = histories
        .iter()
        .position(|(_, history)| taken_over(history))
        .unwrap_or(0);
    let example = histories
        .into_iter()
        .nth(example)
        .map(|(_, history)| history)
        .unwrap_or_default();
    // In this order, so that no process outlives the server.
    drop((agents, controller, events));
    let folder = harness.close(plan.keep || !verdict.is_good());
    Ok(CrashReport {
        verdict,
        example,
        folder,
    })
}

async fn submit(mesh: &Mesh, count: usize) -> Result<Vec<IntentId>, DemoError> {
    let mut intents = Vec::with_capacity(count);
    for n in 1..=count {
        let intent = mesh.clock().intent_id();
        let payload = Json::of(&topic(n)).unwrap_or_default();
        let to = ROLES[0].parse().map_err(baton_jetstream::Error::from)?;
        let envelope = Envelope::first(mesh.clock().envelope_id(), intent.clone(), to, payload);
        mesh.submit(envelope, Author::of(Role::Client, "demo")).await?;
        intents.push(intent);
    }
    Ok(intents)
}

fn topic(n: usize) -> std::collections::BTreeMap<&'static str, String> {
    std::collections::BTreeMap::from([("topic", format!("feature {n}"))])
}

/// Waits until `code` has recorded its second step of some hop. Then the third step is under way, and other hops beside
/// it.
async fn wait_for_half_done_work(events: &mut Events) -> Result<(), DemoError> {
    let half_done = async {
        while let Some(live) = events.next().await {
            if live.record.step.is_some_and(|step| step.name == "write") {
                return true;
            }
        }
        false
    };
    match tokio::time::timeout(START, half_done).await {
        Ok(true) => Ok(()),
        Ok(false) | Err(_) => Err(DemoError::Stuck("agent code did not get to work".to_owned())),
    }
}
