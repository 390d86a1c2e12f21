//! A message of the intake that is delivered twice.

use baton_envelope::{Author, ErrorInfo, Event, Json, Role, Stamp, act};
use baton_jetstream::Target;
use baton_testkit::{Proxy, records};

use crate::support::{
    PATIENCE, Running, TestServer, eventually, give_back, head, id, listed, mesh_with_research, one_by_one, operator,
    pass_marker, publish, puller, research, take_one, ticket,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redelivered_raw_intent_is_one_intent_with_one_ticket() {
    let server = TestServer::start().await;
    let mesh = mesh_with_research(&server).await;
    publish(&mesh, "mesh.intent.research", &[], b"otters").await;

    // A router that dies between its submit and its ack.
    let message = take_one(&mesh).await;
    let raw = message.raw().unwrap();
    let intent = raw.derived_id.clone();
    let envelope = raw
        .to_envelope(mesh.clock().envelope_id(), &research().0, mesh.now())
        .unwrap();
    mesh.submit(envelope, operator()).await.unwrap();
    give_back(&mesh, &message).await;

    let controller = Running::start(&mesh, one_by_one("a"));
    pass_marker(&mesh, "marker").await;
    controller.stop().await;
    assert_eq!(mesh.history(&intent, 1).await.unwrap().len(), 1);
    assert_eq!(listed(&mesh, &[]).await.unwrap().len(), 2, "the intent and the marker");
    let mut tickets = puller(&mesh).await;
    let mut seen = [
        ticket(&mut tickets).await.ticket.intent,
        ticket(&mut tickets).await.ticket.intent,
    ];
    let mut expected = [intent, id("marker")];
    seen.sort();
    expected.sort();
    assert_eq!(seen, expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_router_that_died_between_its_two_writes_is_made_good() {
    let server = TestServer::start().await;
    let mesh = mesh_with_research(&server).await;
    publish(&mesh, "mesh.intent.research", &[], b"otters").await;
    let message = take_one(&mesh).await;
    let raw = message.raw().unwrap();
    let (agent, version) = research();
    let envelope = raw.to_envelope(mesh.clock().envelope_id(), &agent, mesh.now()).unwrap();
    let record = records::submitted(mesh.record_id(), mesh.now(), operator(), version, envelope);
    records::put(mesh.url(), &record, 0).await;
    give_back(&mesh, &message).await;

    let controller = Running::start(&mesh, one_by_one("a"));
    let mut tickets = puller(&mesh).await;
    assert_eq!(ticket(&mut tickets).await.ticket.intent, raw.derived_id);
    controller.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_intent_whose_deadline_passed_between_two_deliveries_is_not_rejected_as_well() {
    let server = TestServer::start().await;
    let mesh = mesh_with_research(&server).await;
    let headers = [("Baton-Intent", "order-7"), ("Baton-Deadline", "1s")];
    publish(&mesh, "mesh.intent.research", &headers, b"otters").await;
    let message = take_one(&mesh).await;
    let raw = message.raw().unwrap();
    let envelope = raw
        .to_envelope(mesh.clock().envelope_id(), &research().0, mesh.now())
        .unwrap();
    let deadline = envelope.deadline.unwrap();
    mesh.submit(envelope, operator()).await.unwrap();
    eventually("the deadline has passed", PATIENCE, async || {
        if mesh.now() > deadline {
            Ok(())
        } else {
            Err("not yet".to_owned())
        }
    })
    .await;
    give_back(&mesh, &message).await;

    let controller = Running::start(&mesh, one_by_one("a"));
    pass_marker(&mesh, "marker").await;
    controller.stop().await;
    assert_eq!(listed(&mesh, &["rejected"]).await.unwrap().len(), 0);
    // The leader may have ended it by now.
    let status = head(&mesh, &id("order-7")).await.record.snapshot.status;
    assert!(["pending", "timed_out"].contains(&status.name()), "{status}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redelivered_message_is_rejected_once() {
    let server = TestServer::start().await;
    let mesh = mesh_with_research(&server).await;
    publish(&mesh, "mesh.intent.ghost", &[("Baton-Intent", "order-8")], b"boo").await;
    let message = take_one(&mesh).await;
    let raw = message.raw().unwrap();
    let mut kept = raw.keep();
    kept.extra
        .insert("message".to_owned(), Json::string(raw.derived_id.as_str()));
    let by = Author::of(Role::Controller, "a controller that died");
    let error = ErrorInfo::new("UNKNOWN_AGENT", "as it was");
    let (id, at) = (mesh.record_id(), mesh.now());
    let record = act::refuse(at, error, kept).seal("order-8".parse().unwrap(), 0, Stamp { id, at, by });
    records::put(mesh.url(), &record, 0).await;
    give_back(&mesh, &message).await;

    let controller = Running::start(&mesh, one_by_one("a"));
    pass_marker(&mesh, "marker").await;
    controller.stop().await;
    assert_eq!(listed(&mesh, &["rejected"]).await.unwrap().len(), 1);
}

/// The router that gets the message again looks, and writes a moment later. In between its intent is archived and purged.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_raw_intent_that_is_purged_while_it_is_routed_again_does_not_begin_anew() {
    let server = TestServer::start().await;
    let mesh = mesh_with_research(&server).await;
    publish(&mesh, "mesh.intent.research", &[], b"otters").await;
    let message = take_one(&mesh).await;
    let raw = message.raw().unwrap();
    let intent = raw.derived_id.clone();
    let envelope = raw
        .to_envelope(mesh.clock().envelope_id(), &research().0, mesh.now())
        .unwrap();
    mesh.submit_new(envelope, operator()).await.unwrap();
    let first = head(&mesh, &intent).await;
    let (record, at) = (mesh.record_id(), mesh.now());
    let by = Author::worker(research().0, research().1, "w1");
    let snapshot = &first.record.snapshot;
    let done = records::following(snapshot, first.seq, record, intent.clone(), Event::Completed, at, by);
    records::put(mesh.url(), &done, first.seq).await;
    give_back(&mesh, &message).await;

    let proxy = Proxy::start(server.url()).await;
    let far = Target::at(proxy.url()).connect().await.unwrap();
    proxy.drop_publishes("mesh.ledger.");
    let controller = Running::start(&far, one_by_one("a"));
    let waiting = async || mesh.intake_waiting().await.map_err(|error| error.to_string());
    eventually("it is settled, or written", PATIENCE, async || {
        let waits = waiting().await?;
        (waits == 0 || proxy.dropped() > 0)
            .then_some(())
            .ok_or_else(|| format!("{waits} wait"))
    })
    .await;
    let client = server.client().await;
    let purge = serde_json::json!({ "filter": format!("mesh.ledger.0.{intent}") }).to_string();
    let purged = client.request("$JS.API.STREAM.PURGE.MESH_LEDGER", purge.into()).await;
    let purged = String::from_utf8(purged.unwrap().payload.to_vec()).unwrap();
    assert!(purged.contains("\"purged\":2"), "{purged}");
    proxy.pass_publishes();
    eventually("it is settled", PATIENCE, async || match waiting().await? {
        0 => Ok(()),
        waits => Err(format!("{waits} wait")),
    })
    .await;
    controller.stop().await;
    assert!(mesh.head(&intent).await.unwrap().is_none(), "it has begun anew");
}
