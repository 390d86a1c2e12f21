//! Runs the accidents in turn, some on one mesh after the other.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result};
use baton_jetstream::Target;
use baton_testkit::{ProcessGuard, TestServer};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::case::{Accident, Case, Takes, Thing, cases};
use super::doctor::{self, Finding, command_of};
use super::happen::happen;
use super::judge::{Judged, Taken, judge, key, signal};
use super::outcome::{Became, Outcome, Report};
use super::table::Place;
use crate::finish::{dump, read_messages, until_closed, until_ready};
use crate::journal::Journal;
use crate::load::Load;
use crate::operations::Operator;
use crate::run::follow;
use crate::stage::{Servers, Setting, Stage, VERSIONS};
use crate::work::{AGENTS, Via, kind, piece};

/// How long work goes on before an accident, and after the mesh is whole again.
const BEFORE: Duration = Duration::from_secs(2);
const AFTER: Duration = Duration::from_secs(1);
/// Within this time `baton doctor` names the thing, where the mesh does not heal by itself.
const TOLD: Duration = Duration::from_secs(10);
/// How long a finding has to stand before a person does something about it: a controller looks every three seconds.
const STANDS: Duration = Duration::from_secs(5);
/// Nothing counts as whole before this: what is wrong may take a moment to show.
const LEAST: Duration = Duration::from_secs(4);
/// How long until the mesh is whole again, by itself or by the command: two looks, a new leader, a sweep, and the ack wait.
const WHOLE: Duration = Duration::from_secs(60);
/// How long the work may take to end then.
const CLOSING: Duration = Duration::from_secs(60);
/// How long raw intents gather in the intake before it is taken away.
const GATHER: Duration = Duration::from_millis(500);
/// How long new work may take to be acknowledged where all is well.
const PROBE: Duration = Duration::from_secs(10);
/// The time between two looks.
const LOOK: Duration = Duration::from_millis(500);
/// The most commands that a person runs for one accident.
const COMMANDS: usize = 4;
/// How many accidents happen to one mesh.
const ON_ONE_MESH: usize = 10;
/// A number of a piece of work that no load of some minutes reaches.
const NEVER_REACHED: u64 = 1_000_000;
/// The seeds of the loads of two runs are this far apart.
const SEEDS: u64 = 10_000;

/// What to run.
#[derive(Debug, Clone)]
pub struct AccidentPlan {
    /// The seed of the loads.
    pub seed: u64,
    /// Only accidents whose text contains this.
    pub only: Option<String>,
    /// A few of them.
    pub short: bool,
    /// Intents each second.
    pub rate: f64,
    /// How many meshes run at the same time.
    pub jobs: usize,
}

/// A mesh of real processes, and what is needed around it.
struct Play {
    stage: Stage,
    load: Load,
    operator: Operator,
    journal: Arc<Journal>,
    dir: PathBuf,
    taken: Taken,
    /// Controllers that a command started.
    remedies: Vec<ProcessGuard>,
    _routes: baton_jetstream::RouteFollower,
}

/// The cases that are left; meshes take them in order.
type Left = Arc<Mutex<VecDeque<Case>>>;

/// Runs a plan in a folder, which gets a folder for each mesh; `tell` hears each outcome.
///
/// # Errors
/// When the runner itself fails.
pub async fn run(plan: &AccidentPlan, dir: &Path, tell: fn(&str)) -> Result<Report> {
    let first = Play::begin(&dir.join("mesh-0")).await?;
    let mut all = cases(&first.stage.client).await?;
    if plan.short {
        all.retain(is_in_short);
    }
    if let Some(only) = &plan.only {
        all.retain(|case| case.to_string().contains(only));
    }
    anyhow::ensure!(!all.is_empty(), "no accident is called so");
    tell(&format!("{} accidents, seed {}", all.len(), plan.seed));
    // Those after which little can be judged come last, each on a mesh of its own.
    all.sort_by_key(|case| case.takes() == Takes::Records);
    let left: Left = Arc::new(Mutex::new(all.into()));
    let (mut report, mut jobs, mut first) = (Report::empty(), Vec::new(), Some(first));
    for job in 0..plan.jobs.max(1) {
        let folder = move |mesh: usize| dir.join(format!("mesh-{job}-{mesh}"));
        jobs.push(in_turn(plan, Arc::clone(&left), first.take(), folder, tell));
    }
    for done in futures::future::join_all(jobs).await {
        let Report {
            outcomes,
            intents,
            at_large,
            told,
        } = done?;
        report.outcomes.extend(outcomes);
        report.intents += intents;
        report.at_large.extend(at_large);
        report.told = report.told.or(told);
    }
    report.outcomes.sort_by_key(|outcome| outcome.seeds);
    Ok(report)
}

/// One that heals by itself, one that takes a consumer away, and one that a command mends.
fn is_in_short(case: &Case) -> bool {
    [
        "KV_MESH_CONTROL removed",
        "MESH_WORK_alpha > 1_0_0_p4-7 removed",
        "MESH_INTAKE > router edited: another filter",
    ]
    .contains(&case.to_string().as_str())
}

/// Takes cases until none is left.
async fn in_turn(
    plan: &AccidentPlan,
    left: Left,
    mut first: Option<Play>,
    folder: impl Fn(usize) -> PathBuf,
    tell: fn(&str),
) -> Result<Report> {
    let (mut report, mut mesh) = (Report::empty(), 0);
    while let Some(mut case) = next(&left) {
        let mut play = match first.take() {
            Some(play) => play,
            None => Play::begin(&folder(mesh)).await?,
        };
        mesh += 1;
        let mut outcomes: Vec<Outcome> = Vec::new();
        loop {
            let outcome = Box::pin(play.one(plan, &case)).await?;
            tell(&outcome.to_string());
            // What is not whole again disturbs the next one.
            let is_over = !outcome.holds() || case.takes() == Takes::Records || outcomes.len() + 1 >= ON_ONE_MESH;
            outcomes.push(outcome);
            if is_over {
                break;
            }
            match next_on_the_same(&left) {
                Some(more) => case = more,
                None => break,
            }
        }
        let judged = play.end().await?;
        report.add(outcomes, judged, tell);
    }
    Ok(report)
}

fn next(left: &Left) -> Option<Case> {
    left.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
}

/// The next one, if it needs no mesh of its own.
fn next_on_the_same(left: &Left) -> Option<Case> {
    let mut left = left.lock().unwrap_or_else(PoisonError::into_inner);
    let is_for_all = left.front().is_some_and(|case| case.takes() != Takes::Records);
    if is_for_all { left.pop_front() } else { None }
}

impl Play {
    async fn begin(dir: &Path) -> Result<Self> {
        std::fs::create_dir_all(dir)?;
        let journal = Arc::new(Journal::create(&dir.join("journal.jsonl"))?);
        std::fs::write(dir.join("effects.jsonl"), "")?;
        let servers = Servers::Single(TestServer::start().await);
        // Soon, so that there are bundles that can be taken away.
        let setting = Setting {
            grace: Some("3s"),
            ..Setting::default()
        };
        let stage = Stage::on(dir, servers, None, setting).await?;
        let target = Target {
            patience: Duration::from_secs(30),
            ..Target::at(stage.urls())
        };
        let (mesh, mesh_of_operator) = (target.connect().await?, target.connect().await?);
        let operator = Operator { mesh: mesh_of_operator };
        let routes = follow(&mesh).await?;
        until_ready(&mesh, &AGENTS, &VERSIONS.map(|(version, _)| version)).await?;
        Ok(Self {
            stage,
            load: Load::new(mesh, Arc::clone(&journal)),
            operator,
            journal,
            dir: dir.to_owned(),
            taken: Taken::default(),
            remedies: Vec::new(),
            _routes: routes,
        })
    }

    /// One accident from the first work to the last, on a mesh on which all is well and all work is closed.
    async fn one(&mut self, plan: &AccidentPlan, case: &Case) -> Result<Outcome> {
        let seed = plan.seed * SEEDS + case.number * 2;
        let mut outcome = Outcome {
            accident: case.to_string(),
            place: Place::of(case),
            became: Became::Healed,
            told_ms: None,
            whole_ms: None,
            commands: Vec::new(),
            taken: 0,
            restarted: Vec::new(),
            violations: Vec::new(),
            seeds: [seed, seed + 1],
        };
        let stop = CancellationToken::new();
        let load = self.load.clone();
        let (loaded, watched) = tokio::join!(load.run_until(seed, plan.rate, &stop), async {
            let watched = Box::pin(self.watch(case, &mut outcome)).await;
            stop.cancel();
            watched
        });
        loaded?;
        let mut failed = watched?;
        if failed.is_none() {
            failed = self.probe(seed).await?;
        }
        if failed.is_none() && case.takes() == Takes::Records {
            // What is submitted from here on must be as if nothing had happened.
            self.taken.only = Some(seed + 1);
            self.load.run(seed + 1, plan.rate, BEFORE).await?;
        }
        if failed.is_none()
            && let Err(error) = until_closed(&self.stage, &self.operator, CLOSING).await
        {
            failed = Some(format!("{error:#}"));
        }
        if let Some(why) = failed {
            outcome.became = Became::Failed(why);
        } else if !outcome.commands.is_empty() {
            outcome.became = Became::Mended;
        }
        self.journal.note(outcome.to_string())?;
        Ok(outcome)
    }

    /// Lets the accident happen, and looks until the mesh is whole. Returns why it is not.
    async fn watch(&mut self, case: &Case, outcome: &mut Outcome) -> Result<Option<String>> {
        sleep(BEFORE).await;
        self.journal.note(format!("now: {case}"))?;
        self.happen(case, outcome).await.with_context(|| case.to_string())?;
        let began = Instant::now();
        let names = names(&case.thing);
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let (mut standing, mut well_since): (Option<(String, Instant)>, Option<Instant>) = (None, None);
        let (mut last, mut is_lost) = (String::new(), false);
        while began.elapsed() < WHOLE {
            outcome.restarted.extend(self.stage.heal().await?);
            let mut problems = doctor::problems(&self.stage).await?;
            if outcome.told_ms.is_none() && problems.iter().any(|one| one.names(&names)) {
                outcome.told_ms = Some(began.elapsed().as_millis());
            }
            // No command brings back what is lost: that it is told has to do.
            let before = problems.len();
            problems.retain(|one| case.takes() != Takes::Records || one.check != "RECORDS_LOST");
            is_lost |= problems.len() < before;
            if problems.is_empty()
                && case.accident == Accident::Purged
                && outcome.told_ms.is_none()
                && case.takes() == Takes::Records
            {
                last = "doctor does not say that records are lost".to_owned();
            } else if problems.is_empty() {
                let since = *well_since.get_or_insert_with(Instant::now);
                standing = None;
                if began.elapsed() > LEAST && since.elapsed() >= LOOK {
                    outcome.whole_ms = Some(since.duration_since(began).as_millis());
                    sleep(AFTER).await;
                    if is_lost && outcome.commands.is_empty() {
                        outcome.became = Became::Told;
                    }
                    return Ok(self.late(outcome));
                }
            } else {
                well_since = None;
                last = problems.iter().map(said).collect::<Vec<_>>().join("; ");
                let command = problems.iter().find_map(|one| command_of(&one.remedy));
                match (command, &standing) {
                    (Some(command), Some((same, since))) if same == command => {
                        if since.elapsed() > STANDS && outcome.commands.len() < COMMANDS {
                            self.journal.note(format!("runs {command}"))?;
                            outcome.commands.push(command.to_owned());
                            match doctor::run(&self.stage, command).await {
                                Ok(process) => self.remedies.extend(process),
                                Err(error) => return Ok(Some(format!("the command of doctor fails: {error:#}"))),
                            }
                            standing = None;
                        }
                    }
                    (Some(command), _) => standing = Some((command.to_owned(), Instant::now())),
                    (None, _) => standing = None,
                }
            }
            sleep(LOOK).await;
        }
        Ok(Some(format!("not whole within {WHOLE:?}: {last}")))
    }

    /// A mesh that is whole takes new work of both kinds. Returns what is wrong with it.
    async fn probe(&self, seed: u64) -> Result<Option<String>> {
        for via in [Via::RawIntent, Via::Record] {
            let mut pieces = (NEVER_REACHED..).map(|number| piece(seed, number));
            let one = pieces.find(|piece| piece.via == via && piece.kind == kind::CHAIN);
            let one = one.context("a piece of work")?;
            let taken = timeout(PROBE, Box::pin(self.load.submit(one))).await;
            if !taken.unwrap_or(Ok(false))? {
                return Ok(Some(format!(
                    "new work ({}) is not taken, and doctor finds nothing",
                    via.name()
                )));
            }
        }
        Ok(None)
    }

    /// What needed a command has to be named in time.
    fn late(&self, outcome: &Outcome) -> Option<String> {
        if outcome.commands.is_empty() && outcome.became != Became::Told {
            return None;
        }
        match outcome.told_ms {
            None => Some("doctor did not name the thing".to_owned()),
            Some(ms) if ms > TOLD.as_millis() => Some(format!("doctor named it after {ms} ms")),
            Some(_) => None,
        }
    }

    /// Where it counts what the stream held, nothing moves there in that moment.
    async fn happen(&mut self, case: &Case, outcome: &mut Outcome) -> Result<()> {
        let (client, thing, stream) = (self.stage.client.clone(), &case.thing, case.thing.stream());
        if case.takes() == Takes::RawMeanwhile {
            self.taken.raw_of.insert(outcome.seeds[0]);
        }
        if matches!(case.takes(), Takes::Nothing | Takes::Records | Takes::RawMeanwhile) {
            return happen(&client, thing, case.accident).await;
        }
        let load = self.load.clone();
        let held = self.stage.while_controllers_freeze(async move {
            if case.takes() == Takes::Raw {
                sleep(GATHER).await;
            }
            let _nobody = load.hush().await;
            let held = read_messages(&client, stream).await?;
            happen(&client, thing, case.accident).await?;
            Ok(held)
        });
        let held = held.await?;
        outcome.taken = held.len();
        if case.takes() == Takes::Bundles {
            self.taken.bundles.extend(held);
        } else {
            self.taken.raw.extend(held.iter().filter_map(key).map(str::to_owned));
            self.taken.signals.extend(held.iter().filter_map(signal));
        }
        Ok(())
    }

    /// Stops everything, and has the checker judge what is left.
    async fn end(self) -> Result<Judged> {
        self.stage.stop_all().await;
        drop(self.remedies);
        dump(&self.stage.client, &self.dir.join("dump.jsonl")).await?;
        self.journal.flush()?;
        let (dir, taken) = (self.dir, self.taken);
        tokio::task::spawn_blocking(move || judge(&dir, taken))
            .await
            .context("the checker")?
    }
}

/// What a finding has to name.
fn names(thing: &Thing) -> Vec<String> {
    match thing {
        Thing::Durable(stream, name) => vec![stream.clone(), name.clone()],
        Thing::Stream(stream) | Thing::Follower(stream, _) => vec![stream.trim_start_matches("KV_").to_owned()],
    }
}

fn said(finding: &Finding) -> String {
    format!("{}: {} ({})", finding.check, finding.found, finding.remedy)
}
