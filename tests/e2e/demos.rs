//! The scenarios of `baton demo` that have no module of their own: what they judge and print, and what they exit with.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use baton_e2e::baton;
use baton_testkit::{ProcessGuard, eventually};
use serde_json::{Value, json};

use crate::nats_cli::{Run, run};

/// How long a scenario may take on a slow machine.
const SOON: Duration = Duration::from_secs(150);

/// Plays a scenario that ends well, and gives its judgement.
async fn played(arguments: &[&str]) -> Value {
    let mut command = baton();
    command.arg("demo").args(arguments).args(["--output", "json"]);
    let run: Run = run(command).await;
    run.exits(0).json()
}

/// Checks some of the figures of a judgement.
#[track_caller]
fn says(verdict: &Value, figures: &Value) {
    for (name, figure) in figures.as_object().expect("an object") {
        assert_eq!(&verdict[name], figure, "{name} in {verdict}");
    }
}

/// What no scenario may have.
#[track_caller]
fn is_clean(verdict: &Value) {
    says(
        verdict,
        &json!({ "lost": 0, "duplicate_commits": 0, "repeated_steps": 0, "illegal_records": 0 }),
    );
    assert!(
        verdict["seconds"].as_f64().is_some_and(|seconds| seconds > 0.0),
        "{verdict}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn work_waits_for_a_person_through_the_death_of_everything() {
    let verdict = played(&["approval", "--intents", "2"]).await;
    is_clean(&verdict);
    says(
        &verdict,
        &json!({ "submitted": 2, "completed": 2, "waited": 2, "decided": 2, "kills": 3 }),
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_goes_on_with_three_of_five_answers() {
    let verdict = played(&["fanout", "--intents", "2"]).await;
    is_clean(&verdict);
    says(
        &verdict,
        &json!({
            "submitted": 2, "completed": 2, "asked": 10, "found": 6, "cancelled": 4, "joined": 2, "kills": 1,
            "faults_of_searches": 0,
        }),
    );
    assert!(
        verdict["redeliveries"].as_u64().is_some_and(|count| count > 0),
        "{verdict}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_booked_is_taken_back_once_and_in_reverse() {
    let verdict = played(&["saga", "--intents", "2"]).await;
    is_clean(&verdict);
    says(
        &verdict,
        &json!({
            "submitted": 2, "completed": 0, "failed": 2, "booked": 4, "undone": 4, "undone_twice": 0, "in_reverse": 2,
            "kills": 2,
        }),
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_decision_reaches_the_twelfth_hop_through_the_death_of_a_worker_and_the_store() {
    let verdict = played(&["context", "--intents", "1"]).await;
    is_clean(&verdict);
    says(
        &verdict,
        &json!({
            "submitted": 1, "completed": 1, "views": 11, "with_decision": 11, "budget": 4000, "gaps": 0, "verified": 1,
            "recalled": 1, "kills": 2,
        }),
    );
    assert!(
        verdict["most_used"]
            .as_u64()
            .is_some_and(|used| (3_000..=4_000).contains(&used)),
        "{verdict}"
    );
}

/// What the agents of the demo that runs with its temporary folders here have left behind, and its folder.
fn effects_in(dir: &Path) -> Option<(PathBuf, String)> {
    let mut folders = std::fs::read_dir(dir).ok()?.flatten().map(|entry| entry.path());
    let folder = folders.find(|path| path.join("server").is_dir())?;
    let effects = std::fs::read_to_string(folder.join("effects.log")).ok()?;
    Some((folder, effects))
}

/// The effect of a step is told a second time, as if it had run again.
#[tokio::test(flavor = "multi_thread")]
async fn a_scenario_that_does_not_end_as_it_should_fails_and_keeps_its_folder() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut command = baton();
    command
        .args(["demo", "approval", "--intents", "2", "--output", "json"])
        .env("TMPDIR", dir.path());
    let mut demo = ProcessGuard::spawn("demo", command, dir.path());
    let (folder, line) = eventually("a draft is written", SOON, async || {
        let found = effects_in(dir.path());
        let line = found.as_ref().and_then(|(_, effects)| effects.lines().next());
        match (&found, line) {
            (Some((folder, _)), Some(line)) => Ok((folder.clone(), line.to_owned())),
            _ => Err(demo.stderr()),
        }
    })
    .await;
    let log = std::fs::OpenOptions::new()
        .append(true)
        .open(folder.join("effects.log"));
    let told = log.and_then(|mut log| log.write_all(format!("{line}\n").as_bytes()));
    told.expect("the line is told again");
    let status = demo.wait(SOON).await;
    assert_eq!(status.code(), Some(1), "{}", demo.stderr());
    let verdict: Value = serde_json::from_str(&demo.stdout()).expect("a judgement");
    says(
        &verdict,
        &json!({ "submitted": 2, "completed": 2, "lost": 0, "repeated_steps": 1 }),
    );
    assert!(demo.stderr().contains("DEMO_FAILED"), "{}", demo.stderr());
    assert!(folder.join("server").is_dir(), "{} is not kept", folder.display());
}
