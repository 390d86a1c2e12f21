//! Hostile load: many handoffs at once, a long queue for a dead agent, a slow agent beside a fast one, large payloads,
//! a publisher that never pauses against a full stream. Nothing may be lost, others may not be starved, and memory must
//! stay bounded. It runs real processes, and the checker judges at the end.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use baton_checker::{Counts, Evidence, Tried, Violation};
use baton_envelope::Author;
use baton_envelope::{Envelope, Json, Role};
use baton_jetstream::{Error, Mesh, Target, WaitEnd};
use baton_testkit::{TestServer, limit_stream, stream_size};
use futures::{StreamExt as _, TryStreamExt as _};
use serde::Serialize;
use tokio::time::Instant;

use crate::finish::{CLOSING, dump, until_closed, until_ready};
use crate::journal::Journal;
use crate::load::Load;
use crate::operations::Operator;
use crate::run::follow;
use crate::stage::{Servers, Setting, Stage, VERSIONS};
use crate::work::{AGENTS, End, More, Piece, Turn, Via, Work, kind};

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(120);
/// How many submits or waits are in flight at once, unless all are.
const AT_ONCE: usize = 128;
/// The payload of the large ones, in bytes. The server's limit is 1 MiB, and a record has its envelope around it.
const LARGE: usize = 1_000_000;
/// How many more messages the full intake accepts.
const ROOM: i64 = 20;
/// The peak memory that a worker or controller process may use, in kilobytes. Sixteen hops of 1 MB, each held as bytes,
/// as parsed payload and as the record being written, stay below 64 MB. The rest allows for an allocator that returns
/// nothing and for an unoptimised build.
const PROCESS_KB: u64 = 256 * 1024;
/// The same for the server. It caches blocks that were written to for about 10 s, and its runtime lets the heap double
/// before it collects. Here about 60 MB are written each second: each large payload is in a record, in its ticket and
/// in the result. That is 1.2 GB; the bound is about twice that. Memory follows the rate, not how much is stored.
const SERVER_KB: u64 = 2_560 * 1024;
/// How much slower the fast agent may be beside a slow one. Ten times the noise of a busy machine, far below the cost
/// of waiting for the slow one.
const SLOWER: f64 = 3.0;

/// How much of each load to run.
#[derive(Debug, Clone, Copy)]
pub struct Scale {
    /// Relays of three hops submitted at once; a tenth of them goes first.
    pub at_once: usize,
    /// Intents for the dead agent.
    pub dead: usize,
    /// Intents for the fast agent, alone and beside others.
    pub fast: usize,
    /// Intents with large payloads.
    pub large: usize,
    /// Messages sent against the full intake.
    pub flood: usize,
}

impl Scale {
    /// The scale behind the documentation's figures.
    pub const FULL: Self = Self {
        at_once: 1_000,
        dead: 10_000,
        fast: 1_000,
        large: 300,
        flood: 20_000,
    };
    /// For a test of a few seconds.
    pub const SMALL: Self = Self {
        at_once: 1_000,
        dead: 1_500,
        fast: 200,
        large: 40,
        flood: 2_000,
    };
}

/// The result of a run.
#[derive(Debug, Serialize)]
pub struct HostileSummary {
    /// What was measured, in seconds or as counts, by name.
    pub figures: BTreeMap<String, f64>,
    /// Peak memory of each process, in kilobytes.
    pub peak_kb: BTreeMap<String, u64>,
    /// What the checker saw.
    pub counts: Counts,
    /// The violations.
    pub violations: Vec<Violation>,
    /// Figures beyond their bounds, as text.
    pub beyond: Vec<String>,
    /// The first violating history.
    #[serde(skip)]
    pub told: Option<String>,
    /// The folder with the evidence.
    pub evidence: PathBuf,
}

impl HostileSummary {
    /// Whether nothing was lost, nothing starved and memory stayed bounded.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.violations.is_empty() && self.beyond.is_empty()
    }
}

struct Hostile {
    stage: Stage,
    mesh: Mesh,
    load: Load,
    figures: BTreeMap<String, f64>,
    beyond: Vec<String>,
}

/// Runs all loads in a folder.
///
/// # Errors
/// When something does not end.
pub async fn run(scale: Scale, dir: &Path) -> Result<HostileSummary> {
    let journal = Arc::new(Journal::create(&dir.join("journal.jsonl"))?);
    std::fs::write(dir.join("effects.jsonl"), "")?;
    let server = TestServer::start().await;
    let stage = Stage::on(dir, Servers::Single(server), None, Setting::default()).await?;
    let target = Target {
        patience: Duration::from_secs(30),
        ..Target::at(stage.urls())
    };
    let mesh = target.connect().await?;
    let _routes = follow(&mesh).await?;
    until_ready(&mesh, &AGENTS, &VERSIONS.map(|(version, _)| version)).await?;
    let mut hostile = Hostile {
        load: Load::new(mesh.clone(), Arc::clone(&journal)),
        stage,
        mesh: mesh.clone(),
        figures: BTreeMap::new(),
        beyond: Vec::new(),
    };
    for count in [scale.at_once / 10, scale.at_once] {
        hostile.at_once(count).await.context("handoffs at once")?;
    }
    hostile.slow_beside_fast(scale.fast).await.context("a slow agent")?;
    hostile.dead(scale).await.context("a dead agent")?;
    hostile.large(scale.large).await.context("large payloads")?;
    hostile.flood(scale).await.context("a full stream")?;
    let peak_kb = hostile.peaks().await?;
    let Hostile {
        stage,
        figures,
        mut beyond,
        ..
    } = hostile;
    until_closed(&stage, &Operator { mesh }, CLOSING).await?;
    // Otherwise an intent could move from the ledger to the archive between reading the two.
    stage.stop_all().await;
    dump(&stage.client, &dir.join("dump.jsonl")).await?;
    journal.flush()?;
    for (name, peak) in &peak_kb {
        let bound = if name == "server" { SERVER_KB } else { PROCESS_KB };
        if *peak > bound {
            beyond.push(format!("{name} took {peak} KB, more than {bound}"));
        }
    }
    let folder = dir.to_owned();
    let judged = tokio::task::spawn_blocking(move || {
        let evidence = Evidence::read(&folder)?;
        anyhow::Ok(baton_checker::check(&evidence))
    });
    let verdict = judged.await.context("the checker")??;
    Ok(HostileSummary {
        figures,
        peak_kb,
        counts: verdict.counts,
        violations: verdict.violations,
        beyond,
        told: verdict.told,
        evidence: dir.to_owned(),
    })
}

impl Hostile {
    async fn at_once(&mut self, count: usize) -> Result<()> {
        let relay = |number| {
            let hand = |to: &str| turn(0, End::HandOff(to.to_owned()));
            let turns = vec![hand("beta"), hand("gamma"), turn(0, End::Complete)];
            piece(format!("at-once-{count}-{number}"), "alpha", turns, Via::Record)
        };
        let started = Instant::now();
        let keys = self.submit((0..count).map(relay).collect(), count).await?;
        ensure!(keys.len() == count, "{} of {count} were acknowledged", keys.len());
        self.until_completed(&keys).await?;
        self.figure(format!("{count} relays of three hops at once, s"), started.elapsed());
        Ok(())
    }

    /// How long this many intents of the fast agent take, from the first submit to the last end.
    async fn fast(&self, name: &str, count: usize) -> Result<Duration> {
        let one = |number| {
            piece(
                format!("{name}-{number}"),
                "alpha",
                vec![turn(0, End::Complete)],
                Via::Record,
            )
        };
        let started = Instant::now();
        let keys = self.submit((0..count).map(one).collect(), AT_ONCE).await?;
        self.until_completed(&keys).await?;
        Ok(started.elapsed())
    }

    async fn slow_beside_fast(&mut self, count: usize) -> Result<()> {
        let alone = self.fast("alone", count).await?;
        self.figure(format!("{count} of the fast agent alone, s"), alone);
        // More than all slots of the slow agent hold at once.
        let slow = |number| {
            let turns = vec![turn(1_000, End::Complete)];
            piece(format!("slow-{number}"), "beta", turns, Via::Record)
        };
        let slow = self.submit((0..200).map(slow).collect(), AT_ONCE).await?;
        let beside = self.fast("beside", count).await?;
        self.figure(format!("{count} of it beside a slow agent, s"), beside);
        self.bound("beside a slow agent", alone, beside);
        self.until_completed(&slow).await
    }

    async fn dead(&mut self, scale: Scale) -> Result<()> {
        let seats: Vec<_> = self
            .stage
            .workers
            .iter()
            .filter(|seat| seat.agent == "gamma")
            .cloned()
            .collect();
        for seat in &seats {
            if let Some(mut process) = seat.member.lock().await.process.take() {
                process.kill();
            }
        }
        let alone = self.fast("before", scale.fast).await?;
        let one = |number| {
            piece(
                format!("dead-{number}"),
                "gamma",
                vec![turn(0, End::Complete)],
                Via::Record,
            )
        };
        let keys = self.submit((0..scale.dead).map(one).collect(), AT_ONCE).await?;
        ensure!(
            keys.len() == scale.dead,
            "{} of {} were acknowledged",
            keys.len(),
            scale.dead
        );
        let beside = self.fast("while-dead", scale.fast).await?;
        self.figure(
            format!(
                "{} of the fast agent while {} wait for a dead one, s",
                scale.fast, scale.dead
            ),
            beside,
        );
        self.bound("beside a long queue", alone, beside);
        let queued = stream_size(&self.stage.client, "MESH_WORK_gamma")
            .await
            .map_err(anyhow::Error::msg)?;
        ensure!(
            usize::try_from(queued)? >= scale.dead,
            "only {queued} are queued for the dead agent"
        );
        let started = Instant::now();
        self.stage.heal().await?;
        self.until_completed(&keys).await?;
        self.figure(
            format!("{} completed once the dead agent is back, s", scale.dead),
            started.elapsed(),
        );
        Ok(())
    }

    async fn large(&mut self, count: usize) -> Result<()> {
        let padded = |number, size| {
            let mut piece = piece(
                format!("large-{number}"),
                "alpha",
                vec![turn(0, End::Complete)],
                Via::Record,
            );
            piece.work.pad = "x".repeat(size);
            piece
        };
        let started = Instant::now();
        let keys = self
            .submit((0..count).map(|number| padded(number, LARGE)).collect(), 16)
            .await?;
        ensure!(keys.len() == count, "{} of {count} were acknowledged", keys.len());
        self.until_completed(&keys).await?;
        self.figure(format!("{count} payloads of {LARGE} bytes, s"), started.elapsed());
        let limit = self.stage.client.server_info().max_payload;
        let payload = Json::parse(&serde_json::to_string(&"x".repeat(limit))?)?;
        let id = self.mesh.clock().envelope_id();
        let envelope = Envelope::first(id, "too-large".parse()?, "alpha".parse()?, payload);
        match Box::pin(self.mesh.submit(envelope, Author::of(Role::Client, "load"))).await {
            // The rest of the limit is for headers (`docs/protocol.md`, section 3).
            Err(Error::TooLarge { limit: named, .. }) if limit - 1_024 <= named && named <= limit => Ok(()),
            other => anyhow::bail!("too large a payload must be refused with the limit {limit}, and not {other:?}"),
        }
    }

    async fn flood(&mut self, scale: Scale) -> Result<()> {
        let client = self.stage.client.clone();
        let limited = limit_stream(&client, "MESH_INTAKE", Some(ROOM)).await;
        ensure!(limited.map_err(anyhow::Error::msg)?, "there is no intake");
        let one = |number| {
            piece(
                format!("flood-{number}"),
                "beta",
                vec![turn(0, End::Complete)],
                Via::RawAlone,
            )
        };
        let pieces = (0..scale.flood).map(one).collect();
        let alone = self
            .figures
            .iter()
            .find(|(name, _)| name.ends_with("of the fast agent alone, s"));
        let alone = Duration::from_secs_f64(alone.map_or(1.0, |(_, seconds)| *seconds));
        let (acked, beside) = tokio::join!(self.submit(pieces, 256), self.fast("beside-flood", scale.fast));
        let (acked, beside) = (acked?.len(), beside?);
        limit_stream(&client, "MESH_INTAKE", None)
            .await
            .map_err(anyhow::Error::msg)?;
        self.figure(format!("{} of the fast agent beside a flood, s", scale.fast), beside);
        self.figures
            .insert(format!("taken of {} against a full intake", scale.flood), acked as f64);
        ensure!(
            0 < acked && acked < scale.flood,
            "{acked} of {} were taken: the intake was never full",
            scale.flood
        );
        // A flood takes this machine's processors too.
        self.bound("beside a flood", alone * 5, beside);
        Ok(())
    }

    /// Submits all, this many at once, and returns the keys of those that were acknowledged.
    async fn submit(&self, pieces: Vec<Piece>, at_once: usize) -> Result<Vec<String>> {
        let submits = pieces.into_iter().map(|piece| async move {
            let key = piece.tried.key.clone();
            anyhow::Ok(Box::pin(self.load.submit(piece)).await?.then_some(key))
        });
        let taken: Vec<_> = futures::stream::iter(submits)
            .buffer_unordered(at_once)
            .try_collect()
            .await?;
        Ok(taken.into_iter().flatten().collect())
    }

    async fn until_completed(&self, keys: &[String]) -> Result<()> {
        let waits = keys.iter().map(|key| async move {
            match self.mesh.wait(&key.parse()?, PATIENCE).await? {
                WaitEnd::Ended(_) => anyhow::Ok(()),
                other @ (WaitEnd::Parked(_) | WaitEnd::TimedOut(_)) => {
                    anyhow::bail!("{key} did not end within {PATIENCE:?}: {other:?}")
                }
            }
        });
        futures::stream::iter(waits)
            .buffer_unordered(AT_ONCE)
            .try_collect()
            .await
    }

    fn figure(&mut self, name: String, took: Duration) {
        self.figures.insert(name, took.as_secs_f64());
    }

    fn bound(&mut self, what: &str, alone: Duration, beside: Duration) {
        // Below half a second all is noise.
        let bound = alone.max(Duration::from_millis(500)).mul_f64(SLOWER);
        if beside > bound {
            self.beyond
                .push(format!("the fast agent took {beside:?} {what}, more than {bound:?}"));
        }
    }

    /// Peak memory of every running process.
    async fn peaks(&self) -> Result<BTreeMap<String, u64>> {
        let mut pids = BTreeMap::new();
        pids.insert(
            "server".to_owned(),
            self.stage.servers.get(0).pid().context("no server")?,
        );
        let workers = self.stage.workers.iter().map(|seat| &seat.member);
        for member in workers.chain(&self.stage.controllers) {
            let member = member.lock().await;
            if let Some(process) = &member.process {
                pids.insert(member.name.clone(), process.pid());
            }
        }
        pids.into_iter().map(|(name, pid)| Ok((name, peak(pid)?))).collect()
    }
}

/// The peak memory of a process, in kilobytes.
fn peak(pid: u32) -> Result<u64> {
    let path = format!("/proc/{pid}/status");
    let text = std::fs::read_to_string(&path).context(path)?;
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .context("no VmHWM")?;
    Ok(line.trim().trim_end_matches(" kB").parse()?)
}

fn turn(slow_ms: u64, end: End) -> Turn {
    Turn {
        slow_ms,
        end,
        ..Turn::default()
    }
}

fn piece(key: String, to: &str, turns: Vec<Turn>, via: Via) -> Piece {
    Piece {
        work: Work {
            key: key.clone(),
            turns,
            ..Work::default()
        },
        via,
        to: to.to_owned(),
        kind: kind::CHAIN,
        priority: 5,
        max_hops: 10,
        deadline: None,
        bad_header: false,
        later: None,
        signals: Vec::new(),
        tried: Tried {
            key: key.clone(),
            via: via.name().to_owned(),
            intent: via.has_id().then_some(key),
            expect: vec!["completed".to_owned()],
            priority: 5,
            ..Tried::default()
        },
        more: More::default(),
    }
}
