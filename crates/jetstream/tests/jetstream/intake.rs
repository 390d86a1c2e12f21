//! What the intake says of the messages that were taken from it.

use std::time::Duration;

use baton_jetstream::{ControllerMesh, Intake};
use baton_testkit::eventually;

use crate::support::{TestServer, agent, mesh_with_research};

/// Through which message all are acked: what stands before it in the intake is a server's that lost its removal.
#[tokio::test]
async fn a_kind_is_acked_through_its_last_ack_without_a_gap() {
    let server = TestServer::start().await;
    let mesh = mesh_with_research(&server).await;
    let control = ControllerMesh::of(&mesh);
    let reader = control.read_intake(Intake::Router).await.unwrap();
    assert_eq!(control.acked_through(Intake::Router).await.unwrap(), 0);
    for number in 1..=3 {
        let subject = "mesh.intent.research".to_owned();
        let stored = mesh.publish_raw(subject, Vec::new(), b"{}".to_vec().into()).await;
        assert_eq!(stored.unwrap(), number);
    }
    let mut taken = Vec::new();
    while taken.len() < 3 {
        taken.extend(reader.next_batch(3).await.unwrap());
    }
    let through = async |expected: u64| {
        eventually("the floor moves", Duration::from_secs(10), async || {
            let through = control.acked_through(Intake::Router).await.unwrap();
            (through == expected).then_some(()).ok_or_else(|| through.to_string())
        })
        .await;
    };
    taken[2].ack().await;
    through(0).await;
    taken[0].ack().await;
    through(1).await;
    taken[1].ack().await;
    through(3).await;
    let none = control.next_in_intake(&agent(), 1).await.unwrap();
    assert!(none.is_none(), "{none:?}");
}
