//! Listing intents while they end.

use std::collections::HashSet;

use baton_envelope::IntentId;
use baton_jetstream::{ControllerMesh, Filter};

use crate::support::{TestServer, mesh_with_research, operator, submit};

/// How many end while one list is read.
const TOGETHER: usize = 24;
/// How many lists are read.
const LISTS: usize = 40;

/// Whether they end before, between or after the parts of a list, each is in it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_ends_while_a_list_is_read_is_in_it() {
    let server = TestServer::start().await;
    let mesh = mesh_with_research(&server).await;
    let mut submitted: HashSet<IntentId> = HashSet::new();
    for round in 0..LISTS {
        let mut ending = Vec::new();
        for n in 0..TOGETHER {
            ending.push(submit(&mesh, &format!("round-{round}-{n}")).await.record.intent);
        }
        submitted.extend(ending.iter().cloned());
        let canceller = ControllerMesh::of(&mesh);
        let cancels = tokio::spawn(async move {
            for intent in &ending {
                canceller.cancel(intent, "enough", &operator()).await.unwrap();
            }
        });
        let listed = mesh.list(&Filter::default()).await.unwrap().heads;
        let listed: HashSet<IntentId> = listed.into_iter().map(|head| head.record.intent).collect();
        let missing: Vec<&IntentId> = submitted.difference(&listed).collect();
        assert!(missing.is_empty(), "round {round}: {missing:?}");
        cancels.await.unwrap();
    }
}
