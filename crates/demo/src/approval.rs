//! The approval scenario: a person is asked, everything is killed while nobody holds the work, it is started again, and the
//! person decides by a bare publish.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use baton_agent::{Approval, Fault, Handler, Hop, Outcome};
use baton_envelope::people::PeopleEntry;
use baton_envelope::{IntentId, Json, Status};
use baton_jetstream::{Head, Mesh};
use serde::Serialize;
use tokio::time::Instant;

use crate::agents::{Part, append};
use crate::check::{Verdict, judge};
use crate::error::DemoError;
use crate::harness::{Harness, LOOK, START};

/// The agent that asks.
pub(crate) const EDITOR: &str = "editor";
/// The wait, and who decides.
const WAIT: &str = "publish";
const ADA: &str = "ada";
/// How long the rest may take after the decision.
const END: Duration = Duration::from_secs(60);

/// The settings of the scenario.
#[derive(Debug, Clone)]
pub struct ApprovalPlan {
    /// The number of intents.
    pub intents: usize,
    /// This program.
    pub exe: PathBuf,
    /// Whether to keep the folder with the server's data and the logs.
    pub keep: bool,
}

/// The judgement.
#[derive(Debug, Clone, Serialize)]
pub struct ApprovalVerdict {
    /// As in the other scenarios.
    #[serde(flatten)]
    pub common: Verdict,
    /// Intents that waited for a person when everything was killed.
    pub waited: usize,
    /// Intents whose history says that the person decided, and when.
    pub decided: usize,
}

/// The result of the scenario.
#[derive(Debug)]
pub struct ApprovalReport {
    /// The judgement.
    pub verdict: ApprovalVerdict,
    /// The history of the first intent.
    pub example: Vec<Head>,
    /// The folder, if it was kept.
    pub folder: Option<PathBuf>,
}

impl ApprovalVerdict {
    /// Whether every intent waited through the death of everything, was decided by that person, and completed once.
    pub fn is_good(&self) -> bool {
        let all = self.common.submitted;
        self.common.is_good() && self.waited == all && self.decided == all
    }
}

/// Runs the scenario; `say` receives a line for each thing that happens.
///
/// # Errors
/// When a process or the server cannot be started, or something that the scenario waits for does not happen.
pub async fn run_approval(plan: &ApprovalPlan, say: &(dyn Fn(&str) + Sync)) -> Result<ApprovalReport, DemoError> {
    let mut harness = Harness::open(&plan.exe, say).await?;
    let mut controller = harness.controller("controller")?;
    let mut worker = harness.agent(&Part::of(EDITOR))?;
    harness.wait_for_route_of(&[EDITOR]).await?;
    let started = Instant::now();
    let intents = harness.submit(EDITOR, articles(plan.intents)?).await?;
    let waited = until_waiting(&harness.mesh, &intents).await?;
    say(&format!(
        "{waited} intents wait for {ADA}; no process and no ticket holds them"
    ));

    let failed = |error| DemoError::io("a process cannot be killed", error);
    worker.kill().map_err(failed)?;
    controller.kill().map_err(failed)?;
    harness.restart_server().await?;
    say("worker, controller and server killed with SIGKILL; the server started again on its data");
    controller = harness.controller("controller")?;
    worker = harness.agent(&Part::of(EDITOR))?;
    say("controller and worker started again");

    for intent in &intents {
        publish(&harness, intent, say).await?;
    }
    harness.until_over(&intents, Instant::now() + END).await?;
    let seconds = started.elapsed().as_secs_f64();
    let histories = harness.histories(intents).await?;
    let common = Verdict {
        kills: 3,
        seconds,
        ..judge(&histories, &harness.effects()?)
    };
    let decided = histories.iter().filter(|(_, history)| is_decided(history)).count();
    let verdict = ApprovalVerdict {
        common,
        waited,
        decided,
    };
    let example = histories.into_iter().next().map(|(_, history)| history);
    drop((worker, controller));
    let folder = harness.close(plan.keep || !verdict.is_good());
    Ok(ApprovalReport {
        verdict,
        example: example.unwrap_or_default(),
        folder,
    })
}

fn articles(count: usize) -> Result<Vec<(IntentId, Json)>, DemoError> {
    let article = |n| {
        let intent = format!("article-{n}").parse().map_err(baton_jetstream::Error::from)?;
        Ok((intent, Json::string(&format!("article {n}"))))
    };
    (1..=count).map(article).collect()
}

/// Waits until each intent waits for people.
async fn until_waiting(mesh: &Mesh, intents: &[IntentId]) -> Result<usize, DemoError> {
    let until = Instant::now() + START;
    loop {
        let mut waiting = 0;
        for intent in intents {
            let head = mesh.head(intent).await?;
            let is_waiting = |head: &Head| matches!(head.record.snapshot.status, Status::Waiting { .. });
            waiting += usize::from(head.as_ref().is_some_and(is_waiting));
        }
        if waiting == intents.len() {
            return Ok(waiting);
        }
        if Instant::now() > until {
            let problem = format!("only {waiting} of {} intents came to wait for people", intents.len());
            return Err(DemoError::Stuck(problem));
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// Decides as anybody can: with `nats pub` where that is installed, else with the same message.
async fn publish(harness: &Harness, intent: &IntentId, say: &(dyn Fn(&str) + Sync)) -> Result<(), DemoError> {
    let subject = harness.mesh.subjects().decision(ADA, intent, 1, WAIT, "approve");
    let nats = Command::new("nats")
        .args(["--server", &harness.url(), "pub", &subject, ""])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    if nats.is_ok_and(|status| status.success()) {
        say(&format!("nats pub {subject} ''"));
        return Ok(());
    }
    let stored = harness.mesh.publish_raw(subject.clone(), Vec::new(), Vec::new().into());
    stored.await?;
    say(&format!("published {subject}, as `nats pub` does"));
    Ok(())
}

/// Whether the history says that the person decided, and when.
fn is_decided(history: &[Head]) -> bool {
    let is_it = |entry: &PeopleEntry| entry.by.as_deref() == Some(ADA) && entry.at.is_some();
    history
        .iter()
        .filter_map(|head| head.record.people.as_deref())
        .any(is_it)
}

/// Writes a draft, asks, and publishes.
pub(crate) struct Editor {
    pub(crate) effects: PathBuf,
    pub(crate) instance: String,
}

impl Handler for Editor {
    type Input = String;

    async fn handle(&self, hop: &mut Hop, article: String) -> Result<Outcome, Fault> {
        let place = format!("{} {}", hop.intent(), hop.number());
        let note = |step: &str| write(&self.effects, format!("{place} {step} {}", self.instance));
        hop.step("draft", || async { note("draft") }).await?;
        let approval = Approval::new(format!("May {article} be published?")).who([ADA]);
        if !hop.approve(WAIT, approval).await?.accepted {
            return Ok(Outcome::reject("NOT_PUBLISHED", "it may not be published"));
        }
        hop.step("print", || async { note("print") }).await?;
        Outcome::complete(&format!("{article} is published"))
    }
}

fn write(effects: &Path, line: String) -> Result<(), Fault> {
    Ok(append(effects, &line)?)
}
