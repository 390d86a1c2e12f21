//! Raw intents become intents.

use std::collections::{HashMap, HashSet};

use baton_controller::ControllerConfig;
use baton_envelope::Status;

use crate::support::{
    PATIENCE, Running, TestServer, connect, eventually, head, id, listed, mesh_with_research, pass_marker, publish,
    puller, quiet, ticket,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_raw_intent_becomes_a_pending_intent_with_a_ticket() {
    let server = TestServer::start().await;
    let mesh = mesh_with_research(&server).await;
    let controller = Running::start(&mesh, quiet("a"));
    let headers = [("Baton-Priority", "9"), ("Baton-Kind", "look-up")];
    publish(&mesh, "mesh.intent.research", &headers, br#"{"topic":"otters"}"#).await;

    let mut tickets = puller(&mesh).await;
    let delivery = ticket(&mut tickets).await;
    let record = delivery.ticket.record.as_ref().expect("a record");
    let envelope = record.envelope.as_ref().expect("an envelope");
    assert_eq!(envelope.payload.get(), r#"{"topic":"otters"}"#);
    assert_eq!(
        (envelope.priority.get(), envelope.kind.as_deref()),
        (9, Some("look-up"))
    );
    let found = head(&mesh, &record.intent).await;
    assert_eq!(
        (found.seq, &found.record.snapshot.status),
        (delivery.ticket.seq, &Status::Pending)
    );
    assert_eq!(found.record.by.instance, "a");
    controller.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_controllers_share_the_intake() {
    let server = TestServer::start().await;
    let mesh = mesh_with_research(&server).await;
    let small = |instance: &str| ControllerConfig {
        route_batch: 4,
        ..quiet(instance)
    };
    let controllers = [
        Running::start(&connect(&server).await, small("a")),
        Running::start(&connect(&server).await, small("b")),
    ];
    let mut published = 0;
    let routed = eventually("both have routed", PATIENCE, async || {
        for _ in 0..50 {
            publish(&mesh, "mesh.intent.research", &[], b"{}").await;
        }
        published += 50;
        let heads = eventually("all are routed", PATIENCE, async || {
            let heads = listed(&mesh, &["pending"]).await?;
            if heads.len() == published {
                Ok(heads)
            } else {
                Err(format!("{} of {published}", heads.len()))
            }
        })
        .await;
        let by: HashSet<String> = heads.iter().map(|head| head.record.by.instance.clone()).collect();
        if by.len() == 2 {
            Ok(heads)
        } else {
            Err(format!("only {by:?}"))
        }
    })
    .await;
    for controller in controllers {
        controller.stop().await;
    }

    let mut tickets = puller(&mesh).await;
    let mut seen = HashMap::new();
    for _ in &routed {
        let delivery = ticket(&mut tickets).await;
        *seen.entry(delivery.ticket.intent.clone()).or_insert(0) += 1;
        delivery.ack().await;
    }
    assert_eq!(seen.len(), routed.len(), "each intent has one ticket");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_controller_goes_on_when_the_server_comes_back() {
    let server = TestServer::start().await;
    let mesh = mesh_with_research(&server).await;
    let controller = Running::start(&mesh, quiet("a"));
    pass_marker(&mesh, "before").await;
    server.kill().await;
    server.restart().await;
    eventually("the mesh answers again", PATIENCE, async || {
        mesh.head(&id("before")).await.map_err(|error| error.to_string())
    })
    .await;
    // Much sooner than a pull that was open at the old server would have ended.
    let since = tokio::time::Instant::now();
    pass_marker(&mesh, "after").await;
    assert!(since.elapsed().as_secs() < 10, "{:?}", since.elapsed());
    controller.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_controller_that_starts_later_finds_what_was_published_before() {
    let server = TestServer::start().await;
    let mesh = mesh_with_research(&server).await;
    let first = Running::start(&mesh, quiet("a"));
    pass_marker(&mesh, "before").await;
    first.stop().await;
    for _ in 0..300 {
        publish(&mesh, "mesh.intent.research", &[], b"{}").await;
    }
    let second = Running::start(&mesh, quiet("b"));
    eventually("all are routed", PATIENCE, async || {
        let found = listed(&mesh, &["pending"]).await?.len();
        if found == 301 {
            Ok(())
        } else {
            Err(format!("{found} of 301"))
        }
    })
    .await;
    second.stop().await;
}
