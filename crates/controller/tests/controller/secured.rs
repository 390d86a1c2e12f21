//! The users of `config/nats/secure.conf` can do their work, and nothing else.

use std::path::{Path, PathBuf};
use std::time::Duration;

use baton_envelope::BundleFacts;
use baton_jetstream::{ControllerMesh, Mesh, Target, WorkerMesh};

use crate::support::{
    PATIENCE, Running, TestServer, declaration, eventually, head, id, listed, publish, puller, quiet, research, ticket,
};

/// The users of the file, without what a test server sets by itself (addresses, store).
fn users() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../config/nats/secure.conf");
    let text = std::fs::read_to_string(path).unwrap();
    let start = text.find("accounts {").expect("the accounts");
    text[start..].to_owned()
}

/// Contexts of the `nats` CLI, one for each user.
fn contexts(server: &TestServer) -> PathBuf {
    let folder = server.dir().join("contexts");
    let contexts = folder.join("nats/context");
    std::fs::create_dir_all(&contexts).unwrap();
    for user in ["controller", "ada", "shop", "research", "code"] {
        let context = serde_json::json!({
            "url": server.url(), "user": user, "password": format!("change-me-{user}"),
            "inbox_prefix": format!("_INBOX_{user}"),
        });
        std::fs::write(contexts.join(format!("{user}.json")), context.to_string()).unwrap();
    }
    folder
}

async fn connect_as(user: &str, folder: &Path) -> Mesh {
    Target {
        context: Some(user.to_owned()),
        config_dir: Some(folder.to_owned()),
        name: user.to_owned(),
        ..Target::default()
    }
    .connect()
    .await
    .unwrap_or_else(|error| panic!("{user}: {error}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[expect(clippy::too_many_lines, reason = "one server, user by user")]
async fn each_user_of_secure_conf_can_do_its_work_and_no_more() {
    let server = TestServer::builder().config(&users()).start().await;
    let folder = contexts(&server);
    let control = connect_as("controller", &folder).await;
    let controller = Running::start(&control, quiet("a"));

    let worker = connect_as("research", &folder).await;
    eventually("research has its route", PATIENCE, async || {
        WorkerMesh::of(&worker)
            .beat(&declaration(&worker, "1.0.0"))
            .await
            .map_err(|error| error.to_string())?;
        control.route_of(&research().0).await.map_err(|error| error.to_string())
    })
    .await;
    let mut tickets = puller(&worker).await;
    let publisher = connect_as("shop", &folder).await;
    publish(&publisher, "mesh.intent.research", &[], b"otters").await;
    let delivery = ticket(&mut tickets).await;
    let intent = delivery.ticket.intent.clone();
    assert_eq!(head(&worker, &intent).await.seq, delivery.ticket.seq);
    assert_eq!(worker.history(&intent, 1).await.unwrap().len(), 1);
    let _following = worker.follow_routes().await.unwrap();
    assert_eq!(worker.route_of(&research().0).await.unwrap().active, research().1);
    delivery.ack().await;

    // A publisher may not write the ledger.
    publisher
        .publish_plain("mesh.ledger.0.forged".to_owned(), "{}".into())
        .await
        .unwrap();
    // A worker may neither move its route, nor speak as another agent, nor publish raw intents.
    let (agent, version) = (research().0, "9.9.9".parse().unwrap());
    let usurper = ControllerMesh::of(&worker);
    let moved = usurper.set_route(&agent, &version, "me", false);
    let moved = tokio::time::timeout(Duration::from_secs(3), moved).await;
    assert!(!matches!(moved, Ok(Ok(_))), "a worker set a route");
    let mut forged = declaration(&worker, "1.0.0");
    forged.agent = "code".parse().unwrap();
    WorkerMesh::of(&worker).beat(&forged).await.unwrap();
    worker
        .publish_plain("mesh.intent.research".to_owned(), "forged".into())
        .await
        .unwrap();
    // A marker behind them, on the worker's own connection and then through the controller.
    WorkerMesh::of(&worker)
        .beat(&declaration(&worker, "2.0.0"))
        .await
        .unwrap();
    eventually("the marker is kept", PATIENCE, async || {
        let kept = control.declarations().await.map_err(|error| error.to_string())?;
        if kept.len() == 2 {
            Ok(())
        } else {
            Err(format!("{kept:?}"))
        }
    })
    .await;
    publish(&publisher, "mesh.intent.research", &[("Baton-Intent", "marker")], b"{}").await;
    head(&control, &id("marker")).await;
    assert_eq!(control.all_routes().await.unwrap()[0].active, research().1);
    let all = listed(&control, &[]).await.unwrap();
    assert_eq!(all.len(), 2, "only what was allowed became an intent");

    // The archive is the controllers' alone: nobody else writes bundles, and nobody else takes records out of the ledger.
    let operator = connect_as("ada", &folder).await;
    let bundle = ControllerMesh::of(&control)
        .stored_records(&intent)
        .await
        .unwrap()
        .expect("its records");
    let facts = BundleFacts {
        status: "completed".to_owned(),
        agent: Some(research().0),
        seq: 1,
        submitted_at: control.now(),
        ended_at: control.now(),
        generated: false,
    };
    let before = control.archive_end().await.unwrap().last_seq;
    for (who, mesh) in [("operator", &operator), ("worker", &worker), ("publisher", &publisher)] {
        for subject in ["mesh.archive.research", "$JS.API.STREAM.PURGE.MESH_LEDGER"] {
            mesh.publish_plain(subject.to_owned(), "{}".into()).await.unwrap();
        }
        let purged = tokio::time::timeout(
            Duration::from_secs(1),
            ControllerMesh::of(mesh).purge_records(&intent, 100),
        )
        .await;
        assert!(!matches!(purged, Ok(Ok(()))), "{who} purged the ledger");
    }
    let seq = ControllerMesh::of(&control)
        .archive_bundle(&bundle, &facts)
        .await
        .unwrap();
    assert_eq!(seq, before + 1, "somebody else wrote into the archive");
    assert!(control.head(&intent).await.unwrap().is_some(), "the ledger was purged");
    assert_eq!(control.bundle_at(seq).await.unwrap(), bundle);
    // A worker may ask whether a ticket is of an archived intent, and is answered.
    let mut old = head(&worker, &intent).await;
    old.record.snapshot.updated_at = worker.now().minus(Duration::from_secs(60));
    assert!(!worker.is_closed(&old).await.unwrap());
    controller.stop().await;
}
