//! What a closed tree had is read as if nothing had moved, when the leader has archived it and taken it away.

use std::time::Duration;

use baton_agent::{Agent, Fault, Handler, Hop, Kind, Memory, Outcome, View};
use baton_e2e::TestMesh;
use baton_e2e::chaos::{Running, SOON, logged};
use baton_envelope::{Json, ObjectHash};
use baton_testkit::{ProcessGuard, eventually};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::payloads;
use crate::nats_cli::run;

/// Longer than the archive's round, and a new leader's way to its place.
const ARCHIVED: Duration = Duration::from_secs(60);

/// Remembers a decision and a long text, hands its payload on to itself, and completes with it.
struct Author;

impl Handler for Author {
    type Input = Json;

    async fn handle(&self, hop: &mut Hop, payload: Json) -> Result<Outcome, Fault> {
        if hop.number() > 1 {
            return Outcome::complete(&payload);
        }
        let decision = Memory::new("ms-1", Kind::Decision, "Retry with jitter.").pin();
        hop.remember(decision).await?;
        let notes = "the otter crossed the river and came back. ".repeat(20_000);
        hop.remember(Memory::new("ms-2", Kind::Observation, notes)).await?;
        Ok(Outcome::hand_off("author", &payload)?.with_context(View::trim().tokens(4_000)))
    }
}

/// A controller in its own process, with these settings of the archive.
async fn controller(mesh: &TestMesh, dir: &TempDir, name: &str, settings: &[(&str, &str)]) -> ProcessGuard {
    let mut command = mesh.baton(&["controller", "--sweep-interval", "300ms"]);
    command.env("BATON_LOG", "info,async_nats=off");
    for (key, value) in settings {
        command.env(format!("BATON_ARCHIVE__{key}"), value);
    }
    let guard = ProcessGuard::spawn(name, command, dir.path());
    logged(&guard, "controller started").await;
    guard
}

async fn said(mesh: &TestMesh, args: &[&str]) -> Value {
    let args = [&["context"], args, &["--output", "json"]].concat();
    run(mesh.baton(&args)).await.exits(0).json()
}

/// What each command says of the intent, and all files that it exports.
async fn all_of(mesh: &TestMesh, dir: &TempDir, name: &str) -> (Vec<Value>, Vec<(String, Vec<u8>)>) {
    let questions: [&[&str]; 4] = [
        &["show", "order-42"],
        &["show", "order-42", "--hop", "1"],
        &["diff", "order-42", "1", "2"],
        &["verify", "order-42"],
    ];
    let mut answers = Vec::new();
    for question in questions {
        answers.push(said(mesh, question).await);
    }
    let folder = dir.path().join(name);
    let exported = said(mesh, &["export", "order-42", &folder.display().to_string()]).await;
    assert_eq!(exported["missing"], json!([]), "{exported}");
    let mut files = Vec::new();
    let mut folders = vec![folder.clone()];
    while let Some(next) = folders.pop() {
        for entry in std::fs::read_dir(&next).expect("a folder") {
            let path = entry.expect("an entry").path();
            match path.is_dir() {
                true => folders.push(path),
                false => {
                    let name = path.strip_prefix(&folder).expect("in it").display().to_string();
                    files.push((name, std::fs::read(&path).expect("read")));
                }
            }
        }
    }
    files.sort();
    (answers, files)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn archived_context_reads_as_if_nothing_had_moved() {
    let (mesh, dir) = (
        TestMesh::start_without_controller().await,
        TempDir::new().expect("folder"),
    );
    let first = controller(&mesh, &dir, "keeps", &[("ENABLED", "false"), ("KEEP_OBJECTS", "1h")]).await;
    let builder = Agent::builder("author", "1.0.0").expect("agent").handler(Author);
    let _worker = Running::start(mesh.server.url(), builder).await;
    mesh.until_version_is("author", "1.0.0", "active").await;
    // Of which no piece is like another.
    let text: String = (0..400_000).map(|line| format!("{line}\n")).collect();
    let payload = Json::string(&text);
    let intent = super::submit(&mesh, "order-42", "author", payload.clone()).await;
    mesh.until(&intent, "completed", SOON).await;
    let before = all_of(&mesh, &dir, "before").await;
    let listed = said(&mesh, &["list", "order-42"]).await;
    let named = listed["objects"].as_array().expect("objects");
    assert!(named.iter().all(|one| one["is_there"] == true), "{listed}");
    assert_eq!(payloads(&mesh, &intent).await.len(), 2);
    drop(first);

    let _next = controller(&mesh, &dir, "archives", &[("KEEP_OBJECTS", "1s"), ("GRACE", "1s")]).await;
    eventually("its objects are archived and gone", ARCHIVED, async || {
        let left = mesh.mesh.objects_of(&intent).await.map_err(|error| error.to_string())?;
        let ledger = mesh.stream_state("MESH_LEDGER").await["messages"]
            .as_u64()
            .expect("a count");
        // Of a chosen id the last record stays.
        (left.is_empty() && ledger == 1)
            .then_some(())
            .ok_or(format!("{} objects, {ledger} records", left.len()))
    })
    .await;
    let after = all_of(&mesh, &dir, "after").await;
    assert_eq!(after.0, before.0);
    let names = |files: &[(String, Vec<u8>)]| files.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
    assert_eq!(names(&after.1), names(&before.1));
    assert!(after.1 == before.1, "a file is another");

    let listed = said(&mesh, &["list", "order-42"]).await;
    let named = listed["objects"].as_array().expect("objects");
    assert!(named.len() >= 4 && listed["messages"] == 0, "{listed}");
    for one in named {
        assert_eq!(
            (&one["is_there"], &one["is_archived"]),
            (&json!(true), &json!(true)),
            "{one}"
        );
        let copy = dir.path().join("copy");
        let object = one["object"].as_str().expect("an object");
        run(mesh.baton(&["context", "get", object, "-o", &copy.display().to_string()]))
            .await
            .exits(0);
        assert_eq!(std::fs::metadata(&copy).expect("a file").len(), one["bytes"], "{one}");
    }
    let hash = ObjectHash::of(text.as_bytes());
    let content = mesh.mesh.get_object_at(&intent, &hash, 1).await.expect("read");
    assert!(content == text.as_bytes());
    let doctor = mesh.run_baton(&["doctor"]).await;
    let doctor = String::from_utf8_lossy(&doctor.stdout).into_owned();
    assert!(doctor.contains("stream MESH_CONTEXT_ARCHIVE"), "{doctor}");
}
