//! Following the ledger.

use std::time::Duration;

use async_nats::jetstream;
use baton_jetstream::LedgerMark;

use crate::support::{TestServer, eventually, mesh_with_research, submit};

/// The server would keep it for 10 s more, and count for it anew with each purge.
#[tokio::test]
async fn a_consumer_that_is_not_needed_any_more_is_deleted() {
    let server = TestServer::start().await;
    let mesh = mesh_with_research(&server).await;
    submit(&mesh, "order-1").await;
    let context = jetstream::new(server.client().await);
    let consumers = async || {
        let stream = context.get_stream("MESH_LEDGER").await.unwrap();
        stream.cached_info().state.consumer_count
    };
    let end = mesh.ledger_end().await.unwrap();
    for _ in 0..3 {
        let mut tail = mesh.tail_ledger(&end.created, LedgerMark::default());
        let batch = tail.next_batch().await.unwrap().unwrap();
        assert_eq!(batch.records.len(), 1);
        assert!(consumers().await >= 1);
    }
    // Sooner than the server would remove the last of them by itself.
    eventually(
        "no consumer is left",
        Duration::from_secs(9),
        async || match consumers().await {
            0 => Ok(()),
            left => Err(format!("{left} are")),
        },
    )
    .await;
}
