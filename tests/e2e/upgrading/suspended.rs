//! A store of protocol 1.5: what waits there goes on, its children are joined, and its turns are kept.

use baton_testkit::eventually;
use serde_json::Value;

use super::{Carried, PATIENCE, has};

/// The agents whose workers come back, with more arguments.
const WORKERS: [(&str, &[&str]); 5] = [
    ("lead", &[]),
    ("help", &[]),
    ("slow", &[]),
    ("till", &[]),
    ("fatal", &["--max-attempts", "1"]),
];

/// What comes of each without anybody's help.
const ALONE: [(&str, &str); 20] = [
    ("wait-early", "completed"),
    ("wait-nap", "completed"),
    ("delayed", "completed"),
    ("call-done", "completed"),
    ("call-any", "completed"),
    ("call-deep", "completed"),
    ("call-told", "completed"),
    ("call-queued", "completed"),
    ("call-cancelled", "cancelled"),
    ("key-1", "completed"),
    ("key-2", "completed"),
    ("key-3", "completed"),
    ("key-4", "completed"),
    ("beside-1", "completed"),
    // These wait for somebody.
    ("wait-signal", "waiting"),
    ("wait-people", "waiting"),
    ("wait-paused", "parked"),
    ("call-open", "waiting"),
    ("stuck-1", "parked"),
    ("stuck-2", "waiting"),
];

/// What comes of it when they have come.
const HELPED: [(&str, &str); 8] = [
    ("wait-signal", "completed"),
    ("wait-people", "completed"),
    ("wait-paused", "completed"),
    ("call-open", "completed"),
    ("stuck-1", "completed"),
    ("stuck-2", "completed"),
    ("hand-taken", "completed"),
    ("hand-free", "pending"),
];

/// What those that asked others complete with: what each child came to, in order.
const JOINED: [(&str, &str); 5] = [
    ("call-done", "completed failed"),
    ("call-told", "completed failed"),
    ("call-queued", "completed completed"),
    ("call-deep", "completed"),
    ("call-open", "completed completed completed failed"),
];

impl Carried {
    /// The intents that did this, in the order in which they did it.
    fn order_of(&self, prefix: &str) -> Vec<String> {
        let text = std::fs::read_to_string(self.file("effects")).expect("effects");
        let lines = text.lines().filter(|line| line.starts_with(prefix));
        lines
            .map(|line| line.split(':').next().unwrap_or_default().to_owned())
            .collect()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waits_in_a_store_of_4fd6dc93_goes_on() {
    let mut mesh = Carried::unpack("4fd6dc93.tar.xz").await;
    mesh.controller();
    for (agent, more) in WORKERS {
        mesh.worker(agent, "1.0.0", more);
    }
    mesh.until(&ALONE).await;

    // Signals, the second of two votes, and people who mend, take back and do.
    let tree = mesh.document(&["intents", "tree", "call-open"]).await.expect("a tree");
    let third = tree.pointer("/calls/0/children/2/intent").and_then(Value::as_str);
    let third = third.expect("the third child").to_owned();
    for args in [
        &["signal", "wait-signal", "go"][..],
        &["signal", &third, "go"],
        &["approvals", "approve", "wait-people", "--as", "bob"],
        &["intents", "resume", "wait-paused"],
        &["signal", "wait-paused", "go"],
        &["dead", "redrive", "stuck-1"],
        &["work", "complete", "hand-taken", "--as", "ada"],
    ] {
        mesh.succeeds(args).await;
    }
    mesh.until(&HELPED).await;
    for (intent, came) in JOINED {
        let shown = mesh.document(&["intents", "get", intent]).await.expect(intent);
        assert!(has(&shown, &|one| one["result"] == came), "{intent}: {shown}");
    }
    // Nothing was done twice, and each key in the order of its places.
    mesh.effects();
    assert_eq!(mesh.order_of("key-"), ["key-1", "key-2", "key-3", "key-4"]);
    assert_eq!(mesh.order_of("stuck-"), ["stuck-1", "stuck-2"]);

    // What is new works with what was there.
    eventually("the mesh is raised", PATIENCE, async || {
        let left = mesh.findings().await.join("; ");
        if left.contains("topology") { Err(left) } else { Ok(()) }
    })
    .await;
    let send = [
        "send",
        "--channel",
        "news",
        "ok",
        "--receiver",
        "help",
        "--receiver",
        "slow",
        "--wait",
    ];
    let sent = mesh.succeeds(&send).await;
    let came: Value = serde_json::from_slice(&sent.stdout).expect("JSON");
    assert_eq!(
        (&came["receivers"], &came["completed"]),
        (&2.into(), &2.into()),
        "{came}"
    );
    let sent = mesh
        .succeeds(&["send", "slow", "next ok", "--itinerary", "help", "--wait"])
        .await;
    assert_eq!(String::from_utf8_lossy(&sent.stdout).trim(), "help 1.0.0");
    mesh.succeeds(&["send", "lead", "wait go", "--id", "taken-back"]).await;
    mesh.until(&[("taken-back", "waiting")]).await;
    mesh.succeeds(&[
        "intents",
        "cancel",
        "taken-back",
        "--undo",
        "--reason",
        "no longer wanted",
    ])
    .await;
    mesh.until(&[("taken-back", "cancelled")]).await;
}
