//! A mesh that signs: what is void decides nothing, and edits of its streams are found.

use baton_envelope::{
    Audited, Author, Envelope, Event, IntentId, Json, Record, Role, Signatures, SignerRole, Status, act,
};
use baton_jetstream::{
    Advanced, ControllerMesh, Decision, Head, Known, Limits, Mesh, Pulled, Puller, Signing, Target, WorkerMesh,
};
use baton_testkit::{Keys, records};
use serde_json::{Value, json};

use crate::support::{PATIENCE, TestServer, agent, eventually, mesh_with_research, operator, version};

async fn connect(server: &TestServer, keys: &Keys, whose: Option<&str>) -> Mesh {
    let target = Target {
        signing: Signing {
            signatures: Signatures::Require,
            key: whose.map(|name| keys.file(name)),
            trust: Some(keys.trust()),
        },
        ..Target::at(server.url())
    };
    target.connect().await.unwrap()
}

/// A mesh that requires signatures, as its controller sees it.
async fn signed_mesh(server: &TestServer, keys: &Keys) -> Mesh {
    let mesh = connect(server, keys, Some("controller")).await;
    mesh.ensure_topology(Limits::default()).await.unwrap();
    mesh.ensure_agent(&agent(), &version("1.0.0"), baton_envelope::Bands::default())
        .await
        .unwrap();
    let controller = ControllerMesh::of(&mesh);
    controller
        .set_route(&agent(), &version("1.0.0"), "test", true)
        .await
        .unwrap();
    let raised = controller.raise_signatures(&[]).await.unwrap();
    assert_eq!(raised.changed.len(), 1, "{raised:?}");
    assert_eq!(require(server).await, Some("accept".into()));
    // One that is connected learns of it within seconds, a new one at once.
    let mesh = connect(server, keys, Some("controller")).await;
    assert_eq!(mesh.rules().unwrap().signatures, Signatures::Require);
    mesh
}

/// What an operator may also do by hand; the leader waits until nobody writes unsigned records. Gives what was set before.
async fn require(server: &TestServer) -> Option<Value> {
    let info = api(server, "STREAM.INFO.MESH_LEDGER", &json!({})).await;
    let mut config = info.get("config").unwrap().clone();
    let metadata = config.get_mut("metadata").and_then(Value::as_object_mut).unwrap();
    let before = metadata.insert("baton.signatures".to_owned(), "require".into());
    metadata.insert("baton.signatures.since".to_owned(), "0".into());
    api(server, "STREAM.UPDATE.MESH_LEDGER", &config).await;
    before
}

async fn api(server: &TestServer, what: &str, request: &Value) -> Value {
    let client = server.client().await;
    let answer = client
        .request(format!("$JS.API.{what}"), request.to_string().into())
        .await
        .unwrap();
    let answer: Value = serde_json::from_slice(&answer.payload).unwrap();
    assert!(answer.get("error").is_none(), "{what}: {answer}");
    answer
}

async fn submit(mesh: &Mesh, id: &str) -> Head {
    let intent: IntentId = id.parse().unwrap();
    let envelope = Envelope::first(
        mesh.clock().envelope_id(),
        intent.clone(),
        agent(),
        Json::string("otters"),
    );
    mesh.submit(envelope, Author::of(Role::Client, "test")).await.unwrap();
    mesh.head(&intent).await.unwrap().unwrap()
}

fn worker() -> Author {
    Author::worker(agent(), version("1.0.0"), "one")
}

async fn complete(mesh: &Mesh, head: &Head, by: &Author) -> u64 {
    let done = mesh.advance(&head.record.intent, by, Known::Read(head), |now, _| {
        let now = now.ok_or(baton_jetstream::Error::NoController)?;
        Ok::<_, baton_jetstream::Error>(Decision::Write(act::complete(now.snapshot, Json::null())?))
    });
    match done.await.unwrap() {
        Advanced::Committed(committed) => committed.seq,
        Advanced::Unchanged(_) => panic!("nothing was written"),
    }
}

/// Writes what follows a head as somebody would who has no key.
async fn forge(mesh: &Mesh, head: &Head, event: Event, by: Author) -> u64 {
    let (id, intent) = (mesh.record_id(), head.record.intent.clone());
    let record: Record = records::following(&head.record.snapshot, head.seq, id, intent, event, mesh.now(), by);
    records::put(mesh.url(), &record, head.seq).await
}

#[tokio::test]
async fn a_forged_record_decides_nothing_and_the_next_writer_goes_on_after_it() {
    let (server, keys) = (TestServer::start().await, Keys::of_agents(&["research", "code"]));
    let mesh = signed_mesh(&server, &keys).await;
    let client = connect(&server, &keys, Some("client")).await;
    let head = submit(&client, "one").await;
    let intent = head.record.intent.clone();
    let forged = forge(&mesh, &head, Event::Completed, worker()).await;
    let seen = client.head(&intent).await.unwrap().unwrap();
    assert_eq!((&seen.record.snapshot.status, seen.seq), (&Status::Pending, forged));
    // An agent with a key, whose turn it is not, in the name of the one whose turn it is.
    let code = connect(&server, &keys, Some("code")).await;
    let by_code = complete(&code, &seen, &worker()).await;
    let seen = client.head(&intent).await.unwrap().unwrap();
    assert_eq!((&seen.record.snapshot.status, seen.seq), (&Status::Pending, by_code));
    // The agent whose turn it is.
    let research = connect(&server, &keys, Some("research")).await;
    let done = complete(&research, &head, &worker()).await;
    let seen = client.head(&intent).await.unwrap().unwrap();
    assert_eq!((&seen.record.snapshot.status, seen.seq), (&Status::Completed, done));
    let standing = client.standing(&intent).await.unwrap();
    let contained: Vec<_> = standing
        .contained
        .iter()
        .map(|one| (one.seq, one.problem.as_str()))
        .collect();
    assert_eq!(contained.len(), 2, "{contained:?}");
    assert!(
        contained[0].0 == forged && contained[0].1.starts_with("void: it is not signed"),
        "{contained:?}"
    );
    assert!(
        contained[1].0 == by_code && contained[1].1.contains("in the name of"),
        "{contained:?}"
    );
    let report = mesh.audit_intent(&intent).await.unwrap();
    let places: Vec<u64> = report.problems.iter().map(|problem| problem.seq).collect();
    assert_eq!(places, [forged, by_code], "{:?}", report.problems);
}

#[tokio::test]
async fn a_ticket_that_does_not_verify_is_not_run_as_it_is() {
    let (server, keys) = (TestServer::start().await, Keys::of_agents(&["research"]));
    let mesh = signed_mesh(&server, &keys).await;
    let head = submit(&mesh, "one").await;
    let worker = WorkerMesh::of(&connect(&server, &keys, Some("research")).await);
    let mut puller = Puller::open(
        &worker,
        &agent(),
        &version("1.0.0"),
        baton_envelope::Bands::default(),
        4,
    )
    .await
    .unwrap();
    // The same bytes without the signature: what anyone may write who may write tickets.
    let client = server.client().await;
    let body = serde_json::to_vec(&head.record).unwrap();
    let subject = mesh
        .subjects()
        .work(&agent(), &version("1.0.0"), head.record.snapshot.priority);
    client.publish(subject, body.into()).await.unwrap();
    client.flush().await.unwrap();
    for is_true in [true, false] {
        let Pulled::Ticket(delivery) = puller.next().await.unwrap() else {
            panic!("closed");
        };
        assert_eq!(delivery.ticket.record.is_some(), is_true);
        assert_eq!(delivery.ticket.intent, head.record.intent);
        assert_eq!(delivery.ticket.link.is_some(), is_true);
    }
}

#[tokio::test]
async fn who_has_no_key_is_told_so() {
    let (server, keys) = (TestServer::start().await, Keys::of_agents(&["research"]));
    let mesh = signed_mesh(&server, &keys).await;
    let without = connect(&server, &keys, None).await;
    let envelope = Envelope::first(
        mesh.clock().envelope_id(),
        "one".parse().unwrap(),
        agent(),
        Json::null(),
    );
    let error = without.submit(envelope, operator()).await.unwrap_err();
    assert_eq!(error.code(), "NO_SIGNING_KEY", "{error}");
    let plain = Target::at(server.url()).connect().await.unwrap();
    let error = plain
        .agree(Limits::default(), |_| "the test".to_owned())
        .await
        .unwrap_err();
    assert_eq!(error.code(), "SETTING_DIFFERS", "{error}");
}

#[tokio::test]
async fn a_running_process_learns_of_new_keys_and_of_the_setting() {
    let (server, keys) = (TestServer::start().await, Keys::of_agents(&[]));
    let mesh = connect(&server, &keys, Some("controller")).await;
    assert_eq!(mesh.rules().unwrap().signatures, Signatures::Accept);
    drop(signed_mesh(&server, &keys).await);
    let text = std::fs::read_to_string(keys.trust()).unwrap();
    let more = format!(
        "{text}[[grant]]\nkey = \"{}\"\nrole = \"client\"\n",
        Keys::secret("new").public()
    );
    std::fs::write(keys.trust(), more).unwrap();
    eventually("the rules are new", PATIENCE, async || {
        let rules = mesh.rules().unwrap();
        let last = rules.grants.all().last().unwrap().clone();
        let is_new = last.role == SignerRole::Client && last.key == Keys::secret("new").public();
        match rules.signatures == Signatures::Require && is_new {
            true => Ok(()),
            false => Err(format!("{:?}", rules.signatures)),
        }
    })
    .await;
    // One that cannot be read changes nothing.
    std::fs::write(keys.trust(), "[[grant]]\nkey = 7\n").unwrap();
    assert!(!mesh.rules().unwrap().grants.all().is_empty());
}

#[tokio::test]
async fn edits_through_the_api_of_the_streams_are_found() {
    let (server, keys) = (TestServer::start().await, Keys::of_agents(&["research"]));
    let mesh = signed_mesh(&server, &keys).await;
    let controller = ControllerMesh::of(&mesh);
    let research = connect(&server, &keys, Some("research")).await;
    let mut heads = Vec::new();
    for number in 0..8 {
        let head = submit(&mesh, &format!("intent-{number}")).await;
        complete(&research, &head, &worker()).await;
        heads.push(head);
    }
    let nothing = |_| {};
    let unsealed = mesh.audit(nothing).await.unwrap();
    assert_eq!((unsealed.problems.len(), unsealed.checkpoints), (0, 0));
    let first = controller.make_checkpoint("one").await.unwrap().unwrap();
    assert_eq!((first.ledger.count, first.ledger.through), (16, 16));
    assert!(
        controller.make_checkpoint("one").await.unwrap().is_none(),
        "nothing is new"
    );
    // Two go to the archive: one leaves its last record.
    for (head, keep) in [(&heads[0], 0), (&heads[1], 1)] {
        let intent = &head.record.intent;
        let bundle = controller.stored_records(intent).await.unwrap().unwrap();
        let facts = bundle.verify().unwrap();
        controller.archive_bundle(&bundle, &facts).await.unwrap();
        controller.purge_records(intent, facts.seq + 1 - keep).await.unwrap();
    }
    controller.make_checkpoint("one").await.unwrap().unwrap();
    let report = mesh.audit(nothing).await.unwrap();
    assert_eq!(report.problems, Vec::new());
    assert_eq!((report.records, report.bundles, report.checkpoints), (17, 2, 2));
    assert_eq!((report.unsigned, report.covered_through), (0, 16));
    let one = mesh.audit_intent(&heads[3].record.intent).await.unwrap();
    assert_eq!((one.problems.len(), one.records), (0, 2));

    let found = async |stream: Audited, seq: u64| {
        let report = mesh.audit(nothing).await.unwrap();
        let is_there = report.problems.iter().any(|problem| {
            problem.stream == stream && (problem.seq..=problem.through.unwrap_or(problem.seq)).contains(&seq)
        });
        assert!(
            is_there,
            "nothing was found at {stream:?} {seq}: {:#?}",
            report.problems
        );
    };
    // Dropped: in the middle of a history, the last record of one, a whole one.
    api(
        &server,
        "STREAM.MSG.DELETE.MESH_LEDGER",
        &json!({ "seq": heads[3].seq }),
    )
    .await;
    found(Audited::Ledger, heads[3].seq).await;
    api(
        &server,
        "STREAM.MSG.DELETE.MESH_LEDGER",
        &json!({ "seq": heads[4].seq + 1 }),
    )
    .await;
    found(Audited::Ledger, heads[4].seq + 1).await;
    let subject = mesh.subjects().ledger(&heads[5].record.intent);
    api(&server, "STREAM.PURGE.MESH_LEDGER", &json!({ "filter": subject })).await;
    found(Audited::Ledger, heads[5].seq).await;
    found(Audited::Ledger, heads[5].seq + 1).await;
    // Inserted: without a signature, after the end.
    let done = mesh.head(&heads[6].record.intent).await.unwrap().unwrap();
    let again = records::put(mesh.url(), &done.record, done.seq).await;
    found(Audited::Ledger, again).await;
    // The archive: a bundle less.
    api(&server, "STREAM.MSG.DELETE.MESH_ARCHIVE", &json!({ "seq": 1 })).await;
    found(Audited::Archive, 1).await;
    found(Audited::Ledger, heads[0].seq).await;
    // The end is cut off.
    api(&server, "STREAM.PURGE.MESH_LEDGER", &json!({})).await;
    found(Audited::Ledger, 16).await;
}

/// Publishes what is no record.
async fn garbage(mesh: &Mesh, server: &TestServer, subject: &str) -> u64 {
    let client = server.client().await;
    client.publish(subject.to_owned(), "garbage".into()).await.unwrap();
    client.flush().await.unwrap();
    let stream = mesh.subjects().ledger_stream();
    let request = json!({ "last_by_subj": subject });
    let found = api(server, &format!("STREAM.MSG.GET.{stream}"), &request).await;
    found.pointer("/message/seq").and_then(Value::as_u64).unwrap()
}

#[tokio::test]
async fn what_a_repair_removes_is_not_missed() {
    let (server, keys) = (TestServer::start().await, Keys::of_agents(&["research"]));
    let mesh = signed_mesh(&server, &keys).await;
    let controller = ControllerMesh::of(&mesh);
    let head = submit(&mesh, "one").await;
    let unreadable = garbage(&mesh, &server, "mesh.ledger.0.two").await;
    let elsewhere = "mesh.ledger.1.two";
    let of_nobody = [
        garbage(&mesh, &server, elsewhere).await,
        garbage(&mesh, &server, elsewhere).await,
    ];
    controller.make_checkpoint("one").await.unwrap().unwrap();
    let nothing = |_| {};
    let places = async || {
        let report = mesh.audit(nothing).await.unwrap();
        let places: Vec<u64> = report.problems.iter().map(|problem| problem.seq).collect();
        (places, report.removed)
    };
    // It is there and counted; all that is wrong with it is that nobody can read it.
    assert_eq!(places().await, (vec![unreadable, of_nobody[0], of_nobody[1]], 0));
    controller.repair("intent/two", false, "ada").await.unwrap();
    let key = format!("ledger/{elsewhere}");
    controller.repair(&key, false, "ada").await.unwrap();
    assert_eq!(places().await, (Vec::new(), 3));
    // What nobody announced is missed as before.
    let subject = mesh.subjects().ledger(&head.record.intent);
    api(&server, "STREAM.PURGE.MESH_LEDGER", &json!({ "filter": subject })).await;
    assert_eq!(places().await, (vec![head.seq], 3));
}

#[tokio::test]
async fn what_a_frozen_process_wrote_on_an_archived_intent_is_not_missed() {
    let (server, keys) = (TestServer::start().await, Keys::of_agents(&["research"]));
    let mesh = signed_mesh(&server, &keys).await;
    let controller = ControllerMesh::of(&mesh);
    let research = connect(&server, &keys, Some("research")).await;
    let problems = async || mesh.audit(|_| {}).await.unwrap().problems;
    for (id, is_announced) in [("one", true), ("two", false)] {
        let head = submit(&mesh, id).await;
        let intent = head.record.intent.clone();
        complete(&research, &head, &worker()).await;
        controller.make_checkpoint("one").await.unwrap().unwrap();
        let bundle = controller.stored_records(&intent).await.unwrap().unwrap();
        let facts = bundle.verify().unwrap();
        controller.archive_bundle(&bundle, &facts).await.unwrap();
        controller.purge_records(&intent, facts.seq + 1).await.unwrap();
        // Its subject is empty again, so it takes what comes as the first record.
        let late = submit(&mesh, id).await;
        controller.make_checkpoint("one").await.unwrap().unwrap();
        if is_announced {
            controller.purge_returned(&bundle, late.seq + 1, "one").await.unwrap();
            assert_eq!(problems().await, Vec::new());
        } else {
            controller.purge_records(&intent, late.seq + 1).await.unwrap();
            let found = problems().await;
            assert_eq!(
                found.iter().map(|problem| problem.seq).collect::<Vec<_>>(),
                [late.seq],
                "{found:?}"
            );
        }
    }
}

/// Archives a closed intent and purges it, as a leader does.
async fn archive(mesh: &Mesh, head: &Head) {
    let (controller, intent) = (ControllerMesh::of(mesh), &head.record.intent);
    let bundle = controller.stored_records(intent).await.unwrap().unwrap();
    let facts = bundle.verify().unwrap();
    controller.archive_bundle(&bundle, &facts).await.unwrap();
    controller.purge_records(intent, facts.seq + 1).await.unwrap();
}

#[tokio::test]
async fn what_was_archived_by_who_does_not_sign_is_not_missed() {
    let (server, keys) = (TestServer::start().await, Keys::of_agents(&["research"]));
    let plain = mesh_with_research(&server).await;
    for id in ["one", "two"] {
        let head = submit(&plain, id).await;
        complete(&plain, &head, &worker()).await;
        archive(&plain, &head).await;
    }
    let open = submit(&plain, "three").await;
    let mesh = connect(&server, &keys, Some("controller")).await;
    let controller = ControllerMesh::of(&mesh);
    controller.raise_signatures(&[]).await.unwrap();
    let first = controller.make_checkpoint("one").await.unwrap().unwrap().ledger;
    assert_eq!((first.after, first.through, first.count), (4, 5, 1));
    let problems = async || mesh.audit(|_| {}).await.unwrap().problems;
    assert_eq!(problems().await, Vec::new());
    // A controller that does not sign leads for a while.
    let four = submit(&plain, "four").await;
    complete(&plain, &four, &worker()).await;
    archive(&plain, &four).await;
    submit(&mesh, "five").await;
    let second = controller.make_checkpoint("one").await.unwrap().unwrap().ledger;
    assert_eq!((second.after, second.through, second.count), (5, 8, 3));
    assert_eq!(problems().await, Vec::new());
    // What the first one has counted is missed all the same.
    let subject = mesh.subjects().ledger(&open.record.intent);
    api(&server, "STREAM.PURGE.MESH_LEDGER", &json!({ "filter": subject })).await;
    let places: Vec<u64> = problems().await.iter().map(|problem| problem.seq).collect();
    assert_eq!(places, [open.seq]);
}

#[tokio::test]
async fn a_mesh_does_not_require_what_live_workers_do_not_give() {
    let (server, keys) = (TestServer::start().await, Keys::of_agents(&["research"]));
    drop(mesh_with_research(&server).await);
    let mesh = connect(&server, &keys, Some("controller")).await;
    assert!(mesh.can_sign() && !connect(&server, &keys, None).await.can_sign());
    let controller = ControllerMesh::of(&mesh);
    let unsigned = ["research@1.0.0 (one)".to_owned()];
    let accepts = controller.raise_signatures(&unsigned).await.unwrap();
    assert_eq!((accepts.changed.len(), accepts.waiting.len()), (1, 0), "{accepts:?}");
    let waits = controller.raise_signatures(&unsigned).await.unwrap();
    assert!(
        waits.changed.is_empty() && waits.waiting[0].contains(&unsigned[0]),
        "{waits:?}"
    );
}

#[tokio::test]
async fn a_process_that_cannot_sign_learns_that_it_must_and_writes_nothing_more() {
    let (server, keys) = (TestServer::start().await, Keys::of_agents(&["research"]));
    let plain = mesh_with_research(&server).await;
    let keyless = connect(&server, &keys, None).await;
    let head = submit(&plain, "one").await;
    require(&server).await;
    for (mesh, code) in [(&plain, "SETTING_DIFFERS"), (&keyless, "NO_SIGNING_KEY")] {
        // Nobody restarts it, and nobody writes.
        let learnt = tokio::time::timeout(PATIENCE * 4, mesh.until_it_cannot_sign()).await;
        assert_eq!(learnt.unwrap().code(), code);
        let envelope = Envelope::first(
            mesh.clock().envelope_id(),
            "two".parse().unwrap(),
            agent(),
            Json::null(),
        );
        let error = mesh.submit(envelope, operator()).await.unwrap_err();
        assert_eq!(error.code(), code, "{error}");
    }
    let end = api(&server, "STREAM.INFO.MESH_LEDGER", &json!({})).await;
    assert_eq!(end["state"]["last_seq"], head.seq);
}
