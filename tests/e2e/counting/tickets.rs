//! The preparations for each act: tickets that were delivered before, written again, or left behind.

use std::time::Duration;

use baton_e2e::TestMesh;
use baton_e2e::chaos::SOON;
use baton_envelope::{HEADER_REISSUED, IntentId};
use baton_testkit::{Headers, StoredMessage, consumers, eventually, read_stream, stream_size};
use futures::StreamExt as _;
use serde_json::{Value, json};

use super::HOPS;

/// Removes the tickets of an agent, and writes them again from the ledger.
pub(super) async fn reissue_all(mesh: &TestMesh, intents: &[IntentId], agent: &str) {
    let client = mesh.server.client().await;
    let purge = format!("$JS.API.STREAM.PURGE.MESH_WORK_{agent}");
    let purged = client.request(purge, "".into()).await.expect("an answer");
    let purged: Value = serde_json::from_slice(&purged.payload).expect("JSON");
    assert_eq!(purged["purged"], HOPS, "{purged}");
    for intent in intents {
        let head = mesh.head_of(intent).await;
        mesh.mesh.reissue(&head).await.expect("a ticket");
    }
}

/// Pulls every ticket of an agent and hands it back, like a worker that stops before it has begun.
pub(super) async fn deliver_and_hand_back(mesh: &TestMesh, agent: &str) {
    let client = mesh.server.client().await;
    let stream = format!("MESH_WORK_{agent}");
    let consumers = consumers(&client, &stream).await.expect("consumers");
    let consumer = consumers.iter().find(|consumer| consumer.pending > 0).expect("tickets");
    let inbox = client.new_inbox();
    let mut delivered = client.subscribe(inbox.clone()).await.expect("a subscription");
    let next = format!("$JS.API.CONSUMER.MSG.NEXT.{stream}.{}", consumer.name);
    let wanted = json!({ "batch": HOPS, "expires": SOON.as_nanos() }).to_string();
    client
        .publish_with_reply(next, inbox, wanted.into())
        .await
        .expect("sent");
    // All of them first: a ticket that is handed back may come again before the last has come once.
    let mut acks = Vec::new();
    for _ in 0..HOPS {
        let ticket = tokio::time::timeout(SOON, delivered.next()).await;
        let ticket = ticket.expect("in time").expect("a ticket");
        acks.push(ticket.reply.expect("where to acknowledge it"));
    }
    for ack in acks {
        client.publish(ack, "-NAK".into()).await.expect("sent");
    }
    client.flush().await.expect("flushed");
}

/// The stored tickets of an agent.
pub(super) async fn stored(mesh: &TestMesh, agent: &str) -> Vec<StoredMessage> {
    let client = mesh.server.client().await;
    let tickets = read_stream(&client, &format!("MESH_WORK_{agent}")).await;
    let tickets = tickets.expect("tickets");
    assert_eq!(tickets.len(), HOPS);
    tickets
}

/// Writes these tickets a second time, marked as written again.
pub(super) async fn publish_again(mesh: &TestMesh, tickets: &[StoredMessage]) {
    let client = mesh.server.client().await;
    for ticket in tickets {
        let mut headers = Headers::new();
        // Without its message id, which the server would recognise.
        for (name, value) in ticket.headers.iter().filter(|(name, _)| !name.starts_with("Nats-")) {
            headers.insert(name.as_str(), value.as_str());
        }
        headers.insert(HEADER_REISSUED, "1");
        let stored = client.request_with_headers(ticket.subject.clone(), headers, ticket.body.clone());
        let stored: Value = serde_json::from_slice(&stored.await.expect("an answer").payload).expect("JSON");
        assert!(stored["seq"].is_u64(), "{stored}");
    }
}

/// Waits until an agent has no tickets left.
pub(super) async fn until_no_tickets(mesh: &TestMesh, agent: &str) {
    let client = mesh.server.client().await;
    eventually(
        "no ticket is left",
        Duration::from_secs(30),
        async || match stream_size(&client, &format!("MESH_WORK_{agent}")).await {
            Ok(0) => Ok(()),
            Ok(left) => Err(format!("{left} tickets")),
            Err(error) => Err(error),
        },
    )
    .await;
}
