//! Nodes that die in a rollout: three servers and two controllers, with rollouts of every agent all the time. The leader of
//! the ledger, a follower, and the leading controller are killed in turn and together; the checker judges, and what counts
//! besides is the longest time in which no hop ended.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use baton_checker::{Counts, Evidence, Violation};
use baton_jetstream::{Mesh, Target, TicketPersistence};
use rand::rngs::StdRng;
use rand::seq::SliceRandom as _;
use rand::{Rng as _, SeedableRng as _};
use serde::Serialize;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::finish::{CLOSING, dump, until_closed, until_ready};
use crate::journal::{Journal, now_ms};
use crate::load::Load;
use crate::operations::{Operation, Operator};
use crate::run::follow;
use crate::schedule::Cast;
use crate::stage::{CONTROLLERS, Servers, Stage, VERSIONS};
use crate::work::AGENTS;

/// No kill before this: rollouts have begun.
const CALM: Duration = Duration::from_secs(6);
/// How long a killed process is down, and how long all is well between two kills, in milliseconds.
const DOWN: std::ops::Range<u64> = 4_000..8_000;
const PAUSE: std::ops::Range<u64> = 4_000..7_000;
/// How long to look for who leads.
const LEADS: Duration = Duration::from_secs(20);
/// The shares of a rollout in percent, each for a second at least, and for as many attempts as the evidence takes.
const STEPS: [u64; 4] = [10, 30, 60, 100];
/// How often to see whether a rollout goes on.
const LOOK: Duration = Duration::from_millis(500);

/// What to run.
#[derive(Debug, Clone)]
pub struct NodePlan {
    /// The seed: the load, the order of the kills, and their times.
    pub seed: u64,
    /// Intents each second.
    pub rate: f64,
}

/// What is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Victim {
    /// The server that leads the ledger.
    LedgerLeader,
    /// A server that follows it.
    LedgerFollower,
    /// The controller that leads.
    Controller,
    /// The leading controller, and the server that leads the ledger, as when both run on one machine.
    Both,
}

impl Victim {
    const fn name(self) -> &'static str {
        match self {
            Self::LedgerLeader => "the ledger's leader",
            Self::LedgerFollower => "a follower",
            Self::Controller => "the leading controller",
            Self::Both => "the leading controller with the ledger's leader",
        }
    }
}

/// One kill.
#[derive(Debug, Clone, Serialize)]
pub struct Kill {
    /// What was killed.
    pub victim: &'static str,
    /// When, in milliseconds since 1970.
    pub at_ms: i64,
    /// How long it was down, in milliseconds.
    pub down_ms: u64,
    /// The rollouts that went on in that moment.
    pub rollouts: Vec<String>,
    /// The longest time from then on, until the next kill, in which no hop ended, in milliseconds.
    pub still_ms: i64,
}

/// The result of a run.
#[derive(Debug, Serialize)]
pub struct NodeSummary {
    /// The seed.
    pub seed: u64,
    /// The kills.
    pub kills: Vec<Kill>,
    /// How many rollouts began.
    pub rollouts: usize,
    /// The longest time in which no hop ended while the load lasted, in milliseconds.
    pub still_ms: i64,
    /// The longest time in which no submit was acknowledged while the load lasted, in milliseconds.
    pub unheard_ms: i64,
    /// How long closing everything took after the last kill, in seconds.
    pub closing_seconds: f64,
    /// What the checker saw.
    pub counts: Counts,
    /// The violations.
    pub violations: Vec<Violation>,
    /// The first violating history.
    #[serde(skip)]
    pub told: Option<String>,
    /// What kept the run from finishing.
    pub unfinished: Option<String>,
    /// The folder with the evidence.
    pub evidence: PathBuf,
}

impl NodeSummary {
    /// Whether every invariant held, to the end, and each kill fell into a rollout.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.violations.is_empty()
            && self.unfinished.is_none()
            && self.kills.iter().all(|kill| !kill.rollouts.is_empty())
    }
}

/// The kills of a seed: what, how long it is down, how long all is well afterwards.
#[must_use]
pub fn kills(seed: u64) -> Vec<(Victim, Duration, Duration)> {
    let mut random = StdRng::seed_from_u64(seed);
    let mut victims = [
        Victim::LedgerLeader,
        Victim::LedgerFollower,
        Victim::Controller,
        Victim::Both,
    ];
    victims.shuffle(&mut random);
    let kills = victims.into_iter().map(|victim| {
        let (down, pause) = (random.random_range(DOWN), random.random_range(PAUSE));
        (victim, Duration::from_millis(down), Duration::from_millis(pause))
    });
    kills.collect()
}

/// Runs a plan in a folder.
///
/// # Errors
/// When the runner itself fails. Failures of the mesh are in the summary.
pub async fn run(plan: &NodePlan, dir: &Path) -> Result<NodeSummary> {
    let journal = Arc::new(Journal::create(&dir.join("journal.jsonl"))?);
    std::fs::write(dir.join("effects.jsonl"), "")?;
    let cast = Cast {
        servers: 3,
        workers: AGENTS.len() * VERSIONS.iter().map(|(_, count)| count).sum::<usize>(),
        controllers: CONTROLLERS,
        small_disk: false,
        tickets: TicketPersistence::Default,
        signed: false,
        listeners: false,
    };
    let stage = Stage::start(dir, cast).await?;
    let target = Target {
        replicas: Some(stage.replicas()),
        patience: Duration::from_secs(30),
        ..Target::at(stage.urls())
    };
    let (mesh, of_operator) = (target.connect().await?, target.connect().await?);
    let operator = Operator { mesh: of_operator };
    let _routes = follow(&mesh).await?;
    until_ready(&mesh, &AGENTS, &VERSIONS.map(|(version, _)| version)).await?;

    let load = Load::new(mesh, Arc::clone(&journal));
    let (began_ms, stop) = (now_ms(), CancellationToken::new());
    let (loaded, rollouts, killed) = tokio::join!(
        load.run_until(plan.seed, plan.rate, &stop),
        roll(&operator, &journal, &stop),
        async {
            let killed = kill_all(plan, &stage, &operator.mesh, &journal).await;
            stop.cancel();
            (killed, now_ms())
        },
    );
    loaded?;
    let (mut kills, ended_ms) = (killed.0?, killed.1);
    let closing = Instant::now();
    let mut unfinished = None;
    if let Err(error) = until_closed(&stage, &operator, CLOSING).await {
        unfinished = Some(format!("{error:#}"));
    }
    let closing_seconds = closing.elapsed().as_secs_f64();
    stage.stop_all().await;
    dump(&stage.client, &dir.join("dump.jsonl")).await?;
    journal.flush()?;
    let folder = dir.to_owned();
    let judged = tokio::task::spawn_blocking(move || {
        let evidence = Evidence::read(&folder)?;
        anyhow::Ok((baton_checker::progress(&evidence), baton_checker::check(&evidence)))
    });
    let (progress, verdict) = judged.await.context("the checker")??;
    let ends: Vec<i64> = kills.iter().skip(1).map(|kill| kill.at_ms).chain([ended_ms]).collect();
    for (kill, end) in kills.iter_mut().zip(ends) {
        kill.still_ms = longest(&progress, kill.at_ms, end);
    }
    let mut heard: Vec<i64> = load.times().into_values().collect();
    heard.sort_unstable();
    Ok(NodeSummary {
        seed: plan.seed,
        kills,
        rollouts: rollouts?,
        still_ms: longest(&progress, began_ms, ended_ms),
        unheard_ms: longest(&heard, began_ms, ended_ms),
        closing_seconds,
        counts: verdict.counts,
        violations: verdict.violations,
        told: verdict.told,
        unfinished,
        evidence: dir.to_owned(),
    })
}

/// The longest time between two of these moments, its beginning and its end included.
fn longest(moments: &[i64], from: i64, until: i64) -> i64 {
    let within = moments.iter().copied().filter(|at| (from..until).contains(at));
    let (mut last, mut longest) = (from, 0);
    for at in within.chain([until]) {
        longest = longest.max(at - last);
        last = at;
    }
    longest
}

/// Begins a rollout of each agent whenever none goes on. Returns how many began.
async fn roll(operator: &Operator, journal: &Journal, stop: &CancellationToken) -> Result<usize> {
    let mut begun = 0;
    while !stop.is_cancelled() {
        for agent in AGENTS {
            let name = agent.parse()?;
            let Ok(Ok(Some((route, _)))) = timeout(LEADS, operator.mesh.route(&name)).await else {
                continue;
            };
            if route.canary.is_some() {
                continue;
            }
            let to = VERSIONS.map(|(version, _)| version);
            let to = to.into_iter().find(|version| *version != route.active.as_str());
            let start = Operation::Start(agent, to.context("two versions")?, STEPS.to_vec());
            match Box::pin(operator.one(&start)).await {
                Ok(()) => begun += 1,
                Err(error) => journal.note(format!("not begun: {start:?}: {error:#}"))?,
            }
        }
        stop.run_until_cancelled(sleep(LOOK)).await;
    }
    Ok(begun)
}

/// The agents whose rollout goes on, each with its version and share.
async fn going_on(mesh: &Mesh) -> Vec<String> {
    let routes = timeout(LEADS, mesh.known_routes()).await;
    let Ok(Ok(routes)) = routes else { return Vec::new() };
    let canaries = routes.iter().filter_map(|route| Some((route, route.canary.as_ref()?)));
    canaries
        .map(|(route, canary)| format!("{}@{} at {}", route.agent, canary.version, canary.percent))
        .collect()
}

async fn kill_all(plan: &NodePlan, stage: &Stage, mesh: &Mesh, journal: &Journal) -> Result<Vec<Kill>> {
    let mut done = Vec::new();
    sleep(CALM).await;
    for (victim, down, pause) in kills(plan.seed) {
        let rollouts = going_on(mesh).await;
        let server = match victim {
            Victim::LedgerLeader | Victim::Both => Some(ledger_leader(stage).await?),
            Victim::LedgerFollower => Some((ledger_leader(stage).await? + 1) % stage.servers.count()),
            Victim::Controller => None,
        };
        let controller = match victim {
            Victim::Controller | Victim::Both => Some(leading_controller(stage, mesh).await?),
            Victim::LedgerLeader | Victim::LedgerFollower => None,
        };
        let at_ms = now_ms();
        journal.note(format!(
            "killed: {}, server {server:?}, controller {controller:?}",
            victim.name()
        ))?;
        // Until both are back, no heal may start the controller again.
        let seat = controller.and_then(|index| stage.controllers.get(index));
        if let Some(seat) = seat
            && let Some(mut process) = seat.lock().await.process.take()
        {
            process.kill();
        }
        if let Some(index) = server {
            stage.servers.get(index).kill().await;
        }
        sleep(down).await;
        if let Some(index) = server {
            stage.servers.get(index).restart().await;
        }
        if let Some(seat) = seat {
            stage.launch_controller(&mut *seat.lock().await)?;
        }
        journal.note(format!("back: {}", victim.name()))?;
        done.push(Kill {
            victim: victim.name(),
            at_ms,
            down_ms: u64::try_from(down.as_millis()).unwrap_or(u64::MAX),
            rollouts,
            still_ms: 0,
        });
        sleep(pause).await;
    }
    Ok(done)
}

async fn ledger_leader(stage: &Stage) -> Result<usize> {
    let Servers::Cluster(cluster) = &stage.servers else {
        anyhow::bail!("this takes three servers");
    };
    let until = Instant::now() + LEADS;
    loop {
        if let Some(index) = cluster.stream_leader("MESH_LEDGER").await {
            return Ok(index);
        }
        anyhow::ensure!(Instant::now() < until, "no server leads the ledger");
        sleep(LOOK).await;
    }
}

/// The controller that leads: its name ends with the number of its process.
async fn leading_controller(stage: &Stage, mesh: &Mesh) -> Result<usize> {
    let until = Instant::now() + LEADS;
    loop {
        if let Ok(Ok(Some(leader))) = timeout(LEADS, mesh.leader()).await {
            for (index, seat) in stage.controllers.iter().enumerate() {
                let pid = seat.lock().await.process.as_ref().map(baton_testkit::ProcessGuard::pid);
                if pid.is_some_and(|pid| leader.ends_with(&format!("-{pid}"))) {
                    return Ok(index);
                }
            }
        }
        anyhow::ensure!(Instant::now() < until, "no controller leads");
        sleep(LOOK).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_kills_each_victim_once_and_the_same_way_each_time() {
        for seed in 0..20 {
            assert_eq!(kills(seed), kills(seed));
            assert_eq!(kills(seed).len(), 4);
        }
        assert_ne!(kills(1), kills(2));
    }

    #[test]
    fn the_longest_time_without_a_moment_counts_both_ends() {
        assert_eq!(longest(&[10, 20, 50, 60], 0, 100), 40);
        assert_eq!(longest(&[10, 20, 50, 60], 15, 62), 30);
        assert_eq!(longest(&[], 5, 25), 20);
    }
}
