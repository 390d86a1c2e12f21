//! What fills one stream is not the room of all.

use baton_jetstream::{Bounds, Error, Target, Trouble};

use crate::support::{TestServer, agent, submit, version};

#[tokio::test]
async fn a_full_intake_refuses_raw_intents_and_the_ledger_goes_on() {
    let server = TestServer::start().await;
    let target = Target {
        bounds: Bounds {
            intake_bytes: 20_000,
            work_consumers: 4,
            ..Bounds::default()
        },
        ..Target::at(server.url())
    };
    let mesh = target.connect().await.unwrap();
    mesh.ensure_topology(mesh.limits()).await.unwrap();
    let body = "x".repeat(4_000);
    let refused = loop {
        let sent = mesh.publish_raw("mesh.intent.research".to_owned(), Vec::new(), body.clone().into());
        match sent.await {
            Ok(seq) => assert!(seq < 10, "the intake has no bound"),
            Err(refused) => break refused,
        }
    };
    assert_eq!(
        (refused.trouble(), refused.code()),
        (Some(Trouble::Full), "STREAM_FULL"),
        "{refused}"
    );

    let bands = baton_envelope::Bands::default();
    mesh.ensure_agent(&agent(), &version("1.0.0"), bands).await.unwrap();
    baton_jetstream::ControllerMesh::of(&mesh)
        .set_route(&agent(), &version("1.0.0"), "test", true)
        .await
        .unwrap();
    submit(&mesh, "order-1").await;
    // A second version needs three consumers, and one is left.
    let refused = mesh.ensure_agent(&agent(), &version("2.0.0"), bands).await.unwrap_err();
    assert_eq!(refused.trouble(), Some(Trouble::TooManyConsumers), "{refused}");
}

#[tokio::test]
async fn a_server_without_the_room_makes_the_stream_without_the_bound() {
    let server = TestServer::builder()
        .config("accounts { A { jetstream: { max_file: 20MB }, users: [{user: \"a\", password: \"a\"}] } }")
        .start()
        .await;
    let target = Target {
        user: Some("a".to_owned()),
        password: Some("a".to_owned()),
        ..Target::at(server.url())
    };
    let mesh = target.connect().await.unwrap();
    mesh.ensure_topology(mesh.limits()).await.unwrap();
    let sent = mesh.publish_raw("mesh.intent.research".to_owned(), Vec::new(), "x".into());
    assert!(matches!(sent.await, Ok(1)));
}

#[tokio::test]
async fn an_account_without_jetstream_is_told_which_subject_it_may_not_ask() {
    let config = "accounts { A { jetstream: enabled }, B { users: [{user: \"b\", password: \"b\"}] } }";
    let server = TestServer::builder().config(config).start().await;
    let target = Target {
        user: Some("b".to_owned()),
        password: Some("b".to_owned()),
        ..Target::at(server.url())
    };
    let started = tokio::time::Instant::now();
    let Err(Error::Denied { what }) = target.connect().await else {
        panic!("connected")
    };
    assert!(what.contains("$JS.API.INFO"), "{what}");
    assert!(
        started.elapsed() < std::time::Duration::from_secs(3),
        "{:?}",
        started.elapsed()
    );
}
