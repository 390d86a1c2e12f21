//! Work that names the capabilities it needs, not an agent.

use std::time::Duration;

use baton_agent::{AgentBuilder, Capability, Fault, Outcome, RetryPolicy};
use baton_e2e::TestMesh;
use baton_e2e::chaos::{Running, SOON, agent, agent_at};
use baton_e2e::gated::{Gate, agent_of, id, ids_in, result, teller};
use baton_envelope::{Event, IntentId};
use baton_jetstream::{ControllerMesh, Filter};
use baton_testkit::{eventually, nats_cli};
use serde_json::Value;
use tempfile::TempDir;

use crate::nats_cli::{Publisher, publish, run, worker};

const TRANSLATE: &str = "mesh.capability.translate";

fn able(builder: AgentBuilder, capabilities: &[&str]) -> AgentBuilder {
    let once = RetryPolicy {
        max_attempts: 1,
        ..RetryPolicy::default()
    };
    capabilities
        .iter()
        .fold(builder.retry(once), |builder, one| builder.capability(*one))
}

/// Starts a version with these capabilities, and waits until it is known.
async fn start(mesh: &TestMesh, name: &str, version: &str, capabilities: &[&str], gate: &Gate) -> Running {
    let running = Running::start(mesh.server.url(), able(teller(name, version, gate), capabilities)).await;
    let state = if version == "1.0.0" { "active" } else { "ready" };
    mesh.until_version_is(name, version, state).await;
    running
}

/// Publishes work that needs translating, under an id, with more headers.
async fn ask(mesh: &TestMesh, intent: &str, more: &[(&str, &str)]) {
    let mut headers = vec![("Baton-Intent", intent)];
    headers.extend(more);
    publish(&mesh.server, TRANSLATE, &headers, b"otter").await;
}

/// Waits until the controllers see this load of an agent.
async fn until_load(mesh: &TestMesh, agent: &str, backlog: u64, workers: u64, breaker_open: bool) {
    eventually(
        &format!("{agent}: {backlog} for {workers}, {breaker_open}"),
        SOON,
        async || {
            let candidates = mesh.explain_capable(&["translate"], None).await.candidates;
            let is_so = candidates.iter().any(|one| {
                one.agent.as_str() == agent
                    && (one.backlog, one.workers, one.breaker_open) == (backlog, workers, breaker_open)
            });
            is_so.then_some(()).ok_or(format!("{candidates:?}"))
        },
    )
    .await;
}

/// The dead letters, as the CLI lists them: id and code.
async fn dead(mesh: &TestMesh) -> Vec<(String, String)> {
    let list = run(mesh.baton(&["dead", "list", "--output", "json"]))
        .await
        .exits(0)
        .json();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let dead = list["dead"].as_array().expect("a list").iter();
    dead.map(|one| (text(&one["intent"]), text(&one["snapshot"]["error"]["code"])))
        .collect()
}

// --- ways of asking ---------------------------------------------------------------------------------------------

#[tokio::test(flavor = "multi_thread")]
async fn nats_pub_of_a_capability_reaches_only_who_has_all_of_them() {
    if let Some(nats) = nats_cli().await {
        reaches_only_who_has_all_of_them(Publisher::NatsCli(nats)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn bare_publish_of_a_capability_reaches_only_who_has_all_of_them() {
    reaches_only_who_has_all_of_them(Publisher::BareClient).await;
}

async fn reaches_only_who_has_all_of_them(publisher: Publisher) {
    let (mesh, idle, busy) = (TestMesh::start().await, Gate::open(), Gate::shut());
    // By name and by load the first would be chosen every time.
    let _half = start(&mesh, "ann", "1.0.0", &["translate"], &idle).await;
    let _whole = start(&mesh, "zoe", "1.0.0", &["translate", "ocr"], &busy).await;
    for number in 0..12 {
        mesh.submit_to("zoe", &id(&format!("busy-{number}"))).await;
    }
    eventually("work waits for zoe", SOON, async || {
        let candidates = mesh.explain_capable(&["translate"], None).await.candidates;
        let waits = candidates
            .iter()
            .any(|one| one.agent.as_str() == "zoe" && one.backlog > 0);
        waits.then_some(()).ok_or(format!("{candidates:?}"))
    })
    .await;
    for number in 0..5 {
        let intent = format!("both-{number}");
        let headers = [("Baton-Capabilities", "ocr"), ("Baton-Intent", intent.as_str())];
        publisher.publish(&mesh.server, TRANSLATE, &headers, "otter").await;
    }
    publisher
        .publish(&mesh.server, TRANSLATE, &[("Baton-Intent", "one")], "otter")
        .await;
    assert_eq!(result(&mesh.until(&id("one"), "completed", SOON).await), "ann@1.0.0");
    busy.lift();
    for number in 0..5 {
        let head = mesh.until(&id(&format!("both-{number}")), "completed", SOON).await;
        assert_eq!(result(&head), "zoe@1.0.0");
    }
    assert_eq!(idle.came(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_cli_handlers_and_programs_ask_for_capabilities_too() {
    let (mesh, dir, idle) = (TestMesh::start().await, TempDir::new().expect("folder"), Gate::open());
    let _half = start(&mesh, "ann", "1.0.0", &["translate"], &idle).await;
    let _whole = start(&mesh, "zoe", "1.0.0", &["translate", "ocr"], &Gate::open()).await;
    let both = agent("front", |envelope| async move {
        let able = Capability::new("translate").and("ocr");
        Outcome::hand_off_to(able, &envelope.payload)
    });
    let one = agent("side", |envelope| async move {
        Outcome::hand_off_to("translate", &envelope.payload)
    });
    let _front = Running::start(mesh.server.url(), both).await;
    let _side = Running::start(mesh.server.url(), one).await;
    let program = r#"echo '{"outcome":"hand_off","capability":["translate","ocr"],"payload":1}'"#;
    let _program = worker(&mesh, dir.path(), "program", &["--json", "--exec", program]).await;
    let single = r#"echo '{"outcome":"hand_off","capability":"ocr","payload":1}'"#;
    let _single = worker(&mesh, dir.path(), "single", &["--json", "--exec", single]).await;

    let send = [
        "send",
        "--capability",
        "translate",
        "--capability",
        "ocr",
        "\"otter\"",
        "--wait",
    ];
    let sent = run(mesh.baton(&send)).await.exits(0);
    assert_eq!(sent.stdout.trim(), "zoe@1.0.0");
    for front in ["front", "program", "single"] {
        let intent = mesh.submit(&format!("by-{front}"), front, "1").await;
        assert_eq!(
            result(&mesh.until(&intent, "completed", SOON).await),
            "zoe@1.0.0",
            "{front}"
        );
    }
    assert_eq!(idle.came(), 0, "one that lacks a capability gets nothing");
    let intent = mesh.submit("by-side", "side", "1").await;
    assert_eq!(result(&mesh.until(&intent, "completed", SOON).await), "ann@1.0.0");
}

// --- who gets it ------------------------------------------------------------------------------------------------

#[tokio::test(flavor = "multi_thread")]
async fn the_fewest_waiting_for_each_live_worker_win() {
    let (mesh, gate) = (TestMesh::start().await, Gate::shut());
    let mut workers = Vec::new();
    for (name, count) in [("few", 1), ("many", 3)] {
        for _ in 0..count {
            let builder = able(teller(name, "1.0.0", &gate), &["translate"]).concurrency(1);
            workers.push(Running::start(mesh.server.url(), builder).await);
        }
        mesh.until_version_is(name, "1.0.0", "active").await;
        until_load(&mesh, name, 0, count, false).await;
    }
    for (name, count) in [("few", 4), ("many", 9)] {
        for number in 0..count {
            mesh.submit_to(name, &id(&format!("{name}-{number}"))).await;
        }
    }
    // 3 for 1 worker, and 6 for 3.
    until_load(&mesh, "few", 3, 1, false).await;
    until_load(&mesh, "many", 6, 3, false).await;
    ask(&mesh, "raw", &[]).await;
    let sent = ["send", "--capability", "translate", "1", "--id", "sent"];
    run(mesh.baton(&sent)).await.exits(0);
    for intent in ["raw", "sent"] {
        let head = mesh.until(&id(intent), "pending", SOON).await;
        assert_eq!(agent_of(&head), "many", "{intent}");
    }
    gate.lift();
    mesh.until(&id("sent"), "completed", SOON).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_open_breaker_loses_to_a_closed_one() {
    let mesh = TestMesh::start().await;
    // A breaker stays open for a minute: the binary must be built before.
    run(mesh.baton(&["--version"])).await.exits(0);
    let broken = agent("ann", |_| async { Err(Fault::retry("out of order")) });
    let _broken = Running::start(mesh.server.url(), able(broken, &["translate"])).await;
    mesh.until_version_is("ann", "1.0.0", "active").await;
    for number in 0..3 {
        let intent = format!("parked-{number}");
        ask(&mesh, &intent, &[]).await;
        mesh.until(&id(&intent), "parked", SOON).await;
    }
    until_load(&mesh, "ann", 0, 1, true).await;
    // If there is nobody else, it waits for the broken one.
    ask(&mesh, "alone", &[]).await;
    mesh.until(&id("alone"), "pending", SOON).await;
    let _sound = start(&mesh, "zoe", "1.0.0", &["translate"], &Gate::open()).await;
    until_load(&mesh, "zoe", 0, 1, false).await;
    let send = ["send", "--capability", "translate", "1", "--wait"];
    assert_eq!(run(mesh.baton(&send)).await.exits(0).stdout.trim(), "zoe@1.0.0");
    ask(&mesh, "beside", &[]).await;
    assert_eq!(result(&mesh.until(&id("beside"), "completed", SOON).await), "zoe@1.0.0");
    assert_eq!(agent_of(&mesh.head_of(&id("alone")).await), "ann");
    mesh.until(&id("alone"), "pending", SOON).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_only_the_canary_can_do_it_gets_for_its_share_of_the_chains() {
    let mesh = TestMesh::start().await;
    let _old = start(&mesh, "code", "1.0.0", &["code"], &Gate::open()).await;
    let _new = start(&mesh, "code", "2.0.0", &["code", "translate"], &Gate::open()).await;
    mesh.start_rollout("code", "2.0.0", &[50, 100]).await;
    for intent in ids_in("low", 0..50).take(5) {
        ask(&mesh, intent.as_str(), &[]).await;
        assert_eq!(result(&mesh.until(&intent, "completed", SOON).await), "code@2.0.0");
    }
    for intent in ids_in("high", 50..100).take(5) {
        ask(&mesh, intent.as_str(), &[]).await;
        let head = mesh.until(&intent, "rejected", SOON).await;
        assert_eq!(
            head.record.event,
            Event::Rejected {
                code: "NONE_CAPABLE".to_owned()
            }
        );
    }
    mesh.promote("code", true).await;
    for intent in ids_in("all", 50..100).take(5) {
        ask(&mesh, intent.as_str(), &[]).await;
        assert_eq!(result(&mesh.until(&intent, "completed", SOON).await), "code@2.0.0");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pin_to_a_version_that_is_not_able_is_not_passed_over() {
    let (mesh, gate) = (TestMesh::start().await, Gate::open());
    let _old = start(&mesh, "code", "1.0.0", &[], &gate).await;
    let _new = start(&mesh, "code", "2.0.0", &["translate"], &gate).await;
    mesh.start_rollout("code", "2.0.0", &[100]).await;
    let front = agent_at("front", "1.0.0", |envelope| async move {
        Outcome::hand_off_to("translate", &envelope.payload)
    });
    let _front = Running::start(mesh.server.url(), able(front, &[])).await;
    mesh.until_version_is("front", "1.0.0", "active").await;
    let mut pinned = mesh.envelope("pinned", "front", "1");
    pinned
        .pins
        .insert("code".parse().expect("name"), "1.0.0".parse().expect("version"));
    let pinned = mesh.submit_envelope(pinned).await;
    let head = mesh.until(&pinned, "parked", SOON).await;
    let error = head.record.snapshot.error.expect("an error");
    // It lacks the capability, and by then it may be drained as well.
    assert!(
        error.code == "NONE_CAPABLE" && error.message.contains("code 1.0.0: "),
        "{error:?}"
    );
    assert_eq!(gate.came(), 0);
    let free = mesh.submit("free", "front", "1").await;
    assert_eq!(result(&mesh.until(&free, "completed", SOON).await), "code@2.0.0");
}

// --- none, and twice --------------------------------------------------------------------------------------------

#[tokio::test(flavor = "multi_thread")]
async fn when_none_is_able_work_is_rejected_or_held_until_one_is() {
    let mesh = TestMesh::start().await;
    let _other = start(&mesh, "ann", "1.0.0", &["ocr"], &Gate::open()).await;
    ask(&mesh, "refused", &[]).await;
    let hold = ("Baton-When-None", "hold");
    ask(&mesh, "held", &[hold]).await;
    ask(&mesh, "too-late", &[hold, ("Baton-Deadline", "1s")]).await;
    ask(&mesh, "bad", &[hold, ("Baton-Priority", "99")]).await;
    ask(&mesh, "policy", &[("Baton-When-None", "sometimes")]).await;
    let held = [
        "send",
        "--capability",
        "translate",
        "1",
        "--id",
        "sent",
        "--when-none",
        "hold",
    ];
    run(mesh.baton(&held)).await.exits(0);
    for (intent, code) in [
        ("refused", "NONE_CAPABLE"),
        ("too-late", "DEADLINE_PAST"),
        ("bad", "BAD_HEADER"),
        ("policy", "BAD_HEADER"),
    ] {
        let head = mesh.until(&id(intent), "rejected", SOON).await;
        let error = head.record.snapshot.error.expect("an error");
        assert_eq!(error.code, code, "{intent}: {error:?}");
        assert!(
            dead(&mesh).await.contains(&(intent.to_owned(), code.to_owned())),
            "{intent}"
        );
        if code == "NONE_CAPABLE" {
            assert!(error.message.contains("ann 1.0.0: lacks translate"), "{error:?}");
        }
    }
    for intent in ["held", "sent"] {
        assert!(
            mesh.mesh.head(&id(intent)).await.expect("an answer").is_none(),
            "{intent} is in the intake"
        );
    }
    let refused = run(mesh.baton(&["send", "--capability", "translate", "1"])).await;
    assert_ne!(refused.code, Some(0), "{refused:#?}");
    refused.says(&["ann 1.0.0: lacks translate"]);

    let _able = start(&mesh, "zoe", "1.0.0", &["translate"], &Gate::open()).await;
    for intent in ["held", "sent"] {
        assert_eq!(result(&mesh.until(&id(intent), "completed", SOON).await), "zoe@1.0.0");
    }
    mesh.until_intake_is_empty().await;
    assert_eq!(dead(&mesh).await.len(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn published_twice_it_runs_once_whoever_would_be_better_or_nobody_any_more() {
    let (mesh, gate) = (TestMesh::start().await, Gate::open());
    let first = start(&mesh, "zoe", "1.0.0", &["translate"], &gate).await;
    let intents: Vec<IntentId> = (0..5).map(|number| id(&format!("twice-{number}"))).collect();
    let all = async || {
        for intent in &intents {
            ask(&mesh, intent.as_str(), &[]).await;
            // Another message of the same work, with the other header that an id may have.
            publish(&mesh.server, TRANSLATE, &[("Nats-Msg-Id", intent.as_str())], b"otter").await;
        }
        mesh.until_intake_is_empty().await;
    };
    all().await;
    for intent in &intents {
        assert_eq!(result(&mesh.until(intent, "completed", SOON).await), "zoe@1.0.0");
    }
    // Now another one comes first by name.
    let better = start(&mesh, "ann", "1.0.0", &["translate"], &gate).await;
    until_load(&mesh, "ann", 0, 1, false).await;
    ask(&mesh, "new", &[]).await;
    assert_eq!(result(&mesh.until(&id("new"), "completed", SOON).await), "ann@1.0.0");
    all().await;
    // And now nobody has the capability any more.
    for (running, name) in [(first, "zoe"), (better, "ann")] {
        running.stop().await;
        let _unable = start(&mesh, name, "1.0.1", &[], &gate).await;
        // By hand: a rollout would refuse a version that lacks a capability of the previous one.
        let (agent, version) = (name.parse().expect("name"), "1.0.1".parse().expect("version"));
        ControllerMesh::of(&mesh.mesh)
            .set_route(&agent, &version, "test", false)
            .await
            .expect("set");
    }
    eventually("nobody is able", Duration::from_secs(15), async || {
        let explained = mesh.explain_capable(&["translate"], None).await;
        explained.agent.is_none().then_some(()).ok_or(explained.why)
    })
    .await;
    all().await;
    assert_eq!(gate.came(), intents.len() + 1);
    assert_eq!(dead(&mesh).await, []);
    let heads = mesh.mesh.list(&Filter::default()).await.expect("listed").heads;
    assert_eq!(heads.len(), intents.len() + 1);
}
