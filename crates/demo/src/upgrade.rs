//! The upgrade scenario. An agent gets a new version while work arrives at a steady pace. The controllers ramp it up
//! by evidence or roll it back, and the ledger shows that nothing was lost and nothing changed sides.

mod judging;
mod ledger;
mod load;
mod processes;
mod rollout;
mod routed;
mod verdict;

use std::path::PathBuf;
use std::time::Duration;

use baton_envelope::Margins;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::agents::Part;
use crate::error::DemoError;
use crate::harness::Harness;
use crate::upgrade::ledger::Ledger;
use crate::upgrade::processes::{Agents, Controllers};
use crate::upgrade::rollout::Rolling;

pub use verdict::{Decision, Upgrade, UpgradeStep};

/// The agent that is upgraded, and its versions.
const AGENT: &str = "code";
const FROM: &str = "1.0.0";
const TO: &str = "2.0.0";
/// The percentage of a bad version's attempts that fail.
const BAD: u8 = 20;
/// How many intents complete before the new version starts.
const WARM_UP: usize = 100;
/// How long that may take, and how long the last intents may take to end.
const PATIENCE: Duration = Duration::from_secs(120);

/// The settings of the scenario.
#[derive(Debug, Clone)]
pub struct UpgradePlan {
    /// This program. The scenario starts it as `EXE controller` and `EXE demo-agent …`.
    pub exe: PathBuf,
    /// How many intents to submit per second.
    pub rate: u32,
    /// Whether the new version fails a fifth of its attempts.
    pub bad: bool,
    /// The shortest time that a step takes, in whole seconds.
    pub hold: Duration,
    /// The limits for the evidence.
    pub margins: Margins,
    /// When to kill and replace all controllers: the first time after the start of the rollout, each further time after
    /// the one before.
    pub kills: Vec<Duration>,
    /// How long the load goes on after the old version is gone.
    pub after: Duration,
    /// Whether to keep the folder with the server's data and the logs.
    pub keep: bool,
}

impl UpgradePlan {
    /// The scenario as `baton demo upgrade` runs it.
    pub fn new(exe: impl Into<PathBuf>) -> Self {
        Self {
            exe: exe.into(),
            rate: 50,
            bad: false,
            hold: Duration::from_secs(2),
            margins: Margins::default(),
            kills: Vec::new(),
            after: Duration::from_secs(2),
            keep: false,
        }
    }
}

/// The result of the scenario.
#[derive(Debug)]
pub struct UpgradeReport {
    /// The judgement.
    pub verdict: Upgrade,
    /// The folder, if it was kept.
    pub folder: Option<PathBuf>,
}

/// Runs the scenario; `say` receives a line for each thing that happens.
///
/// # Errors
/// When a process or the server cannot be started, or something that the scenario waits for does not happen.
pub async fn run_upgrade(plan: &UpgradePlan, say: &(dyn Fn(&str) + Sync)) -> Result<UpgradeReport, DemoError> {
    let harness = Harness::open(&plan.exe, say).await?;
    let judged = Box::pin(drive(plan, &harness, say)).await;
    let is_good = judged.as_ref().is_ok_and(Upgrade::is_good);
    let folder = harness.close(plan.keep || !is_good);
    match judged {
        Ok(verdict) => Ok(UpgradeReport { verdict, folder }),
        Err(error) => {
            if let Some(folder) = folder {
                say(&format!(
                    "the server's data and all logs are kept in {}",
                    folder.display()
                ));
            }
            Err(error)
        }
    }
}

async fn drive(plan: &UpgradePlan, harness: &Harness, say: &(dyn Fn(&str) + Sync)) -> Result<Upgrade, DemoError> {
    let started = Instant::now();
    let mut controllers = Controllers::start(harness)?;
    let mut agents = Agents::start(harness, FROM)?;
    harness.wait_for_routes().await?;
    say(&format!(
        "2 controllers and the agents research → {AGENT} → qa, all {FROM}, are up, each a process of its own"
    ));
    let ledger = Ledger::follow(&harness.mesh).await?;
    let mut rolling = Rolling::new(&harness.mesh, AGENT, FROM, TO)?;
    let mut kills = 0;

    say(&format!(
        "{} intents a second are submitted from now on, however fast they end",
        plan.rate
    ));
    let (stop, stopped) = watch::channel(false);
    let (begin, begun) = watch::channel(false);
    let upgrade = async {
        let upgraded = tokio::select! {
            upgraded = upgrade(plan, &mut agents, &mut rolling, &ledger, &begin, say) => upgraded,
            harmed = controllers.suffer(&plan.kills, begun, &mut kills, say) => harmed,
        };
        // Whatever happened, the load ends.
        stop.send_replace(true);
        upgraded
    };
    let load = load::run(&harness.mesh, plan.rate, stopped, say);
    let (sent, upgraded) = tokio::join!(load, upgrade);
    let sent = sent?;
    upgraded?;
    ledger.until_over(&sent.intents, PATIENCE).await?;
    say(&format!(
        "the load stopped after {} intents, and all of them have ended",
        sent.intents.len()
    ));
    let seconds = started.elapsed().as_secs_f64();

    let decisions = rolling.decisions().await?;
    let run = judging::Run {
        asked: plan.rate,
        bad: plan.bad,
        kills,
        seconds,
        from: &rolling.from,
        to: &rolling.to,
        agent: &rolling.agent,
        rate: sent.rate,
        histories: &ledger.histories(sent.intents),
        decisions: &decisions,
        effects: &harness.effects()?,
    };
    Ok(judging::judge_upgrade(&run))
}

/// What happens beside the load.
async fn upgrade(
    plan: &UpgradePlan,
    agents: &mut Agents<'_>,
    rolling: &mut Rolling<'_>,
    ledger: &Ledger,
    begin: &watch::Sender<bool>,
    say: &(dyn Fn(&str) + Sync),
) -> Result<(), DemoError> {
    ledger.until_completed(WARM_UP, PATIENCE).await?;
    let new = Part {
        fails: if plan.bad { BAD } else { 0 },
        ..Part::light(AGENT, TO)
    };
    agents.join(&new)?;
    rolling.until_ready().await?;
    let flaw = match plan.bad {
        true => format!(", a bad build: {BAD} % of its attempts fail"),
        false => String::new(),
    };
    say(&format!(
        "{AGENT} {TO} runs beside {FROM}{flaw}; it gets nothing, because no route names it"
    ));
    say(&format!(
        "asked for: baton rollout start {AGENT} {TO} --canary 10 --steps 25,50,100 --hold {}s --auto",
        plan.hold.as_secs()
    ));
    rolling.start(plan).await?;
    begin.send_replace(true);
    let gone = rolling.follow(say).await?;
    rolling.retire(&gone).await?;
    agents.leave(&Part::light(AGENT, &gone.to_string())).await?;
    say(&format!("{AGENT} {gone} is retired, and its worker stopped"));
    // The load goes on without the old version.
    tokio::time::sleep(plan.after).await;
    Ok(())
}
