//! Whoever puts work of their own in the place of what an agent has asked for, or writes what only controllers write.

use baton_e2e::accounts::connect_as;
use baton_e2e::gated::{id, result};
use baton_envelope::control::{AboutAgent, ListAgents};
use baton_envelope::{Author, Envelope, Event, IntentId, Json};
use baton_testkit::{Headers, eventually, records};

use super::{Guarded, OPERATOR, SOON};

/// The child that a call of `research` will have.
fn child(of: &str, index: u32) -> IntentId {
    IntentId::of_child(&id(of), 1, "ask", index)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn work_under_the_id_of_a_child_is_no_child_and_nobody_but_controllers_names_a_parent() {
    let mesh = Guarded::secured().await;
    // The id follows from the call, so a publisher can be there first.
    let taken = child("order-1", 0);
    mesh.ask(taken.as_str(), &[], "forged").await;
    mesh.until(&taken, "completed").await;
    mesh.ask("order-1", &[], "call").await;
    let head = mesh.until(&id("order-1"), "completed").await;
    assert_eq!(result(&head), "CONFLICT RIVERS", "what is forged has no say");

    // As the child of another, whatever its id.
    let claims = |intent: IntentId| {
        let to = "research".parse().expect("name");
        let mut envelope = Envelope::first(mesh.shop.clock().envelope_id(), intent, to, Json::string("forged"));
        envelope.parent = Some(id("order-2"));
        envelope.root = Some(id("order-2"));
        envelope
    };
    let body = serde_json::to_vec(&claims(child("order-2", 0))).expect("JSON");
    let headers = vec![("Baton-Protocol".to_owned(), "1.6.0".to_owned())];
    let sent = mesh
        .shop
        .publish_raw("mesh.intent.research".to_owned(), headers, body.into());
    sent.await.expect("stored");
    let refused = mesh.until(&child("order-2", 0), "rejected").await;
    let error = refused.record.error.expect("a reason");
    assert!(error.message.contains("parent"), "{}", error.message);
    let ada = connect_as(&mesh.server, OPERATOR).await;
    let by = Author::of(baton_envelope::Role::Client, "ada");
    let asked = ada.submit_or_ask(claims(id("by-ada")), &[], by, false).await;
    let said = asked.expect_err("refused").to_string();
    assert!(said.contains("parent"), "{said}");
    assert!(mesh.control.last_record(&id("by-ada")).await.expect("read").is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_begins_to_undo_the_work_of_another_agent_is_told_of() {
    let mesh = Guarded::secured().await;
    mesh.ask("order-1", &[], "wait").await;
    let head = mesh.until(&id("order-1"), "waiting").await;
    let by = Author::worker("code".parse().expect("name"), "1.0.0".parse().expect("version"), "w9");
    let (record, now) = (mesh.control.record_id(), mesh.control.now());
    let (snapshot, intent) = (&head.record.snapshot, id("order-1"));
    let forged = records::following(snapshot, head.seq, record, intent, Event::Compensating, now, by);
    // The server takes it: whoever may write on one intent may write on all of them.
    let mut headers = Headers::new();
    headers.insert("Nats-Expected-Last-Subject-Sequence", head.seq.to_string());
    let body = serde_json::to_vec(&forged).expect("JSON");
    let client = mesh.server.client_as("code").await;
    let stored = client.request_with_headers("mesh.ledger.0.order-1", headers, body.into());
    let stored = String::from_utf8_lossy(&stored.await.expect("an answer").payload).into_owned();
    assert!(stored.contains("\"seq\""), "{stored}");
    let asked = ListAgents(AboutAgent::one("research".parse().expect("name")));
    eventually("the alarm tells of it", SOON, async || {
        let view = mesh.control.ask_controller(&asked).await;
        let view = view.map_err(|error| error.to_string())?;
        let alarms: Vec<_> = view.agents.into_iter().flat_map(|agent| agent.alarms).collect();
        let is_told = alarms
            .iter()
            .any(|alarm| alarm.code == "RECORD_OUT_OF_TURN" && alarm.message.contains("turn of research"));
        is_told.then_some(()).ok_or(format!("{alarms:?}"))
    })
    .await;
}
