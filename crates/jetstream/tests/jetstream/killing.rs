//! What a kill takes that the server has forgotten, and what a resume leaves alone that was killed meanwhile.

use std::time::Duration;

use baton_envelope::rollout::{Act, kill_work};
use baton_envelope::{Author, Route, Stamp, act};
use baton_jetstream::{ControllerMesh, Error, Mesh, Taking, Target};
use baton_testkit::{consumers, eventually, limit_stream, records};

use crate::support::{TestServer, agent, mesh_with_research, operator, submit, version};

const HELD_BY: &str = "w1";

/// Takes an intent for a worker, as one does that got its ticket.
async fn take(mesh: &Mesh, id: &str) {
    let head = mesh.head(&id.parse().unwrap()).await.unwrap().unwrap();
    let claimed = act::claim(&head.record.snapshot.seen_at(head.seq), HELD_BY, 1).unwrap();
    let stamp = Stamp {
        id: mesh.clock().record_id(),
        at: mesh.now(),
        by: Author::worker(agent(), version("1.0.0"), HELD_BY),
    };
    records::put(mesh.url(), &claimed.seal(head.record.intent, head.seq, stamp), head.seq).await;
}

/// Who kills, and why, from now on.
fn taking<'a>(mesh: &Mesh, by: &'a Author) -> Taking<'a> {
    Taking {
        reason: "it deletes files",
        by,
        since: mesh.now(),
    }
}

/// A server that was killed forgets deliveries that were under way: its consumers say then that they gave nothing away, and only
/// the ledger says who holds what. Would fail with a kill that asks the consumers alone.
#[tokio::test]
async fn a_kill_takes_what_is_held_though_no_consumer_knows_that_it_was_delivered() {
    let server = TestServer::start().await;
    let mesh = mesh_with_research(&server).await;
    for id in ["held", "queued", "held-too"] {
        submit(&mesh, id).await;
    }
    take(&mesh, "held").await;
    take(&mesh, "held-too").await;
    for consumer in consumers(&server.client().await, "MESH_WORK_research").await.unwrap() {
        assert_eq!((consumer.delivered, consumer.floor), (0, 0), "it knows of no delivery");
    }
    let by = operator();
    let taking = taking(&mesh, &by);
    let control = ControllerMesh::of(&mesh);
    let fenced = control
        .fence_version(&agent(), &version("1.0.0"), taking)
        .await
        .unwrap();
    let fenced: Vec<&str> = fenced.iter().map(|intent| intent.as_str()).collect();
    assert_eq!(fenced, ["held", "held-too"]);
    for (id, event) in [("held", "released"), ("held-too", "released"), ("queued", "submitted")] {
        let head = mesh.head(&id.parse().unwrap()).await.unwrap().unwrap();
        assert_eq!(head.record.event.name(), event, "{id}");
        assert_eq!(head.record.snapshot.holder, None, "{id}");
    }
    assert_eq!(
        control
            .fence_version(&agent(), &version("1.0.0"), taking)
            .await
            .unwrap()
            .len(),
        2,
        "the same two"
    );
}

/// A fresh hop runs without a record: when the server has forgotten its delivery, nobody knows of it. Would fail with a kill that
/// spares what has neither a delivery nor a holder after its server was killed: its worker would commit later.
#[tokio::test]
async fn a_kill_takes_what_may_run_unrecorded_since_its_server_was_killed() {
    let server = TestServer::start().await;
    let mesh = mesh_with_research(&server).await;
    submit(&mesh, "fresh").await;
    server.kill().await;
    server.restart().await;
    mesh.flush().await.unwrap();
    eventually("it has connected again", Duration::from_secs(10), async || {
        (mesh.connections_made() == 2)
            .then_some(())
            .ok_or_else(|| "not yet".to_owned())
    })
    .await;
    let by = operator();
    let taking = taking(&mesh, &by);
    let control = ControllerMesh::of(&mesh);
    let fenced = control.fence_version(&agent(), &version("1.0.0"), taking).await;
    assert_eq!(fenced.unwrap().len(), 1);
    let head = mesh.head(&"fresh".parse().unwrap()).await.unwrap().unwrap();
    assert_eq!(head.record.event.name(), "released");
}

/// A controller that starts after its server came back has made one connection. Would fail with one that goes by that alone.
#[tokio::test]
async fn a_kill_takes_what_may_run_unrecorded_also_where_its_controller_came_after_the_server() {
    let server = TestServer::start().await;
    let before = mesh_with_research(&server).await;
    ControllerMesh::of(&before).note_server().await.unwrap();
    submit(&before, "fresh").await;
    let by = operator();
    let taken = async |mesh: &Mesh| {
        let taking = taking(mesh, &by);
        let (control, version) = (ControllerMesh::of(mesh), version("1.0.0"));
        control.fence_version(&agent(), &version, taking).await.unwrap().len()
    };
    assert_eq!(taken(&before).await, 0, "this server has forgotten nothing");
    ControllerMesh::of(&before)
        .resume_version(&agent(), &version("1.0.0"))
        .await
        .unwrap();
    server.kill().await;
    server.restart().await;
    let after = Target::at(server.url()).connect().await.unwrap();
    assert_eq!(after.connections_made(), 1);
    assert_eq!(taken(&after).await, 1);
    // Also one that comes after the restart was noted.
    submit(&after, "later").await;
    let next = Target::at(server.url()).connect().await.unwrap();
    assert_eq!(taken(&next).await, 2);
}

/// Would fail with a resume that goes on by the route of its beginning: it would start the consumers of a version that was killed
/// in the meantime.
#[tokio::test]
async fn a_resume_starts_nothing_of_what_the_route_holds_back_by_then() {
    let server = TestServer::start().await;
    let mesh = mesh_with_research(&server).await;
    let (control, one) = (ControllerMesh::of(&mesh), version("1.0.0"));
    submit(&mesh, "queued").await;
    let paused = control.pause_version(&agent(), &one).await.unwrap();
    assert!(paused > 1, "each band has a consumer");
    let ordered = Act::new("ada@test", mesh.now());
    let kill = |route: Option<&Route>| match route {
        Some(route) => kill_work(route, None, &ordered),
        None => Ok(None),
    };
    control.change_route(&agent(), kill).await.unwrap();
    // As a controller does that has read the route before.
    assert_eq!(control.resume_version(&agent(), &one).await.unwrap(), 0);
    let counts = mesh.agent_counts(&agent()).await.unwrap();
    assert!(!counts[&one].running, "{:?}", counts[&one]);
    assert_eq!(
        control.pause_version(&agent(), &one).await.unwrap(),
        0,
        "all of them are paused still"
    );
}

/// Would fail with a kill that is done though the server has refused what fences a hop out: its worker would commit later.
#[tokio::test]
async fn a_kill_is_not_done_while_the_ledger_is_full() {
    let server = TestServer::start().await;
    let (mesh, client) = (mesh_with_research(&server).await, server.client().await);
    for id in ["one", "two"] {
        submit(&mesh, id).await;
        take(&mesh, id).await;
    }
    let by = operator();
    let taking = taking(&mesh, &by);
    let (control, version) = (ControllerMesh::of(&mesh), version("1.0.0"));
    limit_stream(&client, "MESH_LEDGER", Some(0)).await.unwrap();
    let refused = control.fence_version(&agent(), &version, taking).await;
    assert!(matches!(refused, Err(Error::Refused(_))), "{refused:?}");
    limit_stream(&client, "MESH_LEDGER", None).await.unwrap();
    let fenced = control.fence_version(&agent(), &version, taking).await.unwrap();
    let fenced: Vec<&str> = fenced.iter().map(|intent| intent.as_str()).collect();
    assert_eq!(fenced, ["one", "two"]);
}
