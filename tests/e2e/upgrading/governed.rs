//! A store of protocol 1.6: what people have set there holds, and what it holds back goes on when they let it.

use baton_testkit::eventually;
use serde_json::Value;

use super::{Carried, PATIENCE, has};

const AGENTS: [&str; 10] = [
    "lead", "help", "slow", "gated", "broken", "few", "idle", "bad", "taker", "alone",
];

/// What comes of each without anybody's help.
const ALONE: [(&str, &str); 11] = [
    ("limited-1", "completed"),
    ("limited-2", "completed"),
    ("trip", "completed"),
    ("message", "completed"),
    ("taken-back", "cancelled"),
    // The one that stands in declines as well.
    ("declined", "rejected"),
    // These wait for somebody.
    ("behind-breaker", "pending"),
    ("behind-gate", "waiting"),
    ("paused-agent", "pending"),
    ("killed-agent", "pending"),
    ("unique", "waiting"),
];

/// What comes of it when they have come.
const HELPED: [(&str, &str); 5] = [
    ("behind-breaker", "completed"),
    ("behind-gate", "completed"),
    ("paused-agent", "completed"),
    ("killed-agent", "completed"),
    ("unique", "completed"),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_people_have_set_in_a_store_of_1a398d55_holds() {
    let mut mesh = Carried::unpack("1a398d55.tar.xz").await;
    mesh.controller();
    for agent in AGENTS {
        mesh.worker(agent, "1.0.0", &[]);
    }
    mesh.until(&ALONE).await;
    let schedules = mesh.document(&["schedules", "list"]).await.expect("schedules");
    let is_paused = |one: &Value| one["name"] == "paused" && one["paused"] != Value::Null && one["paused"] != false;
    assert!(has(&schedules, &is_paused), "{schedules}");
    let limits = mesh.document(&["agents", "limit", "few"]).await.expect("limits");
    assert!(has(&limits, &|one| one["in_flight"] == 1), "{limits}");
    let again = mesh
        .run(&["send", "lead", "wait go", "--unique", "job", "--id", "not-unique"])
        .await;
    assert!(
        String::from_utf8_lossy(&again.stdout).contains("unique")
            && !String::from_utf8_lossy(&again.stdout).contains("not-unique"),
        "{again:?}"
    );

    for args in [
        &["agents", "breaker", "broken", "--close"][..],
        &["approvals", "approve", "behind-gate", "--as", "ada"],
        &["agents", "resume", "idle"],
        &["agents", "resume", "bad"],
        &["signal", "unique", "go"],
        &["schedules", "resume", "paused"],
    ] {
        mesh.succeeds(args).await;
    }
    mesh.until(&HELPED).await;
    // However many firings were missed, one is made; the next may be due meanwhile.
    eventually("the schedule has fired", PATIENCE, async || {
        let list = mesh
            .document(&["intents", "list", "--agent", "alone", "--limit", "0"])
            .await?;
        let fired = list["intents"].as_array().map_or(0, Vec::len);
        (1..=2).contains(&fired).then_some(()).ok_or_else(|| list.to_string())
    })
    .await;
    // No line twice, and the step was taken back.
    mesh.effects();
    let shown = mesh.document(&["intents", "get", "taken-back"]).await.expect("it");
    let is_undone = |one: &Value| one["type"] == "compensated";
    assert!(has(&shown, &is_undone), "{shown}");
    eventually("doctor has nothing to say", PATIENCE, async || {
        let findings = mesh.findings().await;
        findings.is_empty().then_some(()).ok_or_else(|| findings.join("; "))
    })
    .await;
}
