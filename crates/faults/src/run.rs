//! One run: a seed from its first process to its verdict.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use baton_checker::{Counts, Evidence, Grant, Trust, Verdict, Violation};
use baton_envelope::control::{ChannelAct, SubscribeAgent};
use baton_jetstream::{Mesh, Target, TicketPersistence};
use baton_testkit::Keys;
use serde::Serialize;
use tokio::time::Instant;

use crate::apply::Disturber;
use crate::control::{Controls, acts};
use crate::finish::{CLOSING, dump, leftovers, order, until_closed, until_ready};
use crate::journal::Journal;
use crate::load::Load;
use crate::operations::{Operator, operations};
use crate::patterns::SUBSCRIBED;
use crate::schedule::{Cast, Planned, schedule};
use crate::stage::{CONTROLLERS, Stage, VERSIONS, signers};
use crate::work::{AGENTS, LISTENERS};

/// What to run.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The seed.
    pub seed: u64,
    /// How long faults and load last.
    pub length: Duration,
    /// 1 or 3.
    pub servers: usize,
    /// Intents each second.
    pub rate: f64,
    /// Whether every process signs what it writes, and the checker verifies it.
    pub signed: bool,
}

impl Plan {
    /// The parts that faults may hit. Every fourth seed on one server keeps its store on a small disk, if the platform
    /// allows it.
    #[must_use]
    pub fn cast(&self) -> Cast {
        Cast {
            servers: self.servers,
            workers: AGENTS.len() * VERSIONS.iter().map(|(_, count)| count).sum::<usize>() + LISTENERS.len(),
            controllers: CONTROLLERS,
            small_disk: self.servers == 1 && self.seed.is_multiple_of(4),
            tickets: if self.servers == 1 && self.seed.is_multiple_of(3) {
                TicketPersistence::Async
            } else {
                TicketPersistence::Default
            },
            signed: self.signed,
            listeners: true,
        }
    }

    /// The faults of this plan.
    #[must_use]
    pub fn schedule(&self) -> Vec<Planned> {
        schedule(self.seed, self.length, self.cast())
    }
}

/// The result of a run.
#[derive(Debug, Serialize)]
pub struct Summary {
    /// The seed.
    pub seed: u64,
    /// How many servers.
    pub servers: usize,
    /// How long the whole run took, in seconds.
    pub seconds: f64,
    /// How long closing everything took after the last fault, in seconds.
    pub closing_seconds: f64,
    /// Whether the store was on a small disk, which was filled.
    pub small_disk: bool,
    /// When the server writes tickets to disk.
    pub tickets: &'static str,
    /// Acknowledged pieces of work, by kind.
    pub acknowledged: BTreeMap<&'static str, usize>,
    /// Faults, by kind.
    pub faults: BTreeMap<&'static str, usize>,
    /// Operations, by kind.
    pub operations: BTreeMap<String, usize>,
    /// Pauses, kills, cancels and changes of the limit, by kind.
    pub controls: BTreeMap<&'static str, usize>,
    /// What the checker saw.
    pub counts: Counts,
    /// The patterns that never happened in this run.
    pub never: Vec<&'static str>,
    /// The violations.
    pub violations: Vec<Violation>,
    /// The first violating history.
    #[serde(skip)]
    pub told: Option<String>,
    /// Acknowledged messages that are back in a queue after the disk was full, and that nobody gets.
    pub leftovers: u64,
    /// What kept the run from finishing, such as work that did not close.
    pub unfinished: Option<String>,
    /// The folder with the evidence.
    pub evidence: PathBuf,
}

impl Summary {
    /// Whether every invariant held, to the end.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.violations.is_empty() && self.unfinished.is_none()
    }
}

/// Runs a plan in a folder.
///
/// # Errors
/// When the runner itself fails. Failures of the mesh are in the summary.
pub async fn run(plan: &Plan, dir: &Path) -> Result<Summary> {
    let started = Instant::now();
    let journal = Arc::new(Journal::create(&dir.join("journal.jsonl"))?);
    std::fs::write(dir.join("effects.jsonl"), "")?;
    let (stage, cast) = begin(dir, plan.cast(), &journal).await?;
    let target = Target {
        replicas: Some(stage.replicas()),
        tickets: cast.tickets,
        patience: Duration::from_secs(30),
        signing: stage.setting.signing("operator"),
        ..Target::at(stage.urls())
    };
    if cast.signed {
        let text = serde_json::to_string(&trust()).context("the trusted keys")?;
        std::fs::write(dir.join("trust.json"), text)?;
    }
    let (mesh, operator) = (
        target.connect().await?,
        Operator {
            mesh: target.connect().await?,
        },
    );
    let _routes = follow(&mesh).await?;
    let versions = VERSIONS.map(|(version, _)| version);
    until_ready(&mesh, &AGENTS, &versions).await?;

    until_ready(&mesh, &LISTENERS, &["1.0.0"]).await?;
    subscribe(&operator.mesh).await?;

    let load = Load::mixed(mesh, Arc::clone(&journal));
    let disturber = Disturber::new(Arc::clone(&stage), Arc::clone(&journal));
    let planned = schedule(plan.seed, plan.length, cast);
    let controls = Controls::new(target.connect().await?, Arc::clone(&journal));
    let (loaded, faults, done, controlled) = tokio::join!(
        load.run(plan.seed, plan.rate, plan.length),
        disturber.run(planned),
        operator.run(operations(plan.seed, plan.length), &journal),
        controls.run(acts(plan.seed, plan.length)),
    );
    loaded?;
    let (faults, done, controlled) = (faults?, done?, controlled?);
    let closing = Instant::now();
    let mut unfinished = None;
    if let Err(error) = until_closed(&stage, &operator, CLOSING).await {
        unfinished = Some(format!("{error:#}"));
    }
    let closing_seconds = closing.elapsed().as_secs_f64();
    if unfinished.is_none() {
        order(&stage, &disturber, &load, &journal, plan.seed)
            .await
            .context("the order of priorities")?;
    }
    let leftovers = leftovers(&stage).await?;
    // Otherwise an intent could move from the ledger to the archive between reading the two.
    stage.stop_all().await;
    dump(&stage.client, &dir.join("dump.jsonl")).await?;
    journal.flush()?;
    let verdict = judge(dir).await?;
    Ok(Summary {
        seed: plan.seed,
        servers: plan.servers,
        seconds: started.elapsed().as_secs_f64(),
        closing_seconds,
        small_disk: cast.small_disk,
        tickets: cast.tickets.name(),
        acknowledged: load.acked(),
        faults,
        operations: done,
        controls: controlled,
        never: verdict.counts.never(),
        counts: verdict.counts,
        violations: verdict.violations,
        told: verdict.told,
        leftovers,
        unfinished,
        evidence: dir.to_owned(),
    })
}

/// Has an agent get the messages of a channel that it does not declare.
async fn subscribe(mesh: &Mesh) -> Result<()> {
    let (channel, agent) = SUBSCRIBED;
    let act = ChannelAct {
        channel: channel.parse()?,
        agent: agent.parse()?,
        by: "fault-runner".to_owned(),
        reason: None,
    };
    mesh.ask_controller_within(Duration::from_secs(30), &SubscribeAgent(act))
        .await?;
    Ok(())
}

/// What the checker verifies by: the keys of a stage, and that everything is signed.
fn trust() -> Trust {
    let grant = |name: &str, role: &str, agent: Option<&str>| Grant {
        key: Keys::secret(name).public().to_string(),
        role: role.to_owned(),
        agent: agent.map(str::to_owned),
        ..Grant::default()
    };
    let people = ["controller", "operator"].map(|name| grant(name, name, None));
    let agents = signers().into_iter().map(|agent| grant(agent, "worker", Some(agent)));
    Trust {
        signatures: "require".to_owned(),
        since: 0,
        grants: people.into_iter().chain(agents).collect(),
    }
}

/// Starts everything; without a small disk if this machine has none to give.
async fn begin(dir: &Path, mut cast: Cast, journal: &Journal) -> Result<(Arc<Stage>, Cast)> {
    let stage = match Stage::start(dir, cast).await {
        Ok(stage) => stage,
        Err(error) if cast.small_disk => {
            journal.note(format!("no small disk, and so none is filled: {error:#}"))?;
            cast.small_disk = false;
            Stage::start(dir, cast).await?
        }
        Err(error) => return Err(error),
    };
    Ok((Arc::new(stage), cast))
}

/// Lets the checker read the evidence in a folder.
pub(crate) async fn judge(dir: &Path) -> Result<Verdict> {
    let folder = dir.to_owned();
    let judged = tokio::task::spawn_blocking(move || {
        let evidence = Evidence::read(&folder)?;
        anyhow::Ok(baton_checker::check(&evidence))
    });
    judged.await.context("the checker")?
}

/// Makes the load resolve versions as a client does that follows the routes; a server that has just started may need a
/// while.
pub(crate) async fn follow(mesh: &baton_jetstream::Mesh) -> Result<baton_jetstream::RouteFollower> {
    let until = Instant::now() + Duration::from_secs(90);
    loop {
        let followed = async {
            mesh.ensure_topology(mesh.limits()).await?;
            mesh.follow_routes().await
        };
        match followed.await {
            Ok(follower) => return Ok(follower),
            Err(error) if Instant::now() > until => return Err(error.into()),
            Err(_) => tokio::time::sleep(Duration::from_millis(200)).await,
        }
    }
}
