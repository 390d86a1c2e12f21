//! Tickets that are ahead of the ledger: a power cut took the record, and left the ticket.

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
