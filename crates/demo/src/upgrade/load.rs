//! The load: submits intents at a steady pace, however fast they end.

use std::time::Duration;

use baton_envelope::{AgentName, Author, Envelope, IntentId, Json, Role};
use baton_jetstream::{Error, Mesh};
use serde::Serialize;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::agents::ROLES;
use crate::error::DemoError;

/// How often to check whether the mesh keeps up.
const LOOK: Duration = Duration::from_secs(1);
/// How many seconds' worth of work may wait before the pace counts as too fast.
const TOO_MUCH: u64 = 2;
/// How long a slower pace gets to reduce the backlog.
const RELIEF: Duration = Duration::from_secs(5);
/// How long to repeat a submit that got no answer: its id makes the repeat the same intent.
const PATIENCE: Duration = Duration::from_secs(30);

/// What was submitted.
#[derive(Debug, Default)]
pub(super) struct Sent {
    pub(super) intents: Vec<IntentId>,
    /// The pace at the end, in intents per second.
    pub(super) rate: u32,
}

#[derive(Debug, Serialize)]
struct Feature {
    topic: String,
}

/// When the next intent is due.
#[derive(Debug)]
struct Pace {
    rate: u32,
    due: Instant,
}

impl Pace {
    fn step(&mut self) {
        self.due += Duration::from_secs(1) / self.rate;
        // After a stall of the machine the pace continues as before; no burst makes up for it.
        if self.due.elapsed() > Duration::from_secs(1) {
            self.due = Instant::now();
        }
    }
}

/// Submits until `stop`.
pub(super) async fn run(
    mesh: &Mesh,
    rate: u32,
    mut stop: watch::Receiver<bool>,
    say: &(dyn Fn(&str) + Sync),
) -> Result<Sent, DemoError> {
    // Follow the routes, so that a submit need not ask which version it goes to.
    let _routes = mesh.follow_routes().await?;
    let started = Instant::now();
    let mut pace = Pace {
        rate: rate.max(1),
        due: started,
    };
    let mut look_at = started + LOOK;
    let mut intents = Vec::new();
    let mut submits = JoinSet::new();
    loop {
        tokio::select! {
            biased;
            _ = stop.wait_for(|stop| *stop) => break,
            () = tokio::time::sleep_until(pace.due) => {}
        }
        pace.step();
        let intent = mesh.clock().intent_id();
        submits.spawn(submit(mesh.clone(), intent.clone(), intents.len() + 1));
        intents.push(intent);
        while let Some(done) = submits.try_join_next() {
            settled(done)?;
        }
        if Instant::now() >= look_at {
            look_at = Instant::now() + LOOK;
            let waiting = waiting(mesh).await + u64::try_from(submits.len()).unwrap_or(u64::MAX);
            if waiting > TOO_MUCH * u64::from(pace.rate) && pace.rate > 1 {
                let asked = pace.rate;
                pace.rate = (asked * 2 / 3).max(1);
                look_at += RELIEF;
                say(&format!(
                    "this machine does not keep up with {asked} intents a second ({waiting} wait): {} from now on",
                    pace.rate
                ));
            }
        }
    }
    while let Some(done) = submits.join_next().await {
        settled(done)?;
    }
    Ok(Sent {
        intents,
        rate: pace.rate,
    })
}

/// How many tickets wait for a worker. An agent that cannot be counted now counts as zero.
async fn waiting(mesh: &Mesh) -> u64 {
    let mut sum = 0;
    for role in ROLES {
        let Ok(agent) = role.parse::<AgentName>() else { continue };
        let counts = mesh.agent_counts(&agent).await.unwrap_or_default();
        sum += counts.values().map(|counts| counts.backlog).sum::<u64>();
    }
    sum
}

async fn submit(mesh: Mesh, intent: IntentId, n: usize) -> Result<(), Error> {
    let until = Instant::now() + PATIENCE;
    loop {
        let feature = Feature {
            topic: format!("feature {n}"),
        };
        let payload = Json::of(&feature).unwrap_or_default();
        let to = ROLES[0].parse()?;
        let envelope = Envelope::first(mesh.clock().envelope_id(), intent.clone(), to, payload);
        match mesh.submit(envelope, Author::of(Role::Client, "demo")).await {
            Err(Error::NoAnswer { .. }) if Instant::now() < until => {}
            submitted => return submitted.map(drop),
        }
    }
}

fn settled(done: Result<Result<(), Error>, tokio::task::JoinError>) -> Result<(), DemoError> {
    match done {
        Ok(submitted) => Ok(submitted?),
        Err(source) => Err(DemoError::Task {
            what: "a submit ended on its own".to_owned(),
            source,
        }),
    }
}
