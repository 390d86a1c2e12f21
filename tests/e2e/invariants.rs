//! Each invariant of the design has a test, and a fault that the test notices; this holds the tests that no other
//! module does.

use std::fs;
use std::time::Duration;

use baton_agent::Outcome;
use baton_e2e::chaos::{Running, SOON, agent_at};
use baton_e2e::invariants::{PROOFS, table};
use baton_e2e::{TestMesh, root};
use baton_envelope::{Author, Bands, Envelope, IntentId, Json, Mutant, Role, act};
use baton_jetstream::{AdvanceError, Advanced, Decision, Error, Head, Known, Limits, Submitted};
use baton_testkit::records;
use baton_testkit::{TestServer, eventually};

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

#[test]
fn each_invariant_has_a_test_that_is_there_and_a_fault_of_its_own() {
    let names: Vec<&str> = PROOFS.iter().map(|proof| proof.invariant).collect();
    let invariants = (1..=16).map(|number| format!("I{number}"));
    let patterns = (1..=14).map(|number| format!("P{number}"));
    let context = (1..=13).map(|number| format!("C{number}"));
    let budgets = (1..=6).map(|number| format!("B{number}"));
    let all = invariants.chain(patterns).chain(context).chain(budgets);
    assert_eq!(names, all.collect::<Vec<_>>());
    for proof in PROOFS {
        let name = proof.mutant.name();
        let digits = name.chars().skip(1).take_while(char::is_ascii_digit).count();
        let of = name.get(..1 + digits).unwrap_or_default();
        assert_eq!(of, proof.invariant, "{name} is for another invariant");
        let test = proof.test.rsplit("::").next().expect("a name");
        assert!(
            read(proof.source).contains(&format!("fn {test}(")),
            "{}: no {test}",
            proof.source
        );
    }
    for mutant in Mutant::ALL {
        let uses = PROOFS.iter().filter(|proof| proof.mutant == mutant).count();
        assert_eq!(uses, 1, "{}", mutant.name());
    }
}

#[test]
fn the_document_lists_the_invariants_as_they_are() {
    let document = read("docs/reliability.md");
    assert!(
        document.contains(&table()),
        "docs/reliability.md should have:\n{}",
        table()
    );
}

#[test]
fn faults_are_in_no_product() {
    for folder in fs::read_dir(root().join("crates")).expect("crates") {
        let manifest = folder.expect("a folder").path().join("Cargo.toml");
        let text = fs::read_to_string(&manifest).expect("a manifest");
        let table: toml::Table = text.parse().expect("TOML");
        let features = table.get("features").and_then(toml::Value::as_table);
        let has_default = features.is_some_and(|features| features.contains_key("default"));
        assert!(!has_default, "{} switches features on by itself", manifest.display());
        let dependencies = ["dependencies", "build-dependencies"];
        for found in dependencies.iter().filter_map(|kind| table.get(*kind)) {
            assert!(!found.to_string().contains("mutants"), "{}", manifest.display());
        }
    }
    let workspace = read("Cargo.toml");
    assert!(!workspace.contains("mutants"), "the workspace switches faults on");
    // The only read of the switch is behind the feature.
    let source = read("crates/envelope/src/base/mutants.rs");
    let (before, behind) = source.split_once("#[cfg(feature = \"mutants\")]").expect("the feature");
    assert!(!before.contains("std::env::") && behind.contains("std::env::var(\"BATON_MUTANT\")"));
    assert!(
        source.contains("compile_error!"),
        "a release build with faults must not compile"
    );
}

/// I2: two holders that saw the same head both believe that the hop is theirs.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_commits_on_one_head_one_stands() {
    let mesh = TestMesh::start_without_controller().await;
    let intent = "twice".parse().expect("an id");
    let (name, version) = ("research".parse().expect("a name"), "1.0.0".parse().expect("a version"));
    let author = |name: &str| Author::of(Role::Worker, name);
    let envelope = Envelope::first(mesh.mesh.clock().envelope_id(), intent, name, Json::null());
    let at = mesh.mesh.now();
    let first = records::submitted(mesh.mesh.record_id(), at, author("submitter"), version, envelope);
    let seq = records::put(mesh.server.url(), &first, 0).await;
    let first = Head::new(first, seq);
    let mut stored = 0;
    for holder in ["one", "two"] {
        let by = author(holder);
        let commit = mesh
            .mesh
            .advance(&first.record.intent, &by, Known::Read(&first), |now, _| {
                // A writer that is overtaken drops its result.
                let Some(now) = now.filter(|now| now.seq == seq) else {
                    return Ok(Decision::Nothing);
                };
                Ok::<_, Error>(act::complete(now.snapshot, Json::null())?.into())
            });
        stored += usize::from(matches!(commit.await.expect("an answer"), Advanced::Committed(_)));
    }
    assert_eq!(stored, 1, "each of them believes that its commit stands");
    assert_eq!(mesh.events_of(&first.record.intent).await, ["submitted", "completed"]);
}

/// I7: two versions with workers, and work pinned to each of them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn work_for_a_version_is_handled_by_that_version() {
    let mesh = TestMesh::start().await;
    let mut workers = Vec::new();
    for (version, state) in [("1.0.0", "active"), ("2.0.0", "ready")] {
        let builder = agent_at("research", version, move |_| async move { Outcome::complete(&version) });
        workers.push(Running::start(mesh.server.url(), builder).await);
        // A pin to a version that nobody knows is refused.
        mesh.until_version_is("research", version, state).await;
    }
    // A pin to a version that no controller has declared yet is refused.
    mesh.until_version_is("research", "2.0.0", "ready").await;
    for version in ["1.0.0", "2.0.0", "1.0.0", "2.0.0"] {
        let intent = mesh.mesh.clock().intent_id();
        let to = "research".parse().expect("a name");
        let mut envelope = Envelope::first(mesh.mesh.clock().envelope_id(), intent.clone(), to, Json::null());
        envelope
            .pins
            .insert("research".parse().expect("a name"), version.parse().expect("a version"));
        let by = Author::of(Role::Client, "test");
        let patience = Duration::from_secs(20);
        let submitted = mesh
            .mesh
            .submit_when_known(envelope, by, patience)
            .await
            .expect("submitted");
        assert!(matches!(submitted, Submitted::New { .. }));
        let head = mesh.until(&intent, "completed", SOON).await.record;
        assert_eq!(
            head.snapshot.result,
            Some(Json::string(version)),
            "another version handled it"
        );
        assert_eq!(head.by.version, Some(version.parse().expect("a version")));
    }
    for worker in workers {
        worker.stop().await;
    }
}

/// I16: the ledger is full.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_stream_refuses_and_keeps_what_it_has() {
    let server = TestServer::start().await;
    let mesh = baton_e2e::connect(server.url()).await;
    let limits = Limits {
        max_bytes: 200_000,
        ..Limits::default()
    };
    mesh.ensure_topology(limits).await.expect("topology");
    let (name, version) = ("research", "1.0.0");
    let of = (name.parse().expect("a name"), version.parse().expect("a version"));
    // The tickets have their own stream, with room: only the ledger is full here.
    let roomy = baton_e2e::connect(server.url()).await;
    roomy
        .ensure_agent(&of.0, &of.1, Bands::default())
        .await
        .expect("an agent");
    let submit = async |number: usize| {
        let intent: IntentId = format!("intent-{number}").parse().expect("an id");
        let to = name.parse().expect("a name");
        let payload = Json::string(&"x".repeat(10_000));
        let envelope = Envelope::first(mesh.clock().envelope_id(), intent.clone(), to, payload);
        let by = Author::of(Role::Client, "test");
        let written = mesh.advance(&intent, &by, Known::Absent, |head, stamp| {
            assert!(head.is_none(), "{intent} is there already");
            let version = version.parse().expect("a version");
            Ok::<_, Error>(act::submit(stamp.at, version, envelope.clone()).into())
        });
        match written.await {
            Ok(_) => Ok(intent.clone()),
            Err(AdvanceError::NotWritten(error)) => Err(error),
            Err(AdvanceError::Refused(error) | AdvanceError::Unsettled { source: error, .. }) => panic!("{error}"),
        }
    };
    let mut taken = Vec::new();
    let mut refused = None;
    for number in 0..100 {
        match submit(number).await {
            Ok(intent) => taken.push(intent),
            Err(error) => {
                refused = Some(error);
                break;
            }
        }
    }
    assert!(taken.len() > 5, "only {} were taken", taken.len());
    for intent in &taken {
        let head = mesh.head(intent).await.expect("an answer");
        assert!(head.is_some(), "{intent} was acknowledged and is gone");
    }
    assert!(
        matches!(&refused, Some(Error::Refused(why)) if why.is_full()),
        "{refused:?}"
    );
    // And a second try gives the same answer.
    eventually("still refused", SOON, async || match submit(1_000).await {
        Err(Error::Refused(why)) if why.is_full() => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await;
}
