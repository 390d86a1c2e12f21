//! What somebody stops, limits and cancels during a run: agents are paused, killed and resumed, open intents are paused,
//! resumed and cancelled, and the limit of one agent is changed again and again.

mod acts;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use baton_checker::Journal as Line;
use baton_envelope::control::{
    AgentAct, CancelIntent, KillAgent, PauseAgent, PauseIntent, Question, ResumeAgent, ResumeIntent, SetLimits,
    UndoIntent,
};
use baton_envelope::{AgentName, AgentVersion, IntentId, Status, codes};
use baton_jetstream::{ControllerMesh, Filter, Head, Mesh};
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_util::task::TaskTracker;

pub use self::acts::{Act, acts, limited};
use crate::journal::{Journal, now_ms};
use crate::work::{AGENTS, kind};

/// The author of every act.
const BY: &str = "fault-runner";
/// How long an answer may take; a controller that was killed gives none.
const ANSWER: Duration = Duration::from_secs(10);
/// How long the shares of a limit may take before nobody looks any more.
const SHARED: Duration = Duration::from_secs(12);
const LOOK: Duration = Duration::from_millis(50);
/// Among how many of the newest open intents to choose.
const NEWEST: usize = 40;

/// Who does that.
#[derive(Debug)]
pub struct Controls {
    mesh: Mesh,
    journal: Arc<Journal>,
    /// How often the limit of an agent was changed: what looks for the shares of an older one stops.
    limits: Arc<Mutex<BTreeMap<&'static str, u64>>>,
}

impl Controls {
    /// Somebody on this connection.
    #[must_use]
    pub fn new(mesh: Mesh, journal: Arc<Journal>) -> Self {
        Self {
            mesh,
            journal,
            limits: Arc::default(),
        }
    }

    /// Does each at its time, and then lets everything go on. What is refused or not answered is noted. Returns the number
    /// of each.
    ///
    /// # Errors
    /// When the journal cannot be written.
    pub async fn run(&self, acts: Vec<(Duration, Act)>) -> Result<BTreeMap<&'static str, usize>> {
        let started = Instant::now();
        let tracker = TaskTracker::new();
        let mut counts: BTreeMap<&'static str, usize> = BTreeMap::new();
        for (at, act) in acts {
            sleep_until(started + at).await;
            match Box::pin(self.one(&act, &tracker)).await {
                Ok(()) => {
                    self.journal.note(format!("done: {act:?}"))?;
                    *counts.entry(act.name()).or_default() += 1;
                }
                Err(error) => {
                    self.journal.note(format!("not done: {act:?}: {error:#}"))?;
                    *counts.entry("not done").or_default() += 1;
                }
            }
        }
        // From here on no limit counts.
        for agent in AGENTS {
            self.changes(agent, 0).await?;
        }
        tracker.close();
        tracker.wait().await;
        Ok(counts)
    }

    async fn one(&self, act: &Act, tracker: &TaskTracker) -> Result<()> {
        match act {
            Act::Pause(agent, version) => {
                self.ask(&PauseAgent(agent_act(agent, *version)?)).await?;
            }
            Act::Kill(agent, version) => {
                let killed = self.ask(&KillAgent(agent_act(agent, *version)?)).await?;
                let of = version.unwrap_or("all versions");
                self.journal
                    .note(format!("{agent} {of}: {} hops were fenced", killed.fenced))?;
            }
            Act::Resume(agent, version) => {
                self.ask(&ResumeAgent(agent_act(agent, *version)?)).await?;
            }
            Act::PauseIntent(pick) => {
                let (intent, by) = (self.open(*pick).await?, BY.to_owned());
                let reason = "the runner wants that".to_owned();
                let question = PauseIntent { intent, reason, by };
                self.ask(&question).await?;
            }
            Act::ResumeIntents => {
                resume_intents(&self.mesh).await?;
            }
            Act::CancelIntent(pick) => {
                let (intent, by) = (self.open(*pick).await?, BY.to_owned());
                let reason = "the runner wants that".to_owned();
                let of = intent.to_string();
                self.cancels(&of, &CancelIntent { intent, reason, by }).await?;
            }
            Act::UndoIntent(pick) => {
                let (intent, by) = (self.open_saga(*pick).await?, BY.to_owned());
                let reason = "the runner wants that".to_owned();
                let of = intent.to_string();
                self.cancels(&of, &UndoIntent { intent, reason, by }).await?;
            }
            Act::Limit(agent, in_flight) => self.limit(agent, *in_flight, tracker).await?,
        }
        Ok(())
    }

    /// Sets a limit, and notes when it holds, unless it is changed again before.
    async fn limit(&self, agent: &'static str, in_flight: u32, tracker: &TaskTracker) -> Result<()> {
        let change = self.changes(agent, in_flight).await?;
        let name: AgentName = agent.parse()?;
        let (mesh, journal, limits) = (self.mesh.clone(), Arc::clone(&self.journal), Arc::clone(&self.limits));
        // Policy: without the line the limit is not judged.
        tracker.spawn(async move {
            let until = Instant::now() + SHARED;
            while Instant::now() < until {
                sleep(LOOK).await;
                if !is_shared(&mesh, &name, in_flight).await.unwrap_or(false) {
                    continue;
                }
                let limits = limits.lock().await;
                if limits.get(agent) == Some(&change)
                    && let Err(error) = journal.write(&limit_line(agent, in_flight, true))
                {
                    tracing::error!(%error, "a limit is not noted");
                }
                return;
            }
        });
        let question = SetLimits {
            agent: agent.parse()?,
            in_flight: Some(in_flight),
            rate_per_hour: None,
            per_key: None,
            key_rate_per_hour: None,
            fair: None,
            by: BY.to_owned(),
            reason: None,
        };
        self.ask(&question).await.map(drop)
    }

    /// Notes that the limit of an agent is being changed, and gives the number of that change.
    async fn changes(&self, agent: &'static str, in_flight: u32) -> Result<u64> {
        let mut limits = self.limits.lock().await;
        let change = limits.entry(agent).or_default();
        *change += 1;
        self.journal.write(&limit_line(agent, in_flight, false))?;
        Ok(*change)
    }

    /// Asks for the end of an intent, and notes that before and after.
    async fn cancels<Q: Question>(&self, intent: &str, question: &Q) -> Result<()> {
        let line = |done| Line::Cancel {
            intent: intent.to_owned(),
            done,
        };
        self.journal.write(&line(false))?;
        self.ask(question).await?;
        self.journal.write(&line(true))
    }

    /// One of the newest open intents that have booked something, or will.
    async fn open_saga(&self, pick: usize) -> Result<IntentId> {
        let of_kind = |head: &Head| head.record.snapshot.kind.as_deref() == Some(kind::SAGA);
        self.one_of(pick, 0, of_kind).await
    }

    /// One of the newest open intents.
    async fn open(&self, pick: usize) -> Result<IntentId> {
        self.one_of(pick, NEWEST, |_| true).await
    }

    async fn one_of(&self, pick: usize, limit: usize, which: impl Fn(&Head) -> bool) -> Result<IntentId> {
        let filter = Filter {
            statuses: ["pending", "accepted", "in_progress", "waiting"]
                .map(str::to_owned)
                .to_vec(),
            limit,
            ..Filter::default()
        };
        let heads: Vec<Head> = self.mesh.list(&filter).await?.heads.into_iter().filter(which).collect();
        let index = pick.checked_rem(heads.len()).context("nothing is open")?;
        let head = heads.into_iter().nth(index).context("nothing is open")?;
        Ok(head.record.intent)
    }

    async fn ask<Q: Question>(&self, question: &Q) -> Result<Q::Answer> {
        ask(&self.mesh, question).await
    }
}

/// Lets every agent go on that somebody has paused, without a limit, and says how many there were.
///
/// # Errors
/// When the routes cannot be read.
pub async fn let_go(mesh: &Mesh) -> Result<usize> {
    let mut held = 0;
    for agent in AGENTS {
        let name: AgentName = agent.parse()?;
        let Some((route, _)) = mesh.route(&name).await? else {
            continue;
        };
        let paused = route.versions.iter().filter(|(_, entry)| entry.paused.is_some());
        let paused = paused.map(|(version, _)| Some(version.clone()));
        let whole = route.paused.is_some().then_some(None);
        for version in paused.chain(whole) {
            held += 1;
            let question = ResumeAgent(AgentAct {
                agent: name.clone(),
                version,
                by: BY.to_owned(),
                reason: None,
            });
            noted(ask(mesh, &question).await.map(drop));
        }
        if route.limits.as_ref().is_some_and(|limits| !limits.is_none()) {
            held += 1;
            let question = SetLimits {
                agent: name.clone(),
                in_flight: Some(0),
                rate_per_hour: None,
                per_key: None,
                key_rate_per_hour: None,
                fair: None,
                by: BY.to_owned(),
                reason: None,
            };
            noted(ask(mesh, &question).await.map(drop));
        }
    }
    Ok(held)
}

/// Lets every paused intent go on, and says how many there were.
///
/// # Errors
/// When they cannot be listed.
pub async fn resume_intents(mesh: &Mesh) -> Result<usize> {
    let parked = Filter {
        statuses: vec!["parked".to_owned()],
        ..Filter::default()
    };
    let mut paused = 0;
    for head in mesh.list(&parked).await?.heads {
        if !is_paused(&head.record.snapshot.status) {
            continue;
        }
        paused += 1;
        let (intent, by) = (head.record.intent, BY.to_owned());
        let reason = None;
        noted(ask(mesh, &ResumeIntent { intent, reason, by }).await.map(drop));
    }
    Ok(paused)
}

/// Whether somebody has paused it.
pub(crate) fn is_paused(status: &Status) -> bool {
    matches!(status, Status::Parked { code } if code == codes::PAUSED)
}

/// The route has this limit, and the shares of all workers are within it.
async fn is_shared(mesh: &Mesh, agent: &AgentName, in_flight: u32) -> Result<bool> {
    let Some((route, _)) = mesh.route(agent).await? else {
        return Ok(false);
    };
    if route.limits.and_then(|limits| limits.in_flight) != Some(in_flight) {
        return Ok(false);
    }
    let bounds = ControllerMesh::of(mesh).shares(agent).await?.bounds;
    let sum: u64 = bounds.values().map(|bound| bound.in_flight).sum();
    Ok(!bounds.is_empty() && sum <= u64::from(in_flight))
}

async fn ask<Q: Question>(mesh: &Mesh, question: &Q) -> Result<Q::Answer> {
    let asked = timeout(ANSWER, mesh.ask_controller_within(ANSWER, question)).await;
    Ok(asked.context("no answer")??)
}

/// What fails now is tried again by whoever heals the run.
fn noted(done: Result<()>) {
    if let Err(error) = done {
        tracing::info!(error = format!("{error:#}"), "not done yet");
    }
}

fn agent_act(agent: &str, version: Option<&str>) -> Result<AgentAct> {
    let version: Option<AgentVersion> = version.map(str::parse).transpose()?;
    Ok(AgentAct {
        agent: agent.parse()?,
        version,
        by: BY.to_owned(),
        reason: Some("the runner wants that".to_owned()),
    })
}

fn limit_line(agent: &str, in_flight: u32, holds: bool) -> Line {
    Line::Limit {
        agent: agent.to_owned(),
        in_flight: u64::from(in_flight),
        holds,
        at_ms: now_ms(),
    }
}
