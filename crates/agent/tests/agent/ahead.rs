//! Tickets that are ahead of the ledger: a power cut took the record, or somebody edited the ledger, and left the ticket.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use baton_agent::{Agent, Fault, Handler, Hop, Json, Outcome};
use tokio::sync::Notify;

use crate::support::{PATIENCE, TestServer, eventually, mesh, shout, start, submit};

#[tokio::test(flavor = "multi_thread")]
async fn a_ticket_whose_record_was_lost_does_not_stay_for_ever() {
    let server = TestServer::start().await;
    let mesh = mesh(&server).await;
    let _worker = start(&server, shout()).await;
    let intent = submit(&mesh, "ahead").await;
    // A ticket of a record that the ledger had and has not any more.
    let headers = [
        ("Baton-Intent", "ahead"),
        ("Baton-Ledger-Sequence", "999"),
        ("Baton-Reissued", "1"),
    ];
    let headers = headers.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let subject = "mesh.work.shout.1_0_0.p5".to_owned();
    mesh.publish_raw(subject, headers.to_vec(), "{}".into()).await.unwrap();
    let client = server.client().await;
    eventually(
        "the queue is empty",
        PATIENCE,
        async || match baton_testkit::stream_size(&client, "MESH_WORK_shout").await {
            Ok(0) => Ok(()),
            left => Err(format!("{left:?}")),
        },
    )
    .await;
    let head = mesh.head(&intent).await.unwrap().unwrap();
    assert_eq!(head.record.snapshot.status.name(), "completed");
    assert_eq!(head.record.snapshot.attempt, 1);
}

/// Pays once, waits until it is let go, and fails.
struct Pays {
    paid: Arc<AtomicU32>,
    go: Arc<Notify>,
}

impl Handler for Pays {
    type Input = Json;

    async fn handle(&self, hop: &mut Hop, _: Json) -> Result<Outcome, Fault> {
        let paid = Arc::clone(&self.paid);
        hop.step("pay", move || async move {
            paid.fetch_add(1, Ordering::SeqCst);
            Ok::<_, Fault>(1)
        })
        .await?;
        self.go.notified().await;
        Err(Fault::retry("not yet"))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hop_whose_first_records_are_lost_is_parked_and_does_nothing_again() {
    let server = TestServer::start().await;
    let mesh = mesh(&server).await;
    let (paid, go) = (Arc::new(AtomicU32::new(0)), Arc::new(Notify::new()));
    let pays = Pays {
        paid: Arc::clone(&paid),
        go: Arc::clone(&go),
    };
    let _worker = start(&server, Agent::builder("shout", "1.0.0").unwrap().handler(pays)).await;
    let intent = submit(&mesh, "lost").await;
    eventually("it has paid", PATIENCE, async || match mesh.head(&intent).await {
        Ok(Some(head)) if head.record.step.is_some() => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await;
    // As with `max_msgs_per_subject` on the ledger: of each intent only the last records stay.
    let purge = serde_json::json!({ "filter": mesh.subjects().ledger(&intent), "keep": 1 });
    server.api("STREAM.PURGE.MESH_LEDGER", &purge).await;
    go.notify_waiters();
    let head = eventually("it is parked", PATIENCE, async || match mesh.head(&intent).await {
        Ok(Some(head)) if head.record.snapshot.status.name() == "parked" => Ok(head),
        other => Err(format!("{other:?}")),
    })
    .await;
    let error = head.record.snapshot.error.unwrap();
    assert_eq!(error.code, "NO_ENVELOPE", "{error:?}");
    assert_eq!(paid.load(Ordering::SeqCst), 1, "a step is not done again");
}
