//! Power cuts: kills the server under load, cuts its store back to what had reached the disk, and goes on.
//!
//! Losses are counted, not guessed: a separate server reads the store as written, another as it is after the cut, and
//! proxies have recorded every acknowledgement that the server sent.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use baton_checker::{Counts, Message, Violation};
use baton_jetstream::{Target, TicketPersistence};
use baton_testkit::{PowerDisk, StoreCopy, TestServer, nats_server};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use serde::Serialize;
use tokio::time::{Instant, sleep};

use crate::finish::{dump, read_all, until_closed, until_ready};
use crate::journal::{Journal, now_ms};
use crate::load::Load;
use crate::loss::{Loss, Sequences, compare};
use crate::operations::Operator;
use crate::run::{follow, judge};
use crate::stage::{Disk, Servers, Setting, Stage, VERSIONS};
use crate::work::AGENTS;

/// Size of the disk, in megabytes.
const DISK_MB: u32 = 2_048;
/// How long the load of a round lasts. Shorter than the 30 s after which a kernel writes back what nobody synced.
const ROUND: Duration = Duration::from_secs(8);
/// When in a round the power is cut, in milliseconds.
const CUT_MS: std::ops::Range<u64> = 3_000..6_000;
/// How many hops a worker runs at once: enough for group commits.
const SLOTS: u32 = 128;
/// Short, so that intents move to the archive while the power is cut.
const GRACE: &str = "3s";

/// How long all work may take to end. With a sync for each write the disk sets the pace, and a busy one does 100
/// records a second.
const CLOSING: Duration = Duration::from_secs(300);

/// What to run.
#[derive(Debug, Clone)]
pub struct PowerPlan {
    /// The seed: when the power is cut, and what the load is.
    pub seed: u64,
    /// How many cuts.
    pub rounds: u64,
    /// The server's `sync_interval`: `always`, or a number of seconds or milliseconds.
    pub sync: String,
    /// Intents each second.
    pub rate: f64,
    /// Whether the first cut hits newly created streams. A server that does not sync always does not sync what it
    /// writes when it creates a stream or a consumer either: that reaches the disk when the kernel writes it back,
    /// within half a minute.
    pub fresh: bool,
    /// When the server writes tickets to disk. With `async` they may be lost, whatever `sync` is.
    pub tickets: TicketPersistence,
}

/// One cut.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Cut {
    /// Whether workers and controllers lost power too. Otherwise they live on, as on other machines.
    pub everything: bool,
    /// Acknowledgements since the last cut, by stream.
    pub acknowledged: BTreeMap<String, usize>,
    /// Atomic batches among these, and the messages in them.
    pub batches: (usize, u64),
    /// What the cut took.
    pub loss: Loss,
    /// Acknowledged pieces of work with nothing left.
    pub intents_lost: usize,
    /// How long before the cut the first of these was acknowledged, in milliseconds.
    pub intents_lost_ms: i64,
    /// How long the server took to come up again on what was left, in milliseconds.
    pub up_ms: u128,
}

/// The result of a run.
#[derive(Debug, Serialize)]
pub struct PowerSummary {
    /// The seed.
    pub seed: u64,
    /// The server's `sync_interval`.
    pub sync: String,
    /// When the server wrote tickets to disk.
    pub tickets: &'static str,
    /// The cuts.
    pub cuts: Vec<Cut>,
    /// What the checker saw at the end.
    pub counts: Counts,
    /// Violations of intents from which no cut took anything; with `always`, all violations.
    pub violations: Vec<Violation>,
    /// Violations of intents from which a cut took something acknowledged, counted by invariant.
    pub consequences: BTreeMap<&'static str, usize>,
    /// Examples of these violations.
    pub examples: Vec<Violation>,
    /// The first violating history.
    #[serde(skip)]
    pub told: Option<String>,
    /// What kept the run from finishing.
    pub unfinished: Option<String>,
    /// The folder with the evidence.
    pub evidence: PathBuf,
}

impl PowerSummary {
    /// Whether the promise was kept: with `always`, nothing acknowledged is gone and every invariant holds; otherwise
    /// every invariant holds for all intents from which nothing was taken.
    #[must_use]
    pub fn holds(&self) -> bool {
        let may_go = |stream: &String| self.tickets == "async" && stream.contains("_WORK_");
        let kept = |cut: &Cut| {
            let mut lost = cut.loss.lost_acknowledged.keys();
            self.sync != "always" || (lost.all(may_go) && cut.intents_lost == 0)
        };
        self.violations.is_empty() && self.unfinished.is_none() && self.cuts.iter().all(kept)
    }
}

/// A disk whose power can be cut.
///
/// # Errors
/// When the platform refuses; the text says why.
pub async fn disk() -> Result<PowerDisk> {
    let disk = PowerDisk::new(&nats_server().await, DISK_MB).await;
    disk.context("a disk whose power can be cut (root, a loop device, mkfs.ext4, unshare, nsenter)")
}

/// Runs a plan in a folder, with the server on this disk.
///
/// # Errors
/// When the runner itself fails. Failures of the mesh are in the summary.
pub async fn run(plan: &PowerPlan, disk: PowerDisk, dir: &Path) -> Result<PowerSummary> {
    let journal = Arc::new(Journal::create(&dir.join("journal.jsonl"))?);
    std::fs::write(dir.join("effects.jsonl"), "")?;
    let server = TestServer::builder()
        .binary(disk.binary())
        .sync_interval(&plan.sync)
        .start()
        .await;
    let setting = Setting {
        slots: SLOTS,
        grace: Some(GRACE),
        listens: true,
        tickets: plan.tickets,
        keys: None,
        listeners: false,
    };
    let stage = Stage::on(dir, Servers::Single(server), Some(Disk::Power(disk)), setting).await?;
    let target = Target {
        patience: Duration::from_secs(30),
        tickets: plan.tickets,
        ..Target::at(stage.urls())
    };
    let (mesh, operator) = (
        target.connect().await?,
        Operator {
            mesh: target.connect().await?,
        },
    );
    let _routes = follow(&mesh).await?;
    until_ready(&mesh, &AGENTS, &VERSIONS.map(|(version, _)| version)).await?;
    if let (Some(Disk::Power(disk)), false) = (&stage.disk, plan.fresh) {
        disk.settle().await.context("bringing new streams to the disk")?;
    }

    let load = Load::new(mesh, Arc::clone(&journal));
    let random = &mut StdRng::seed_from_u64(plan.seed);
    let (mut cuts, mut acknowledged) = (Vec::new(), Sequences::new());
    for round in 0..plan.rounds {
        let after = Duration::from_millis(random.random_range(CUT_MS));
        journal.note(format!("round {round}: the power is cut after {after:?}"))?;
        let everything = round % 2 == 1;
        let (loaded, cut) = tokio::join!(load.run(plan.seed * 1_000 + round, plan.rate, ROUND), async {
            sleep(after).await;
            Box::pin(one(&stage, &load, everything, &mut acknowledged)).await
        },);
        loaded?;
        let cut = cut.with_context(|| format!("cut {round}"))?;
        journal.note(format!("cut {round}: {cut:?}"))?;
        cuts.push(cut);
    }
    let mut unfinished = None;
    if let Err(error) = until_closed(&stage, &operator, CLOSING).await {
        unfinished = Some(format!("{error:#}"));
    }
    // Stop before reading: intents go on moving from the ledger to the archive.
    stage.stop_all().await;
    dump(&stage.client, &dir.join("dump.jsonl")).await?;
    journal.flush()?;
    let verdict = judge(dir).await?;
    let touched = |violation: &Violation| {
        let named = violation.intent.as_deref().or_else(|| violation.what.split(' ').next());
        plan.sync != "always" && named.is_some_and(|name| cuts.iter().any(|cut| cut.loss.touched.contains(name)))
    };
    let (examples, violations): (Vec<_>, Vec<_>) = verdict.violations.into_iter().partition(touched);
    let mut consequences = BTreeMap::new();
    for violation in &examples {
        *consequences.entry(violation.invariant).or_default() += 1;
    }
    Ok(PowerSummary {
        seed: plan.seed,
        sync: plan.sync.clone(),
        tickets: plan.tickets.name(),
        cuts,
        counts: verdict.counts,
        violations,
        consequences,
        examples,
        told: verdict.told,
        unfinished,
        evidence: dir.to_owned(),
    })
}

/// Cuts the power once and starts everything again.
async fn one(stage: &Stage, load: &Load, everything: bool, acknowledged: &mut Sequences) -> Result<Cut> {
    let Some(Disk::Power(disk)) = &stage.disk else {
        anyhow::bail!("the power of this disk cannot be cut");
    };
    let server = stage.servers.get(0);
    server.kill().await;
    let end_ms = now_ms();
    if everything {
        stage.stop_all().await;
    }
    // The state that a crash of the server alone would leave. Only the kernel still writes: it may write back a little
    // of what nobody synced, as it may before any power cut.
    let written = disk.copy().await.context("the store as it was written")?;
    disk.cut().await.context("cutting the power")?;
    let left = disk.copy().await.context("the store as it was left")?;
    // The load heard everything it heard before this point.
    let times = load.times();
    let heard = stage.acks.take();
    let up = Instant::now();
    server.restart().await;
    let up_ms = up.elapsed().as_millis();
    stage.heal().await?;
    let (before, after) = (read(&written).await?, read(&left).await?);
    let mut cut = Cut {
        everything,
        batches: (heard.batches, heard.batched),
        up_ms,
        ..Cut::default()
    };
    for (stream, sequences) in heard.sequences {
        *cut.acknowledged.entry(stream.clone()).or_default() += sequences.len();
        acknowledged.entry(stream).or_default().extend(sequences);
    }
    cut.loss = compare(&before, &after, acknowledged, end_ms);
    let lost = cut
        .loss
        .gone
        .iter()
        .filter_map(|key| times.get(key))
        .collect::<Vec<_>>();
    cut.intents_lost = lost.len();
    cut.intents_lost_ms = lost.iter().map(|at| end_ms - **at).max().unwrap_or(0);
    Ok(cut)
}

/// The contents of a copy of the store, as a server reads it.
async fn read(store: &StoreCopy) -> Result<Vec<Message>> {
    let server = TestServer::builder().binary(store.binary()).start().await;
    read_all(&server.client().await).await
}
