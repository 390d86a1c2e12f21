//! Schedules while their controllers die: the small run of every change and the large one of the nightly.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use baton_agent::{Json, Outcome};
use baton_envelope::control::AddSchedule;
use baton_envelope::schedule::{Firing, Missed, Overlap, Schedule, Why};
use baton_envelope::{IntentId, Priority, Timestamp};
use baton_jetstream::{Clock as _, Filter, SystemClock};
use baton_testkit::{ProcessGuard, eventually};
use futures::StreamExt as _;
use tempfile::TempDir;

use crate::TestMesh;
use crate::chaos::{Running, SOON, agent, assert_legal};

/// The agent that gets the work.
const AGENT: &str = "tick";
/// How many controllers there are.
const CONTROLLERS: usize = 3;
/// How long all may take to be made once nobody dies any more: a new leader and what is left.
const MADE: Duration = Duration::from_secs(60);

/// How much.
#[derive(Debug, Clone, Copy)]
pub struct Scale {
    /// How many schedules, each of which fires once a second.
    pub schedules: usize,
    /// For how long.
    pub seconds: u64,
    /// The time between two deaths of a controller.
    pub between: Duration,
}

/// What was found.
#[derive(Debug)]
pub struct Found {
    /// How many firings there were.
    pub firings: usize,
    /// How many controllers died, and how many were frozen.
    pub deaths: usize,
    /// How late half of the firings were written, and the latest.
    pub late: (Duration, Duration),
}

/// Controllers in processes of their own.
struct Controllers<'m> {
    mesh: &'m TestMesh,
    dir: TempDir,
    running: Vec<ProcessGuard>,
    started: usize,
}

impl<'m> Controllers<'m> {
    fn start(mesh: &'m TestMesh) -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        let mut all = Self {
            mesh,
            dir,
            running: Vec::new(),
            started: 0,
        };
        for _ in 0..CONTROLLERS {
            let another = all.another();
            all.running.push(another);
        }
        all
    }

    fn another(&mut self) -> ProcessGuard {
        self.started += 1;
        let mut command = self.mesh.baton(&["controller"]);
        command.env("BATON_LOG", "info,async_nats=off");
        ProcessGuard::spawn(&format!("controller-{}", self.started), command, self.dir.path())
    }

    /// Kills the leader, where it is known, or else one of the others; another takes its place. Each third time it is
    /// frozen instead, for longer than its lease lasts, so that for a moment two believe that they lead.
    async fn fault(&mut self, turn: usize) {
        let leader = self.mesh.mesh.leader().await.ok().flatten().unwrap_or_default();
        let is_leader = |one: &ProcessGuard| leader == format!("controller-{}", one.pid());
        let at = self.running.iter().position(is_leader).unwrap_or(turn % CONTROLLERS);
        let Some(one) = self.running.get_mut(at) else { return };
        if turn % 3 == 2 {
            one.pause();
            tokio::time::sleep(Duration::from_secs(6)).await;
            one.resume();
            return;
        }
        one.kill();
        let another = self.another();
        if let Some(place) = self.running.get_mut(at) {
            *place = another;
        }
    }
}

/// Runs schedules while their controllers die, and checks that each firing is one intent, done once.
///
/// # Panics
/// When one is missing, or more than one.
pub async fn each_firing_once(scale: Scale) -> Found {
    let mesh = TestMesh::start_without_controller().await;
    let mut controllers = Controllers::start(&mesh);
    let runs: Arc<Mutex<BTreeMap<IntentId, usize>>> = Arc::default();
    let counted = Arc::clone(&runs);
    let builder = agent(AGENT, move |envelope| {
        let mut runs = counted.lock().unwrap_or_else(PoisonError::into_inner);
        *runs.entry(envelope.intent.clone()).or_default() += 1;
        async move { Outcome::complete(&envelope.payload) }
    });
    let _worker = Running::start(mesh.server.url(), builder).await;
    eventually("the agent is known", SOON, async || {
        let route = mesh.mesh.route(&AGENT.parse().expect("a name")).await;
        route
            .map_err(|error| error.to_string())?
            .map(drop)
            .ok_or_else(|| "no route".to_owned())
    })
    .await;
    let end = SystemClock.now().plus(Duration::from_secs(scale.seconds));
    let mut schedules = Vec::new();
    for n in 0..scale.schedules {
        schedules.push(add(&mesh, n, end).await);
    }
    let mut deaths = 0;
    while SystemClock.now().plus(scale.between) < end {
        tokio::time::sleep(scale.between).await;
        controllers.fault(deaths).await;
        deaths += 1;
    }
    let expected: Vec<(Schedule, Firing)> = schedules.iter().flat_map(|one| firings(one, end)).collect();
    eventually("every firing is made and done", MADE, async || {
        let listed = mesh
            .mesh
            .list(&Filter::default())
            .await
            .map_err(|error| error.to_string())?;
        let ended = listed
            .heads
            .iter()
            .filter(|head| head.record.snapshot.status.is_terminal());
        let (ended, there) = (ended.count(), listed.heads.len());
        (ended >= expected.len())
            .then_some(())
            .ok_or_else(|| format!("{ended} of {there} have ended, {} are expected", expected.len()))
    })
    .await;
    let listed = mesh.mesh.list(&Filter::default()).await.expect("a list");
    assert_eq!(listed.heads.len(), expected.len(), "a firing exists that should not");
    let late = judge(&mesh, &expected, &runs).await;
    Found {
        firings: expected.len(),
        deaths,
        late,
    }
}

async fn add(mesh: &TestMesh, n: usize, end: Timestamp) -> Schedule {
    let question = AddSchedule {
        name: format!("every-second-{n}").parse().expect("a name"),
        agent: AGENT.parse().expect("a name"),
        cron: None,
        tz: None,
        every_ms: Some(1000),
        jitter_ms: 0,
        until: Some(end),
        missed: Missed::All,
        overlap: Overlap::Allow,
        kind: None,
        priority: Priority::default(),
        deadline_ms: None,
        payload: Json::parse(&n.to_string()).expect("JSON"),
        payload_encoding: None,
        by: "test".to_owned(),
    };
    mesh.mesh.ask_controller(&question).await.expect("added").schedule
}

fn firings(schedule: &Schedule, end: Timestamp) -> Vec<(Schedule, Firing)> {
    let times = (1..).map(|n| schedule.created_at.plus(Duration::from_secs(n)));
    let times = times.take_while(|at| *at <= end);
    times
        .map(|at| (schedule.clone(), Firing::of(schedule, Why::Due, at)))
        .collect()
}

/// Looks at each firing: one life, legal, at its time, done once. Gives how late half of them were written, and the latest.
async fn judge(
    mesh: &TestMesh,
    expected: &[(Schedule, Firing)],
    runs: &Mutex<BTreeMap<IntentId, usize>>,
) -> (Duration, Duration) {
    let histories = futures::stream::iter(expected)
        .map(|(schedule, firing)| async move { (schedule, firing, mesh.history_of(&firing.intent).await) });
    let mut histories = histories.buffered(32);
    let mut late = Vec::new();
    while let Some((schedule, firing, history)) = histories.next().await {
        let name = &schedule.name;
        assert!(!history.is_empty(), "{name} did not fire at {}", firing.at);
        assert_legal(&history);
        let first = history.first().expect("a record");
        let record = &first.record;
        assert_eq!(
            (record.at, record.snapshot.submitted_at),
            (firing.at, firing.at),
            "{name}"
        );
        let from = record.envelope.as_ref().and_then(|envelope| envelope.from.clone());
        assert_eq!(from, Some(format!("schedule/{name}")));
        assert!(record.generated_id, "{name}");
        let written = record.snapshot.updated_at;
        assert!(written >= firing.at, "{name} fired at {written}, before {}", firing.at);
        late.push(written.since(firing.at));
        let count = runs
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&firing.intent)
            .copied();
        assert_eq!(count, Some(1), "{name} at {} ran", firing.at);
    }
    late.sort_unstable();
    let median = late.get(late.len() / 2).copied().unwrap_or_default();
    (median, late.last().copied().unwrap_or_default())
}
