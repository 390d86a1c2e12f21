//! Agents without a common version of the protocol: nothing is delivered that the other cannot read, and held work goes
//! on once one of them is upgraded.

use baton_agent::{AgentBuilder, RetryPolicy};
use baton_e2e::TestMesh;
use baton_e2e::chaos::{Running, SOON};
use baton_e2e::gated::{Gate, agent_of, id, passer, passer_at, result, teller};
use baton_envelope::{Author, IntentId, Protocol, ProtocolRange, Role};
use baton_jetstream::{Head, Redrive, Redriven};
use serde_json::Value;

use crate::nats_cli::{publish, run};

const V1: Protocol = Protocol::new(1, 0, 0);
const V2: Protocol = Protocol::new(2, 0, 0);
const V3: Protocol = Protocol::new(3, 0, 0);

fn reads(builder: AgentBuilder, oldest: Protocol, newest: Protocol) -> AgentBuilder {
    let once = RetryPolicy {
        max_attempts: 1,
        ..RetryPolicy::default()
    };
    builder
        .protocol(ProtocolRange::new(oldest, newest).expect("range"))
        .retry(once)
}

/// Checks that an intent ended for lack of a common version, and that its error names both ranges.
fn assert_no_common(head: &Head, ranges: [&str; 2]) {
    let error = head.record.snapshot.error.as_ref().expect("an error");
    assert_eq!(error.code, "NO_COMMON_PROTOCOL", "{error:?}");
    for range in ranges {
        assert!(error.message.contains(range), "{range}: {error:?}");
    }
}

/// Puts a rejected raw intent back, which gets a new id.
async fn again(mesh: &TestMesh, intent: &IntentId) -> IntentId {
    let by = Author::of(Role::Operator, "test");
    match mesh
        .mesh
        .redrive(intent, &Redrive::default(), by)
        .await
        .expect("redriven")
    {
        Redriven::Republished { intent } => intent,
        other @ Redriven::Put { .. } => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn work_for_a_version_that_reads_nothing_of_it_is_parked_or_rejected_and_goes_on_once_that_is_mended() {
    let (mesh, gate) = (TestMesh::start().await, Gate::open());
    let url = mesh.server.url();
    let _front = Running::start(url, reads(passer("front", "back", &Gate::open()), V1, V1)).await;
    mesh.until_version_is("front", "1.0.0", "active").await;
    let back = Running::start(url, reads(teller("back", "3.0.0", &gate), V3, V3)).await;
    mesh.until_version_is("back", "3.0.0", "active").await;

    let handed = mesh.submit("handed", "front", "1").await;
    let head = mesh.until(&handed, "parked", SOON).await;
    assert_no_common(&head, ["1.0.0 - 1.0.0", "3.0.0 - 3.0.0"]);
    // The agent that could not hand it on still has it.
    assert_eq!(agent_of(&head), "front");
    assert_eq!(head.record.snapshot.hop, 1);

    let raw = [("Baton-Intent", "raw")];
    publish(&mesh.server, "mesh.intent.back", &raw, b"1").await;
    let enveloped = r#"{"protocol":"1.0.0","id":"0193a0f0-0000-7000-8000-000000000001","intent":"enveloped",
        "to":"back","hop":1,"payload":1,"acme":1.50}"#;
    let header = [("Baton-Protocol", "1.0.0")];
    publish(&mesh.server, "mesh.intent.back", &header, enveloped.as_bytes()).await;
    for intent in ["raw", "enveloped"] {
        let head = mesh.until(&id(intent), "rejected", SOON).await;
        assert_no_common(&head, ["1.0.0 - 2.0.0", "3.0.0 - 3.0.0"]);
    }
    let dead = run(mesh.baton(&["dead", "list"])).await.exits(0).stdout;
    for part in ["handed", "raw", "enveloped", "NO_COMMON_PROTOCOL"] {
        assert!(dead.contains(part), "{part}: {dead}");
    }
    assert_eq!(gate.came(), 0, "nothing reached it");

    back.stop().await;
    let _mended = Running::start(url, reads(teller("back", "3.0.1", &gate), V1, V3)).await;
    mesh.until_version_is("back", "3.0.1", "ready").await;
    mesh.start_rollout("back", "3.0.1", &[]).await;
    mesh.redrive(&handed, &[]).await;
    for intent in [
        handed,
        again(&mesh, &id("raw")).await,
        again(&mesh, &id("enveloped")).await,
    ] {
        let head = mesh.until(&intent, "completed", SOON).await;
        assert_eq!(result(&head), "back@3.0.1", "{intent}");
    }
    assert_eq!(gate.came(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sender_that_writes_only_the_old_major_hands_nothing_to_one_that_reads_only_the_new_one() {
    let (mesh, gate) = (TestMesh::start().await, Gate::open());
    let url = mesh.server.url();
    let _front = Running::start(url, reads(passer("front", "back", &Gate::open()), V1, V1)).await;
    mesh.until_version_is("front", "1.0.0", "active").await;
    let _back = Running::start(url, reads(teller("back", "1.0.0", &gate), V2, V2)).await;
    mesh.until_version_is("back", "1.0.0", "active").await;

    let handed = mesh.submit("handed", "front", "1").await;
    let head = mesh.until(&handed, "parked", SOON).await;
    assert_no_common(&head, ["1.0.0 - 1.0.0", "2.0.0 - 2.0.0"]);
    assert_eq!(gate.came(), 0);
    // The mesh itself writes what it reads.
    publish(&mesh.server, "mesh.intent.back", &[("Baton-Intent", "raw")], b"1").await;
    mesh.until(&id("raw"), "completed", SOON).await;

    // Its sender is upgraded to one that writes both.
    let newer = passer_at("front", "1.1.0", "back", &Gate::open());
    let _newer = Running::start(url, reads(newer, V1, V2)).await;
    mesh.until_version_is("front", "1.1.0", "ready").await;
    mesh.start_rollout("front", "1.1.0", &[]).await;
    mesh.redrive(&handed, &[]).await;
    let head = mesh.until(&handed, "completed", SOON).await;
    assert_eq!(result(&head), "back@1.0.0");
    let path: Vec<String> = head
        .record
        .snapshot
        .path
        .iter()
        .map(|one| format!("{}@{}", one.agent, one.version))
        .collect();
    assert_eq!(path.last().map(String::as_str), Some("back@1.0.0"), "{path:?}");
    assert!(path.contains(&"front@1.1.0".to_owned()), "{path:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_that_no_neighbour_can_talk_to_fails_the_check_of_the_protocol() {
    let mesh = TestMesh::start().await;
    let url = mesh.server.url();
    let open = Gate::open();
    let mut workers = Vec::new();
    for name in ["code", "review"] {
        workers.push(Running::start(url, reads(teller(name, "1.0.0", &open), V1, V1)).await);
        mesh.until_version_is(name, "1.0.0", "active").await;
    }
    for (version, oldest, newest) in [("2.0.0", V2, V2), ("2.0.1", V1, V2)] {
        workers.push(Running::start(url, reads(teller("code", version, &open), oldest, newest)).await);
        mesh.until_version_is("code", version, "ready").await;
    }
    let plan = run(mesh.baton(&["rollout", "plan", "code", "2.0.0", "--output", "json"]))
        .await
        .exits(4)
        .json();
    let failed: Vec<&Value> = plan["checks"]
        .as_array()
        .expect("checks")
        .iter()
        .filter(|check| check["passed"] == false)
        .collect();
    assert_eq!(failed.len(), 1, "{plan}");
    let (check, text) = (failed[0], |name: &str| {
        failed[0][name].as_str().unwrap_or_default().to_owned()
    });
    assert_eq!(check["name"], "protocol", "{plan}");
    for part in ["2.0.0 - 2.0.0", "review@1.0.0", "1.0.0 - 1.0.0"] {
        assert!(text("detail").contains(part), "{part}: {check}");
    }
    assert!(text("fix").contains("older version of the protocol"), "{check}");

    run(mesh.baton(&["rollout", "start", "code", "2.0.0", "--manual"]))
        .await
        .exits(4)
        .says(&["protocol", "review@1.0.0", "--force"]);
    let status = mesh.status_of("code").await;
    assert!(status.canary.is_none() && status.rollout.is_none(), "{status:?}");

    // A version that reads the older form too may be rolled out.
    let plan = run(mesh.baton(&["rollout", "plan", "code", "2.0.1", "--output", "json"]))
        .await
        .exits(0)
        .json();
    assert_eq!(plan["passed"], true, "{plan}");
    run(mesh.baton(&["rollout", "start", "code", "2.0.1", "--manual"]))
        .await
        .exits(0);
}
