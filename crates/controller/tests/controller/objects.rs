//! What the leader takes away of objects, and what it must not.

use std::collections::BTreeMap;
use std::time::Duration;

use baton_controller::{ArchiveConfig, ControllerConfig};
use baton_envelope::{Body, Declaration, Envelope, Json, OBJECTS_SINCE, ObjectHash, ProtocolRange, act};
use baton_jetstream::{ControllerMesh, Decision, Error, Known, Limits, Mesh, WorkerMesh};
use serde_json::{Value, json};

use crate::support::{
    PATIENCE, Running, TestServer, declaration, eventually, id, mesh_with_research, operator, quiet, research,
};

const ARCHIVE: &str = "MESH_CONTEXT_ARCHIVE";
/// How long objects stay here.
const KEEP: Duration = Duration::from_millis(500);

fn keeping(instance: &str, keep_objects: Duration) -> ControllerConfig {
    ControllerConfig {
        archive: ArchiveConfig {
            keep_objects,
            ..ArchiveConfig::default()
        },
        ..quiet(instance)
    }
}

/// A payload that goes out of line.
fn large() -> Json {
    Json::string(&"o".repeat(100_000))
}

/// The content that stands for it.
fn content() -> Vec<u8> {
    Body::from(large()).content().unwrap().bytes
}

/// How many bundles of objects the archive has, by tree; none where there is no archive.
async fn bundles(server: &TestServer) -> BTreeMap<String, usize> {
    if !server.has_stream(ARCHIVE).await {
        return BTreeMap::new();
    }
    let request = json!({ "subjects_filter": "mesh.context-archive.>" });
    let info = server.api(&format!("STREAM.INFO.{ARCHIVE}"), &request).await;
    let mut trees = BTreeMap::new();
    let subjects = info.pointer("/state/subjects").and_then(Value::as_object);
    for subject in subjects.into_iter().flat_map(|all| all.keys()) {
        *trees.entry(subject.split('.').nth(2).unwrap().to_owned()).or_default() += 1;
    }
    trees
}

async fn is_gone(mesh: &Mesh, name: &str) {
    eventually(
        &format!("the objects of {name} are gone"),
        PATIENCE,
        async || match count(mesh, name).await {
            0 => Ok(()),
            count => Err(format!("{count} messages")),
        },
    )
    .await;
}

/// Whether the payload can be had, and is what it was.
async fn can_be_read(mesh: &Mesh, name: &str) -> bool {
    let hash = ObjectHash::of(&content());
    match mesh.get_object_at(&id(name), &hash, 1).await {
        Ok(found) => found == content(),
        Err(Error::ObjectMissing { .. }) => false,
        Err(error) => panic!("{error}"),
    }
}

/// Says that the version takes payloads by reference, as its workers do.
async fn declared(mesh: &Mesh) {
    let declared = Declaration {
        protocol: ProtocolRange::of_build(),
        ..declaration(mesh, "1.0.0")
    };
    let worker = WorkerMesh::of(mesh);
    let (agent, version) = research();
    eventually("its route says what it reads", PATIENCE, async || {
        // Again and again, as a worker does: the controller may not listen yet.
        worker.beat(&declared).await.unwrap();
        match mesh.route(&agent).await {
            Ok(Some((route, _)))
                if route
                    .versions
                    .get(&version)
                    .is_some_and(|entry| entry.protocol.newest >= OBJECTS_SINCE) =>
            {
                Ok(())
            }
            other => Err(format!("{other:?}")),
        }
    })
    .await;
}

async fn submit(mesh: &Mesh, name: &str) {
    let envelope = Envelope::first(mesh.clock().envelope_id(), id(name), research().0, large());
    mesh.submit(envelope, operator()).await.unwrap();
}

async fn close(mesh: &Mesh, name: &str) {
    let (intent, by) = (id(name), operator());
    let closed = mesh.advance(&intent, &by, Known::Unread, |head, _| {
        let head = head.ok_or_else(|| Error::NoIntent(id(name)))?;
        Ok::<_, Error>(Decision::Write(act::cancel(head.snapshot, "a test")?))
    });
    closed.await.unwrap();
}

async fn count(mesh: &Mesh, name: &str) -> usize {
    mesh.objects_of(&id(name)).await.unwrap().len()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn objects_go_with_their_closed_tree_and_never_with_an_open_one() {
    let server = TestServer::start().await;
    let mesh = mesh_with_research(&server).await;
    let controller = Running::start(&mesh, keeping("one", KEEP));
    declared(&mesh).await;
    for name in ["open", "closed"] {
        submit(&mesh, name).await;
        assert_eq!(count(&mesh, name).await, 1, "{name}");
    }
    // Of a root that is closed while a child is open, and of an intent that nobody ever submits.
    submit(&mesh, "root").await;
    let mut child = Envelope::first(mesh.clock().envelope_id(), id("child"), research().0, large());
    child.root = Some(id("root"));
    child.parent = Some(id("root"));
    mesh.submit(child, operator()).await.unwrap();
    mesh.put_object(&id("never"), "x".into(), "text/plain").await.unwrap();
    close(&mesh, "closed").await;
    close(&mesh, "root").await;

    for gone in ["closed", "never"] {
        is_gone(&mesh, gone).await;
    }
    assert!(can_be_read(&mesh, "closed").await);
    assert_eq!(
        bundles(&server).await,
        BTreeMap::from([("closed".to_owned(), 1)]),
        "nothing of never"
    );
    // What a late writer stores for a tree that is closed goes, too.
    mesh.put_object(&id("closed"), "late".into(), "text/plain")
        .await
        .unwrap();
    is_gone(&mesh, "closed").await;
    assert_eq!(count(&mesh, "open").await, 1);
    assert_eq!(count(&mesh, "root").await, 1, "its child is open");
    close(&mesh, "child").await;
    is_gone(&mesh, "root").await;
    assert!(can_be_read(&mesh, "root").await);
    // What came late has a bundle of its own.
    let expected = [("closed".to_owned(), 2), ("root".to_owned(), 1)];
    assert_eq!(bundles(&server).await, BTreeMap::from(expected));
    assert_eq!(count(&mesh, "open").await, 1);
    controller.stop().await;
}

/// The leader dies when the archive has all of it and the purge is not done: the next one begins anew, and changes nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_died_before_the_purge_is_followed_by_one_that_repeats_it() {
    let server = TestServer::start().await;
    let mesh = mesh_with_research(&server).await;
    let first = Running::start(&mesh, keeping("one", Duration::from_secs(3600)));
    declared(&mesh).await;
    submit(&mesh, "closed").await;
    close(&mesh, "closed").await;
    first.stop().await;
    let controllers = ControllerMesh::of(&mesh);
    let archived = controllers
        .archive_objects(&id("closed"), Limits::default())
        .await
        .unwrap();
    assert_eq!((archived.objects, archived.bundles), (1, 1));
    assert_eq!(count(&mesh, "closed").await, 1);

    let next = Running::start(&mesh, keeping("two", KEEP));
    is_gone(&mesh, "closed").await;
    assert!(can_be_read(&mesh, "closed").await);
    assert_eq!(bundles(&server).await, BTreeMap::from([("closed".to_owned(), 1)]));
    next.stop().await;
}

/// C13: an operator's edit has the server store elsewhere what it acknowledges.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn objects_stay_where_the_archive_does_not_show_them() {
    let server = TestServer::start().await;
    let mesh = mesh_with_research(&server).await;
    let subjects = json!({ "src": "mesh.context-archive.*.*", "dest": "elsewhere.{{wildcard(1)}}.{{wildcard(2)}}" });
    let stream = json!({ "name": ARCHIVE, "subjects": ["mesh.context-archive.*.*"], "retention": "limits", "storage": "file",
                         "num_replicas": 1, "allow_direct": true, "subject_transform": subjects });
    let made = server.api(&format!("STREAM.CREATE.{ARCHIVE}"), &stream).await;
    assert!(made.get("error").is_none(), "{made}");
    let controller = Running::start(&mesh, keeping("one", KEEP));
    declared(&mesh).await;
    submit(&mesh, "closed").await;
    close(&mesh, "closed").await;
    eventually("it was archived twice, and not found", PATIENCE, async || {
        if !server.has_stream(ARCHIVE).await {
            return Err("there is no archive yet".to_owned());
        }
        let info = server.api(&format!("STREAM.INFO.{ARCHIVE}"), &json!({})).await;
        match info.pointer("/state/messages").and_then(Value::as_u64) {
            Some(2..) => Ok(()),
            _ => Err(info.to_string()),
        }
    })
    .await;
    assert_eq!(count(&mesh, "closed").await, 1, "nobody has seen it in the archive");

    // It is mended, and what waits is archived.
    let removed = server.api(&format!("STREAM.DELETE.{ARCHIVE}"), &json!({})).await;
    assert!(removed.get("error").is_none(), "{removed}");
    is_gone(&mesh, "closed").await;
    assert!(can_be_read(&mesh, "closed").await);
    controller.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_an_archive_nothing_is_archived_and_no_stream_is_made() {
    let server = TestServer::start().await;
    let mesh = mesh_with_research(&server).await;
    let mut config = keeping("one", KEEP);
    config.archive.enabled = false;
    let controller = Running::start(&mesh, config);
    declared(&mesh).await;
    submit(&mesh, "closed").await;
    close(&mesh, "closed").await;
    is_gone(&mesh, "closed").await;
    assert!(!can_be_read(&mesh, "closed").await);
    assert!(!server.has_stream(ARCHIVE).await);
    controller.stop().await;
}
