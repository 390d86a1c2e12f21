//! Rollouts whose publishers have only the `nats` CLI.

use baton_e2e::TestMesh;
use baton_e2e::chaos::{Running, SOON};
use baton_e2e::gated::{Gate, ids_in, passer, result, teller, version_of};
use baton_envelope::{IntentId, canary_bucket};
use baton_testkit::{eventually, nats_cli};

use crate::nats_cli::Publisher;

const CODE: &str = "mesh.intent.code";

/// Version 1.0.0 is active, and 2.0.0 has half of the chains, but takes only reports and letters.
async fn half_and_half(mesh: &TestMesh) -> [Running; 2] {
    let url = mesh.server.url();
    let old = Running::start(url, teller("code", "1.0.0", &Gate::open())).await;
    mesh.until_version_is("code", "1.0.0", "active").await;
    let new = teller("code", "2.0.0", &Gate::open()).kind("report").kind("letter");
    let new = Running::start(url, new).await;
    mesh.until_version_is("code", "2.0.0", "ready").await;
    mesh.start_rollout("code", "2.0.0", &[50, 100]).await;
    [old, new]
}

async fn expect(mesh: &TestMesh, intent: &IntentId, version: &str) {
    let head = mesh.until(intent, "completed", SOON).await;
    let said = (version_of(&head), result(&head));
    let bucket = canary_bucket(intent);
    assert_eq!(
        said,
        (version.to_owned(), format!("code@{version}")),
        "{intent}, bucket {bucket}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn nats_pub_splits_by_bucket_and_by_kind() {
    if let Some(nats) = nats_cli().await {
        splits_by_bucket_and_by_kind(Publisher::NatsCli(nats)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn bare_publish_splits_by_bucket_and_by_kind() {
    splits_by_bucket_and_by_kind(Publisher::BareClient).await;
}

async fn splits_by_bucket_and_by_kind(publisher: Publisher) {
    let mesh = TestMesh::start().await;
    let _workers = half_and_half(&mesh).await;
    let mut expected = Vec::new();
    for (number, intent) in ids_in("any", 0..100).take(24).enumerate() {
        let kind = ["", "report", "letter", "invoice"][number % 4];
        let mut headers = vec![("Baton-Intent", intent.as_str())];
        headers.extend((!kind.is_empty()).then_some(("Baton-Kind", kind)));
        publisher.publish(&mesh.server, CODE, &headers, "otter").await;
        let is_canary = canary_bucket(&intent) < 50 && kind != "invoice";
        expected.push((intent.clone(), if is_canary { "2.0.0" } else { "1.0.0" }));
    }
    for (intent, version) in &expected {
        expect(&mesh, intent, version).await;
    }
    let new = expected.iter().filter(|(_, version)| *version == "2.0.0").count();
    assert!((1..24).contains(&new), "both versions had some: {expected:?}");

    // A chain without an id is split by the id that the router gives it.
    publisher
        .publish(&mesh.server, CODE, &[("Baton-Kind", "report")], "nameless")
        .await;
    let nameless = eventually("it is done", SOON, async || {
        let heads = mesh
            .mesh
            .list(&baton_jetstream::Filter::default())
            .await
            .map_err(|error| error.to_string())?
            .heads;
        let known = |intent: &IntentId| expected.iter().any(|(one, _)| one == intent);
        let head = heads.into_iter().find(|head| !known(&head.record.intent));
        let head = head.filter(|head| head.record.snapshot.status.name() == "completed");
        head.ok_or_else(|| "not yet".to_owned())
    })
    .await;
    let version = if canary_bucket(&nameless.record.intent) < 50 {
        "2.0.0"
    } else {
        "1.0.0"
    };
    assert_eq!(version_of(&nameless), version);

    // And everything goes back at once.
    mesh.rollback("code").await;
    for intent in ids_in("back", 0..50).take(4) {
        publisher
            .publish(&mesh.server, CODE, &[("Baton-Intent", intent.as_str())], "otter")
            .await;
        expect(&mesh, &intent, "1.0.0").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nats_pub_with_the_pinning_header_holds_the_chain_to_the_versions_of_its_moment() {
    if let Some(nats) = nats_cli().await {
        holds_the_chain(Publisher::NatsCli(nats)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn bare_publish_with_the_pinning_header_holds_the_chain_to_the_versions_of_its_moment() {
    holds_the_chain(Publisher::BareClient).await;
}

async fn holds_the_chain(publisher: Publisher) {
    let (mesh, gate) = (TestMesh::start().await, Gate::shut());
    let url = mesh.server.url();
    let _old = Running::start(url, teller("code", "1.0.0", &Gate::open())).await;
    mesh.until_version_is("code", "1.0.0", "active").await;
    let _front = Running::start(url, passer("front", "code", &gate)).await;
    mesh.until_version_is("front", "1.0.0", "active").await;
    let ids: Vec<IntentId> = ids_in("chain", 0..50).take(4).collect();
    for (number, intent) in ids.iter().enumerate() {
        let pinning = if number < 2 { "chain" } else { "hop" };
        let headers = [("Baton-Intent", intent.as_str()), ("Baton-Pinning", pinning)];
        publisher
            .publish(&mesh.server, "mesh.intent.front", &headers, "otter")
            .await;
    }
    eventually("all are held", SOON, async || {
        (gate.came() == 4).then_some(()).ok_or(gate.came().to_string())
    })
    .await;
    let _new = Running::start(url, teller("code", "2.0.0", &Gate::open())).await;
    mesh.until_version_is("code", "2.0.0", "ready").await;
    mesh.start_rollout("code", "2.0.0", &[]).await;
    // The old version is not drained while chains are pinned to it.
    let drain = mesh
        .until_held("code", "1.0.0", "two pinned chains", |drain| drain.open == 2)
        .await;
    assert_eq!(drain.state.name(), "draining");
    assert_eq!(drain.holds.len(), 1, "{drain:?}");
    assert_eq!(drain.holds[0].cause.to_string(), "chain_pinned", "{drain:?}");
    gate.lift();
    for (number, intent) in ids.iter().enumerate() {
        expect(&mesh, intent, if number < 2 { "1.0.0" } else { "2.0.0" }).await;
    }
    mesh.until_version_is("code", "1.0.0", "drained").await;

    let bad = ids_in("bad", 0..100).next().expect("an id");
    let headers = [("Baton-Intent", bad.as_str()), ("Baton-Pinning", "sometimes")];
    publisher.publish(&mesh.server, CODE, &headers, "otter").await;
    let head = mesh.until(&bad, "rejected", SOON).await;
    let error = head.record.snapshot.error.expect("an error");
    assert!(
        error.code == "BAD_HEADER" && error.message.contains("Baton-Pinning"),
        "{error:?}"
    );
}
