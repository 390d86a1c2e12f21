//! The crash scenario: start server, controller and agents, submit work, kill a worker, wait for the end.

use std::path::PathBuf;
use std::time::Duration;

use baton_envelope::{Event, Json};
use baton_jetstream::{Events, Head};
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
    let topics = (1..=plan.intents).map(|n| (mesh.clock().intent_id(), Json::of(&topic(n)).unwrap_or_default()));
    let intents = harness.submit(ROLES[0], topics).await?;
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
    harness.until_over(&intents, Instant::now() + END).await?;
    let seconds = started.elapsed().as_secs_f64();

    let histories = harness.histories(intents).await?;
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
