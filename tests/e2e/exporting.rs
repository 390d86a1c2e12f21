//! `baton export` and `baton import`: intents in a file, from one mesh to another.

use std::path::Path;

use baton_agent::{Fault, Outcome, RetryPolicy};
use baton_e2e::TestMesh;
use baton_e2e::chaos::{Running, SOON, agent, assert_legal, events, logged};
use baton_e2e::gated::{Gate, id, result, teller};
use baton_testkit::{ProcessGuard, eventually};
use serde_json::Value;
use tempfile::TempDir;

async fn run(mesh: &TestMesh, line: &[&str]) -> (i32, String) {
    let out = mesh.run_baton(line).await;
    let said = [out.stdout, out.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
    (out.status.code().expect("no signal"), said.concat())
}

async fn runs(mesh: &TestMesh, line: &[&str]) -> String {
    let (exit, said) = run(mesh, line).await;
    assert_eq!(exit, 0, "{line:?}: {said}");
    said
}

async fn json(mesh: &TestMesh, line: &[&str]) -> Value {
    let line = [line, &["--output", "json"]].concat();
    let out = mesh.run_baton(&line).await;
    serde_json::from_slice(&out.stdout).unwrap_or_else(|error| panic!("{line:?}: {error}: {out:?}"))
}

/// A controller that archives what has ended almost at once.
async fn archiver(mesh: &TestMesh, dir: &Path) -> ProcessGuard {
    let mut command = mesh.baton(&["controller"]);
    command
        .env("BATON_LOG", "info,async_nats=off")
        .env("BATON_ARCHIVE__GRACE", "1s");
    let run = ProcessGuard::spawn("archiver", command, dir);
    logged(&run, "controller started").await;
    run
}

/// How many messages a stream has.
async fn messages(mesh: &TestMesh, stream: &str) -> u64 {
    let state = mesh.stream_state(stream).await;
    state["messages"].as_u64().expect("a number")
}

/// The records of an intent, as the command shows them.
async fn records(mesh: &TestMesh, intent: &str) -> Value {
    json(mesh, &["intents", "get", intent]).await["records"].clone()
}

/// A mesh with one intent in the archive, one that has just ended, and three open ones; with its controller.
async fn full_of_work(dir: &Path) -> (TestMesh, ProcessGuard) {
    let mesh = TestMesh::start_without_controller().await;
    let controller = archiver(&mesh, dir).await;
    let shout = Running::start(mesh.server.url(), teller("shout", "1.0.0", &Gate::open())).await;
    let never = RetryPolicy {
        max_attempts: 1,
        ..RetryPolicy::default()
    };
    let flaky = agent("flaky", |_| async { Err::<Outcome, _>(Fault::retry("never")) }).retry(never);
    let flaky = Running::start(mesh.server.url(), flaky).await;
    for name in ["shout", "flaky"] {
        mesh.until_version_is(name, "1.0.0", "active").await;
    }
    runs(&mesh, &["agents", "add", "reviewer", "--manual"]).await;
    for (agent, name) in [
        ("shout", "done-1"),
        ("flaky", "parked"),
        ("reviewer", "pending"),
        ("reviewer", "held"),
    ] {
        runs(&mesh, &["send", agent, "x", "--id", name]).await;
    }
    runs(&mesh, &["work", "accept", "held", "--as", "ada"]).await;
    mesh.until(&id("parked"), "parked", SOON).await;
    eventually("one is archived", SOON, async || {
        match messages(&mesh, "MESH_ARCHIVE").await {
            0 => Err(runs(&mesh, &["archive", "status"]).await),
            _ => Ok(()),
        }
    })
    .await;
    runs(&mesh, &["send", "shout", "y", "--id", "done-2", "--wait"]).await;
    shout.stop().await;
    flaky.stop().await;
    (mesh, controller)
}

/// Compares the records of an intent with those that it had in another mesh.
async fn came_over(mesh: &TestMesh, name: &str, was: &Value) {
    let now = records(mesh, name).await;
    let (was, now) = (was.as_array().expect("a list"), now.as_array().expect("a list"));
    if name.starts_with("done") {
        assert_eq!(was, now, "{name}: sequences and all");
        return;
    }
    // The same records at other places, and one behind them.
    assert_eq!(now.len(), was.len() + 1, "{name}");
    let without_place = |record: &Value| {
        let mut record = record.clone();
        record.as_object_mut().expect("an object").remove("seq");
        record
    };
    for (was, now) in was.iter().zip(now) {
        assert_eq!(without_place(was), without_place(now), "{name}");
    }
    let last = mesh.head_of(&id(name)).await;
    assert_eq!(last.record.snapshot.status.to_string(), "parked(IMPORTED)");
    assert_eq!(last.record.snapshot.holder, None);
}

/// Redrives what was imported, and ends it by a worker and by hand.
async fn goes_on(mesh: &TestMesh) {
    // Its agent is not known here yet.
    let (exit, said) = run(mesh, &["dead", "redrive", "pending"]).await;
    assert_eq!(exit, 3, "{said}");
    runs(mesh, &["agents", "add", "reviewer", "--manual"]).await;
    let flaky = Running::start(mesh.server.url(), teller("flaky", "1.0.0", &Gate::open())).await;
    mesh.until_version_is("flaky", "1.0.0", "active").await;
    for name in ["pending", "parked"] {
        mesh.redrive(&id(name), &[]).await;
    }
    runs(mesh, &["work", "accept", "pending", "--as", "bea"]).await;
    let complete = ["work", "complete", "pending", "--as", "bea", "--result", "fine"];
    runs(mesh, &complete).await;
    assert_eq!(result(&mesh.until(&id("pending"), "completed", SOON).await), "fine");
    mesh.until(&id("parked"), "completed", SOON).await;
    let history = mesh.history_of(&id("pending")).await;
    assert_legal(&history);
    let expected = ["submitted", "parked", "redriven", "claimed", "started", "completed"];
    assert_eq!(events(&history), expected);
    flaky.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_comes_back_in_an_empty_mesh_and_goes_on_there() {
    let dir = TempDir::new().expect("a folder");
    let file = dir.path().join("mesh.export");
    let file = file.to_str().expect("UTF-8");
    let (old, _controller) = full_of_work(dir.path()).await;
    let told = json(&old, &["export", file]).await;
    assert_eq!((&told["closed"], &told["open"]), (&2.into(), &3.into()), "{told}");
    let (exit, said) = run(&old, &["export", file]).await;
    assert_eq!(exit, 4, "{said}");
    let some = dir.path().join("some.export");
    let of_one = [
        "export",
        some.to_str().expect("UTF-8"),
        "--agent",
        "flaky",
        "--since",
        "1h",
    ];
    let some = json(&old, &of_one).await;
    assert_eq!((&some["closed"], &some["open"]), (&0.into(), &1.into()), "{some}");
    let mut before = Vec::new();
    for name in ["done-1", "done-2", "parked", "pending", "held"] {
        before.push((name, records(&old, name).await));
    }

    // Where the file came from, all of it is there already, and what is open goes on.
    for more in [&["--dry-run"][..], &[]] {
        let own = json(&old, &[&["import", file][..], more].concat()).await;
        let counted = (&own["archived"], &own["parked"], &own["known"]);
        assert_eq!(counted, (&0.into(), &0.into(), &5.into()), "{more:?}: {own}");
    }
    runs(&old, &["work", "start", "held", "--as", "ada"]).await;
    runs(&old, &["work", "progress", "held", "--as", "ada", "--note", "half"]).await;
    let own = json(&old, &["import", file]).await;
    assert_eq!((&own["known"], &own["parked"]), (&5.into(), &0.into()), "{own}");
    assert_eq!(
        old.head_of(&id("held")).await.record.snapshot.status.name(),
        "in_progress"
    );

    let new = TestMesh::start().await;
    let dry = json(&new, &["import", file, "--dry-run"]).await;
    assert_eq!((&dry["archived"], &dry["parked"]), (&2.into(), &3.into()), "{dry}");
    assert_eq!(messages(&new, "MESH_LEDGER").await, 0, "a dry run writes nothing");
    let told = json(&new, &["import", file]).await;
    let counted = (&told["archived"], &told["parked"], &told["known"]);
    assert_eq!(counted, (&2.into(), &3.into(), &0.into()), "{told}");
    eventually("all of it is found", SOON, async || {
        let listed = json(&new, &["intents", "list"]).await;
        match listed["matched"].as_u64() {
            Some(5) => Ok(()),
            _ => Err(listed.to_string()),
        }
    })
    .await;
    for (name, was) in &before {
        came_over(&new, name, was).await;
    }
    let again = json(&new, &["import", file]).await;
    assert_eq!((&again["known"], &again["parked"]), (&5.into(), &0.into()), "{again}");
    goes_on(&new).await;
    // What went on since is known all the same.
    let again = json(&new, &["import", file]).await;
    assert_eq!((&again["known"], &again["parked"]), (&5.into(), &0.into()), "{again}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broken_file_changes_nothing_and_what_is_there_is_not_overwritten() {
    let dir = TempDir::new().expect("a folder");
    let old = TestMesh::start().await;
    runs(&old, &["agents", "add", "reviewer", "--manual"]).await;
    for name in ["a", "b"] {
        runs(&old, &["send", "reviewer", "the work", "--id", name]).await;
    }
    let path = dir.path().join("export");
    let file = path.to_str().expect("UTF-8");
    runs(&old, &["export", file]).await;

    let new = TestMesh::start().await;
    let whole = std::fs::read(&path).expect("the file");
    let broken = dir.path().join("broken");
    let mut altered = whole.clone();
    let middle = altered.len() / 2;
    altered[middle] ^= 1;
    for bytes in [&altered, &whole[..whole.len() - 10], b"{}\n"] {
        std::fs::write(&broken, bytes).expect("written");
        let (exit, said) = run(&new, &["import", broken.to_str().expect("UTF-8")]).await;
        assert_eq!(exit, 1, "{said}");
        assert!(said.contains("BAD_EXPORT"), "{said}");
        assert_eq!(messages(&new, "MESH_LEDGER").await, 0, "{said}");
    }
    let (exit, said) = run(&new, &["import", "/nowhere/at/all"]).await;
    assert_eq!(exit, 2, "{said}");

    runs(&new, &["agents", "add", "reviewer", "--manual"]).await;
    runs(&new, &["send", "reviewer", "other work", "--id", "a"]).await;
    let there = new.head_of(&id("a")).await;
    let (exit, said) = run(&new, &["import", file]).await;
    assert_eq!(exit, 4, "{said}");
    assert!(said.contains("an intent of this id, which is pending"), "{said}");
    assert_eq!(new.head_of(&id("a")).await.seq, there.seq);
    assert_eq!(
        new.head_of(&id("b")).await.record.snapshot.status.to_string(),
        "parked(IMPORTED)"
    );
}

/// What is too large for a message, and what hops remember: the objects of a tree come with its intents.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_objects_of_a_tree_come_over_with_its_intents() {
    let dir = TempDir::new().expect("a folder");
    let in_folder = |name: &str| dir.path().join(name).to_str().expect("UTF-8").to_owned();
    let large: Vec<u8> = (0..600_000_u32).map(|place| b'a' + (place % 23) as u8).collect();
    let payload = in_folder("large.txt");
    std::fs::write(&payload, &large).expect("written");
    let old = TestMesh::start().await;
    let echo = agent("echo", |envelope| async move { Outcome::complete(&envelope.payload) });
    let echo = Running::start(old.server.url(), echo).await;
    old.until_version_is("echo", "1.0.0", "active").await;
    runs(&old, &["agents", "add", "reviewer", "--manual"]).await;
    runs(
        &old,
        &["send", "echo", "--payload-file", &payload, "--id", "ended", "--wait"],
    )
    .await;
    runs(&old, &["send", "reviewer", "--payload-file", &payload, "--id", "open"]).await;
    runs(&old, &["send", "reviewer", "small", "--id", "plain"]).await;
    echo.stop().await;
    let file = in_folder("export");
    let told = json(&old, &["export", &file]).await;
    // Three pieces and their list, in each of two trees; the result is the same content as the payload, or its JSON.
    let objects = messages(&old, "MESH_CONTEXT").await;
    assert_eq!(told["objects"], objects, "{told}");

    let new = TestMesh::start().await;
    let dry = json(&new, &["import", &file, "--dry-run"]).await;
    assert_eq!(
        (&dry["objects"], messages(&new, "MESH_CONTEXT").await),
        (&objects.into(), 0),
        "{dry}"
    );
    for _ in 0..2 {
        let told = json(&new, &["import", &file]).await;
        assert_eq!(
            (&told["objects"], &told["conflicts"]),
            (&objects.into(), &Value::Array(Vec::new())),
            "{told}"
        );
        assert_eq!(messages(&new, "MESH_CONTEXT").await, objects);
    }
    let result = new.run_baton(&["intents", "wait", "ended"]).await;
    assert_eq!(
        result.stdout.len(),
        large.len(),
        "{}",
        String::from_utf8_lossy(&result.stderr)
    );
    assert!(result.stdout == large, "other bytes");
    runs(&new, &["agents", "add", "reviewer", "--manual"]).await;
    new.redrive(&id("open"), &[]).await;
    let listed = json(&new, &["context", "list", "open"]).await;
    let object = listed["objects"][0]["object"].as_str();
    let object = object.unwrap_or_else(|| panic!("{listed}"));
    let got = new.run_baton(&["context", "get", object]).await;
    assert!(
        got.stdout == large,
        "other bytes: {}",
        String::from_utf8_lossy(&got.stderr)
    );

    // In the place of one is something else: it stays, and is named.
    let other = TestMesh::start().await;
    let client = other.server.client().await;
    let hash = object.rsplit('/').next().expect("a hash");
    let place = format!("mesh.context.open.{hash}");
    client.request(place, "junk".into()).await.expect("stored");
    let (exit, said) = run(&other, &["import", &file]).await;
    assert_eq!(exit, 4, "{said}");
    assert!(said.contains("are other bytes") && said.contains(hash), "{said}");
}
