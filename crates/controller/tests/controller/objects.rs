//! What the leader takes away of objects, and what it must not.

use std::time::Duration;

use baton_controller::{ArchiveConfig, ControllerConfig};
use baton_envelope::{Declaration, Envelope, Json, OBJECTS_SINCE, ProtocolRange, act};
use baton_jetstream::{Decision, Error, Known, Mesh, WorkerMesh};

use crate::support::{
    PATIENCE, Running, TestServer, declaration, eventually, id, mesh_with_research, operator, quiet, research,
};

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
        eventually(
            &format!("the objects of {gone} are gone"),
            PATIENCE,
            async || match count(&mesh, gone).await {
                0 => Ok(()),
                count => Err(format!("{count} messages")),
            },
        )
        .await;
    }
    // What a late writer stores for a tree that is closed goes, too.
    mesh.put_object(&id("closed"), "late".into(), "text/plain")
        .await
        .unwrap();
    eventually("what came late is gone", PATIENCE, async || {
        match count(&mesh, "closed").await {
            0 => Ok(()),
            count => Err(format!("{count} messages")),
        }
    })
    .await;
    assert_eq!(count(&mesh, "open").await, 1);
    assert_eq!(count(&mesh, "root").await, 1, "its child is open");
    close(&mesh, "child").await;
    eventually("the objects of the root are gone", PATIENCE, async || {
        match count(&mesh, "root").await {
            0 => Ok(()),
            count => Err(format!("{count} messages")),
        }
    })
    .await;
    assert_eq!(count(&mesh, "open").await, 1);
    controller.stop().await;
}
