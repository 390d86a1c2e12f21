//! Reading many heads at once.

use baton_envelope::{Envelope, IntentId, Json};

use crate::support::{TestServer, agent, mesh_with_research, operator};

/// They come in parts, so that they need not fit into the memory all at once; and all of them come.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn heads_larger_than_one_part_all_come() {
    let server = TestServer::start().await;
    let mesh = mesh_with_research(&server).await;
    let payload = Json::string(&"x".repeat(900_000));
    let mut intents: Vec<IntentId> = Vec::new();
    for n in 0..40 {
        let intent: IntentId = format!("large-{n}").parse().unwrap();
        let envelope = Envelope::first(mesh.clock().envelope_id(), intent.clone(), agent(), payload.clone());
        mesh.submit(envelope, operator()).await.unwrap();
        intents.push(intent);
    }
    intents.push("nobody".parse().unwrap());
    let heads = mesh.heads(&intents).await.unwrap();
    let found: Vec<&IntentId> = heads.iter().map(|head| &head.record.intent).collect();
    assert_eq!(found.len(), 40, "{found:?}");
    assert!(found.iter().all(|intent| intents.contains(intent)));
}
