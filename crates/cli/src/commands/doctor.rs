//! `baton doctor`: what an operator should know, each finding with its remedy.

use std::time::Duration;

use baton_envelope::control::{AgentsView, ArchiveStatus, ListAgents, ListUnreadable, ShowArchive};
use baton_envelope::{Timestamp, codes, shell_word};
use baton_jetstream::{Error, Finding, Level, Mesh, examine};
use clap::Args;
use serde::Serialize;

use crate::app::App;
use crate::error::{CliError, Kind};
use crate::output::Table;
use crate::parse::Span;
use crate::view::count_of;

/// How late an intent may be archived before that is worth a warning: a few rounds of the leader, or a new leader.
const LATE: Duration = Duration::from_secs(60);
/// How long nobody may lead before that is a problem: a lease runs out after 5 s.
const ELECTION: Duration = Duration::from_secs(7);
/// How long a controller may take to read all that can be unreadable.
const LOOKING: Duration = Duration::from_secs(20);
/// How much of what cannot be read is shown, one finding each.
const MOST_UNREADABLE: usize = 20;
/// How long to look for a controller.
const PATIENCE: Duration = Duration::from_millis(500);

#[derive(Serialize)]
struct Document<'a> {
    findings: &'a [Finding],
    problems: usize,
    warnings: usize,
}

/// `baton doctor`.
#[derive(Debug, Clone, Args)]
pub(crate) struct DoctorArgs {
    /// First give this stream the settings that a new one gets. Its messages and its number of copies stay.
    #[arg(long, value_name = "STREAM")]
    restore: Vec<String>,
}

/// Puts back what it is told to, then examines the server and the mesh on it; changes nothing else.
pub(crate) async fn run(args: DoctorArgs, app: &App) -> Result<(), CliError> {
    if !args.restore.is_empty() {
        let mesh = app.connect_to_look().await?;
        for stream in &args.restore {
            if !mesh.restore_stream(stream, app.limits()).await? {
                let note = format!("{stream} has the settings of a new one already: nothing was restored");
                app.output.note(&note);
            }
        }
    }
    let (findings, kind, code) = match look(app).await {
        Ok(findings) => (findings, Kind::Failed, codes::PROBLEMS_FOUND.to_owned()),
        // "No usable server" is an answer to what the person asked, so it is a finding like any other.
        Err(error) => (vec![finding(&error)], error.kind, error.code),
    };
    let count = |level: Level| findings.iter().filter(|finding| finding.level == level).count();
    let (problems, warnings) = (count(Level::Problem), count(Level::Warning));
    let document = Document {
        findings: &findings,
        problems,
        warnings,
    };
    app.output.show(&document, || text(&findings))?;
    let found = count_of(problems, "problem was found", "problems were found");
    match problems {
        0 => {
            app.output
                .note(&format!("no problems, {}", count_of(warnings, "warning", "warnings")));
            Ok(())
        }
        _ => Err(CliError::say(kind, code, found)),
    }
}

async fn look(app: &App) -> Result<Vec<Finding>, CliError> {
    let mesh = app.connect_to_look().await?;
    let mut findings = examine(&mesh, app.limits()).await?;
    findings.extend(controllers(&mesh).await);
    findings.extend(unreadable(&mesh).await);
    if let Ok(status) = mesh.ask_controller_within(PATIENCE, &ShowArchive {}).await {
        findings.push(archive(&status, mesh.now()));
    }
    Ok(findings)
}

/// Whether a controller answers, and what it says needs a person.
async fn controllers(mesh: &Mesh) -> Vec<Finding> {
    let agents = match mesh.ask_controller_within(PATIENCE, &ListAgents::default()).await {
        Ok(agents) => agents,
        Err(error) => {
            // One that answers, if only that it is busy, is there; and whether one is there may not be for this user to know.
            let is_missing = matches!(error, Error::NoController | Error::NoAnswer { .. });
            let level = if is_missing { Level::Problem } else { Level::Warning };
            let mut found = error.to_string();
            if is_missing && let Ok(waiting @ 1..) = mesh.intake_waiting().await {
                found.push_str(&format!(
                    ", and {} in the intake",
                    count_of(waiting, "raw intent waits", "raw intents wait")
                ));
            }
            let remedy = "start `baton controller`: raw intents, rollouts and drains wait for one";
            return vec![Finding::new("controllers", level, found, remedy).coded(error.code())];
        }
    };
    let clocks = clocks(&agents);
    let alarms = agents.agents.into_iter().flat_map(|agent| agent.alarms);
    let mut findings: Vec<Finding> = alarms
        .map(|alarm| Finding::new(alarm.code, Level::Problem, alarm.message, alarm.ways_out.join("; or ")))
        .collect();
    let leader = leader(mesh).await;
    findings.extend(match leader {
        Some(_) if findings.is_empty() => Some(Finding::new(
            "controllers",
            Level::Ok,
            "one answers and one leads, and there is no alarm",
            "",
        )),
        Some(_) => None,
        None => Some(nobody_leads(&mesh.subjects().control_bucket())),
    });
    findings.extend(clocks);
    findings
}

/// The workers whose clock is off.
fn clocks(agents: &AgentsView) -> Vec<Finding> {
    let mut findings = Vec::new();
    for agent in &agents.agents {
        for version in &agent.versions {
            for worker in &version.workers {
                let Some(clock) = worker.clock() else { continue };
                let (agent, version) = (&agent.agent, &version.version);
                let check = format!("clock of {agent}@{version} worker {}", worker.instance);
                let remedy = "set it by NTP: Baton corrects the times that it writes, programs on that machine do not";
                findings.push(Finding::new(check, Level::Warning, clock, remedy));
            }
        }
    }
    findings
}

/// What cannot be read: a controller knows, and without one this looks by itself.
async fn unreadable(mesh: &Mesh) -> Vec<Finding> {
    const CHECK: &str = "unreadable";
    let found = match mesh.ask_controller_within(LOOKING, &ListUnreadable {}).await {
        Ok(view) => view.unreadable,
        Err(asked) => match mesh.unreadable().await {
            Ok(found) => found,
            // That no controller answers is a finding already, and so is what is missing.
            Err(_) if matches!(asked, Error::NoController | Error::NoAnswer { .. }) => return Vec::new(),
            Err(_) => {
                let remedy = "start `baton controller`, which can look";
                let found = format!("whether everything can be read is not known: {asked}");
                return vec![Finding::new(CHECK, Level::Warning, found, remedy).coded(asked.code())];
            }
        },
    };
    let more = found.len().saturating_sub(MOST_UNREADABLE);
    let mut findings: Vec<Finding> = found
        .into_iter()
        .take(MOST_UNREADABLE)
        .map(|one| {
            let found = format!(
                "cannot be read (sequence {}: {}): {}",
                one.seq, one.problem, one.meanwhile
            );
            let remedy = format!("baton repair {} (as an admin, in a secured mesh)", shell_word(&one.key));
            Finding::new(&one.key, Level::Problem, found, remedy).coded(codes::UNREADABLE)
        })
        .collect();
    match (findings.is_empty(), more) {
        (true, _) => findings.push(Finding::new(
            CHECK,
            Level::Ok,
            "routes, declarations and intents can be read",
            "",
        )),
        (false, 0) => {}
        (false, more) => {
            let found = format!("{more} more cannot be read");
            findings.push(Finding::new(CHECK, Level::Problem, found, "baton repair list").coded(codes::UNREADABLE));
        }
    }
    findings
}

/// Who leads. A new leader may take a moment: the lease of one that died has to run out first.
async fn leader(mesh: &Mesh) -> Option<String> {
    let until = tokio::time::Instant::now() + ELECTION;
    loop {
        match mesh.leader().await {
            Ok(None) if tokio::time::Instant::now() < until => tokio::time::sleep(PATIENCE).await,
            Ok(leader) => return leader,
            Err(error) => {
                tracing::debug!(%error, "who leads cannot be read");
                return None;
            }
        }
    }
}

fn nobody_leads(bucket: &str) -> Finding {
    let found = "a controller answers, and none leads: sweeps, rollouts, drains and the archive stand still";
    let remedy = format!(
        "check that bucket {bucket} exists, and read the logs of the controllers: one leads within seconds once it can read and write the bucket"
    );
    Finding::new("controllers", Level::Problem, found, remedy).coded(codes::NO_LEADER)
}

/// What waits to be archived, and whether it waits for too long: what is not archived costs the server memory.
fn archive(status: &ArchiveStatus, now: Timestamp) -> Finding {
    let found = format!(
        "{} closed intents archived, {} wait in the ledger ({} due), {} terminal records kept for chosen ids",
        status.archived, status.waiting, status.due, status.kept
    );
    let grace = Duration::from_secs(status.grace_seconds);
    let late = status
        .oldest_due
        .map(|ended| now.since(ended).saturating_sub(grace))
        .filter(|late| *late > LATE);
    if !status.enabled {
        let remedy = "set enabled = true in [archive]: each closed intent in the ledger costs the server memory";
        return Finding::new("archive", Level::Warning, format!("archiving is off; {found}"), remedy);
    }
    if let Some(problem) = &status.problem {
        let found = format!(
            "{} cannot be archived, such as {problem}; {found}",
            count_of(status.failing, "closed intent", "closed intents")
        );
        let remedy = "fix the cause; until then these intents stay readable in the ledger, and Baton tries again every ten seconds";
        return Finding::new("archive", Level::Problem, found, remedy);
    }
    if status.incomplete > 0 {
        let found = format!(
            "{} without earlier records, which are not in the archive either; {found}",
            count_of(status.incomplete, "closed intent", "closed intents")
        );
        let remedy = "nothing brings these records back but a backup of the ledger; what is left of the intents goes after keep_chosen_ids of [archive]";
        return Finding::new("archive", Level::Warning, found, remedy);
    }
    if let Some(late) = late {
        let found = format!(
            "the oldest is late by {}; {found}",
            Span(Duration::from_secs(late.as_secs()))
        );
        let remedy = "check that a controller leads, and that the archive stream is not full";
        return Finding::new("archive", Level::Warning, found, remedy);
    }
    Finding::new("archive", Level::Ok, found, "")
}

fn finding(error: &CliError) -> Finding {
    let mut found = error.message();
    for cause in error.causes() {
        found.push_str(": ");
        found.push_str(&cause);
    }
    Finding::new("connection", Level::Problem, found, error.hints.join("; ")).coded(&error.code)
}

fn text(findings: &[Finding]) -> String {
    let mut table = Table::new(&["CHECK", "LEVEL", "FOUND", "REMEDY"]);
    for finding in findings {
        let level = match finding.level {
            Level::Ok => "ok",
            Level::Warning => "warning",
            Level::Problem => "PROBLEM",
        };
        table.row([
            finding.check.clone(),
            level.to_owned(),
            finding.found.clone(),
            finding.remedy.clone(),
        ]);
    }
    table.render()
}
