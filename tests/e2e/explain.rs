//! `baton route explain` says which version takes work, and why; and that is what happens.

use std::collections::BTreeMap;

use baton_agent::Outcome;
use baton_e2e::TestMesh;
use baton_e2e::chaos::{Running, SOON, agent};
use baton_e2e::gated::{Gate, id, passer, result, teller, version_of};
use baton_envelope::{IntentId, canary_bucket};
use baton_testkit::eventually;

use crate::nats_cli::run;

const COUNT: usize = 100;

#[tokio::test(flavor = "multi_thread")]
#[expect(clippy::too_many_lines, reason = "one mesh, step by step")]
async fn what_is_explained_is_what_then_happens() {
    let (mesh, gate) = (TestMesh::start().await, Gate::shut());
    let url = mesh.server.url();
    let _old = Running::start(url, teller("code", "1.0.0", &Gate::open())).await;
    mesh.until_version_is("code", "1.0.0", "active").await;
    let new = teller("code", "2.0.0", &Gate::open()).kind("report").kind("letter");
    let _new = Running::start(url, new).await;
    mesh.until_version_is("code", "2.0.0", "ready").await;
    // Wide enough to hold all of them.
    let _front = Running::start(url, passer("front", "code", &gate).concurrency(200)).await;
    mesh.until_version_is("front", "1.0.0", "active").await;
    mesh.start_rollout("code", "2.0.0", &[50, 100]).await;

    let kinds = [None, Some("report"), Some("letter"), Some("invoice")];
    let mut intents: Vec<IntentId> = Vec::new();
    for number in 0..COUNT {
        let random = mesh.mesh.clock().intent_id();
        let mut envelope = mesh.envelope(random.as_str(), "front", "1");
        envelope.kind = kinds[number % kinds.len()].map(str::to_owned);
        if number % 7 == 0 {
            let version = if number % 2 == 0 { "1.0.0" } else { "2.0.0" };
            envelope
                .pins
                .insert("code".parse().expect("name"), version.parse().expect("version"));
        }
        intents.push(mesh.submit_envelope(envelope).await);
    }
    eventually("all are held", SOON, async || {
        (gate.came() == COUNT).then_some(()).ok_or(gate.came().to_string())
    })
    .await;

    let mut said: BTreeMap<IntentId, (String, String)> = BTreeMap::new();
    for intent in &intents {
        let explained = mesh.explain("code", intent).await;
        let version = explained.version.map(|version| version.to_string()).unwrap_or_default();
        let able: Vec<_> = explained
            .candidates
            .iter()
            .filter(|one| one.able)
            .map(|one| one.version.to_string())
            .collect();
        assert_eq!(able, std::slice::from_ref(&version));
        said.insert(intent.clone(), (version, explained.why));
    }
    // The binary says the same.
    for intent in intents.iter().take(5) {
        let (version, why) = &said[intent];
        let shown = run(mesh.baton(&["route", "explain", "code", "--intent", intent.as_str()]))
            .await
            .exits(0)
            .stdout;
        assert!(
            shown.starts_with(&format!("code@{version} would take it: {why}")),
            "{shown}"
        );
    }
    gate.lift();
    let mut reasons: BTreeMap<&str, usize> = BTreeMap::new();
    for (number, intent) in intents.iter().enumerate() {
        let head = mesh.until(intent, "completed", SOON).await;
        let (version, why) = &said[intent];
        assert_eq!(
            (&version_of(&head), result(&head)),
            (version, format!("code@{version}")),
            "{intent}: {why}"
        );
        // And it agrees with the rules, computed another way.
        let bucket = canary_bucket(intent);
        let takes = kinds[number % kinds.len()] != Some("invoice");
        let (rule, expected) = match (number % 7 == 0, bucket < 50, takes) {
            (true, _, _) => ("pinned", if number % 2 == 0 { "1.0.0" } else { "2.0.0" }),
            (false, true, true) => ("is below the canary's 50 %", "2.0.0"),
            (false, true, false) => ("2.0.0 does not take this kind", "1.0.0"),
            (false, false, _) => ("it is active", "1.0.0"),
        };
        assert!(
            version == expected && why.contains(rule),
            "{intent}, bucket {bucket}: {version}, {why}"
        );
        *reasons.entry(rule).or_default() += 1;
    }
    assert_eq!(reasons.len(), 4, "{reasons:?}");

    // A chain keeps its version after its first turn, whatever the route says now.
    mesh.rollback("code").await;
    let (intent, _) = said
        .iter()
        .find(|(_, (version, why))| version == "2.0.0" && why.contains("below"))
        .expect("one");
    let explained = mesh.explain("code", intent).await;
    let state = mesh.status_of("code").await.drains;
    if state.iter().any(|drain| drain.state.name() == "draining") {
        assert_eq!(
            explained.version.map(|version| version.to_string()).as_deref(),
            Some("2.0.0"),
            "{}",
            explained.why
        );
    }
    mesh.until_version_is("code", "2.0.0", "drained").await;
    let explained = mesh.explain("code", intent).await;
    assert_eq!(
        explained.version.map(|version| version.to_string()).as_deref(),
        Some("1.0.0"),
        "{}",
        explained.why
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_explained_of_a_capability_is_what_then_happens() {
    let (mesh, gate) = (TestMesh::start().await, Gate::shut());
    let url = mesh.server.url();
    let _old = Running::start(url, teller("code", "1.0.0", &Gate::open())).await;
    mesh.until_version_is("code", "1.0.0", "active").await;
    let _new = Running::start(url, teller("code", "2.0.0", &Gate::open()).capability("translate")).await;
    mesh.until_version_is("code", "2.0.0", "ready").await;
    let _other = Running::start(url, teller("other", "1.0.0", &Gate::open()).capability("translate")).await;
    mesh.until_version_is("other", "1.0.0", "active").await;
    let held = gate.clone();
    let front = agent("front", move |envelope| {
        let gate = held.clone();
        async move {
            gate.pass().await;
            Outcome::hand_off_to("translate", &envelope.payload)
        }
    });
    let _front = Running::start(url, front.concurrency(200)).await;
    mesh.until_version_is("front", "1.0.0", "active").await;
    mesh.start_rollout("code", "2.0.0", &[50, 100]).await;
    let mut said = BTreeMap::new();
    for number in 0..20 {
        let intent = mesh.submit(&format!("asked-{number}"), "front", "1").await;
        let explained = eventually("the loads are known", SOON, async || {
            let explained = mesh.explain_capable(&["translate"], Some(&intent)).await;
            let known = explained
                .candidates
                .iter()
                .filter(|one| one.able)
                .all(|one| one.workers == 1);
            known.then_some(explained.clone()).ok_or(format!("{explained:?}"))
        })
        .await;
        let who = explained
            .agent
            .zip(explained.version)
            .map(|(agent, version)| format!("{agent}@{version}"));
        said.insert(intent, who.expect("one is able"));
    }
    let shown = run(mesh.baton(&["route", "explain", "--capability", "translate", "--intent", "asked-0"]))
        .await
        .exits(0);
    assert!(
        shown
            .stdout
            .starts_with(&format!("{} would take it: it has translate", said[&id("asked-0")])),
        "{shown:?}"
    );
    run(mesh.baton(&["route", "explain", "--capability", "fly"]))
        .await
        .exits(3)
        .says(&["no agent has fly"]);
    gate.lift();
    for (intent, who) in &said {
        let head = mesh.until(intent, "completed", SOON).await;
        assert_eq!(result(&head), *who, "{intent}");
        let expected = if canary_bucket(intent) < 50 {
            "code@2.0.0"
        } else {
            "other@1.0.0"
        };
        assert_eq!(who, expected, "{intent}");
    }
    let different: std::collections::BTreeSet<_> = said.values().collect();
    assert_eq!(different.len(), 2, "{said:?}");
}
