//! What is seen on the wire of a breaker: tickets, and its revisions.

use baton_e2e::TestMesh;
use baton_e2e::chaos::SOON;
use baton_envelope::{Breaker, BreakerState, HEADER_INTENT, IntentId, Timestamp};
use futures::StreamExt as _;

use super::AGENT;

/// What the server adds to a message that it sends on, and what the stream sends on is called.
const STORED_AT: &str = "Nats-Time-Stamp";
const SENT_ON: &str = "stored-tickets";

/// Every ticket that anybody writes for the agent: when the server stored it, and of which intent.
pub(super) struct Tickets(tokio::sync::mpsc::UnboundedReceiver<(Timestamp, IntentId)>);

impl Tickets {
    pub(super) async fn watch(mesh: &TestMesh) -> Self {
        let client = mesh.server.client().await;
        let mut heard = client.subscribe(format!("{SENT_ON}.>")).await.expect("subscribe");
        client.flush().await.expect("flush");
        // A ticket leaves the stream when it is acked; what it was stored at comes with the copy that the stream sends on.
        let stream = format!("MESH_WORK_{AGENT}");
        let sent_on = serde_json::json!({ "src": ">", "dest": format!("{SENT_ON}.>") });
        let info = mesh.edit_stream(&stream, "republish", |_| sent_on).await;
        assert!(info["error"].is_null(), "{info}");
        let (found, tickets) = tokio::sync::mpsc::unbounded_channel();
        tokio::spawn(async move {
            while let Some(message) = heard.next().await {
                let headers = message.headers.unwrap_or_default();
                let text = |name: &str| headers.get(name).expect("a header").as_str().to_owned();
                let (at, intent) = (text(STORED_AT), text(HEADER_INTENT));
                let ticket = (at.parse().expect("a time"), intent.parse().expect("id"));
                if found.send(ticket).is_err() {
                    return;
                }
            }
        });
        Self(tickets)
    }

    pub(super) fn take(&mut self) -> Vec<(Timestamp, IntentId)> {
        std::iter::from_fn(|| self.0.try_recv().ok()).collect()
    }
}

/// Each revision of the breaker, in order: none is missed, however short it stands.
pub(super) struct Revisions(tokio::sync::mpsc::UnboundedReceiver<Breaker>);

impl Revisions {
    pub(super) async fn watch(mesh: &TestMesh) -> Self {
        let client = mesh.server.client().await;
        let subject = format!("$KV.MESH_BREAKERS.{AGENT}.1_0_0");
        let mut heard = client.subscribe(subject).await.expect("subscribe");
        client.flush().await.expect("flush");
        let (found, revisions) = tokio::sync::mpsc::unbounded_channel();
        tokio::spawn(async move {
            while let Some(message) = heard.next().await {
                let breaker = serde_json::from_slice(&message.payload).expect("a breaker");
                if found.send(breaker).is_err() {
                    return;
                }
            }
        });
        Self(revisions)
    }

    pub(super) async fn any(&mut self) -> Breaker {
        let next = tokio::time::timeout(SOON, self.0.recv()).await;
        next.expect("a revision in time").expect("it is watched")
    }

    /// The next revision, which is in this state.
    pub(super) async fn next(&mut self, state: BreakerState) -> Breaker {
        let next = self.any().await;
        assert_eq!(next.state, state, "{next:?}");
        next
    }
}
