//! Versions that declare themselves.

use std::time::Duration;

use baton_envelope::Bands;
use baton_jetstream::{Puller, WorkerMesh};
use futures::StreamExt as _;

use crate::support::{PATIENCE, Running, TestServer, connect, declaration, eventually, quiet, research};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_version_that_declares_itself_gets_the_route_and_keeps_it() {
    let server = TestServer::start().await;
    let mesh = connect(&server).await;
    let (agent, first) = research();
    let controller = Running::start(&mesh, quiet("a"));
    eventually("the first version has the route", PATIENCE, async || {
        // Core NATS: a heartbeat that nobody heard is gone, so beat as a worker does.
        WorkerMesh::of(&mesh)
            .beat(&declaration(&mesh, "1.0.0"))
            .await
            .map_err(|error| error.to_string())?;
        let route = mesh.route(&agent).await.map_err(|error| error.to_string())?;
        route
            .map(|(route, _)| assert_eq!(route.active, first))
            .ok_or("no route".to_owned())
    })
    .await;

    // From now on the controller listens: one heartbeat is enough, and is handled at once.
    WorkerMesh::of(&mesh).beat(&declaration(&mesh, "2.0.0")).await.unwrap();
    eventually("the second version is kept", Duration::from_secs(1), async || {
        let kept = mesh.declarations().await.map_err(|error| error.to_string())?;
        if kept.len() == 2 {
            Ok(())
        } else {
            Err(format!("{} kept", kept.len()))
        }
    })
    .await;
    assert_eq!(mesh.route(&agent).await.unwrap().expect("a route").0.active, first);
    Puller::open(&WorkerMesh::of(&mesh), &agent, &first, Bands::default(), 1)
        .await
        .unwrap();
    controller.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_heartbeat_that_speaks_for_another_agent_is_not_believed() {
    let server = TestServer::start().await;
    let mesh = connect(&server).await;
    let controller = Running::start(&mesh, quiet("a"));
    eventually("research has its route", PATIENCE, async || {
        let mut forged = declaration(&mesh, "1.0.0");
        forged.agent = "code".parse().unwrap();
        let body = serde_json::to_vec(&forged).unwrap();
        let subject = mesh.subjects().heartbeat(&research().0, &research().1, "worker-1");
        mesh.publish_plain(subject, body.into())
            .await
            .map_err(|error| error.to_string())?;
        WorkerMesh::of(&mesh)
            .beat(&declaration(&mesh, "1.0.0"))
            .await
            .map_err(|error| error.to_string())?;
        mesh.route_of(&research().0).await.map_err(|error| error.to_string())
    })
    .await;
    let routes = mesh.all_routes().await.unwrap();
    assert_eq!(routes.len(), 1, "{routes:?}");
    controller.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn invented_versions_get_no_more_consumers_than_an_agent_may_have() {
    const MOST: usize = 50;
    let server = TestServer::start().await;
    let mesh = connect(&server).await;
    let mut alarms = server.client().await.subscribe("mesh.alarm").await.unwrap();
    let controller = Running::start(&mesh, quiet("a"));
    let beat_all = async || {
        for number in 0..100 {
            let declared = declaration(&mesh, &format!("9.{number}.0"));
            WorkerMesh::of(&mesh).beat(&declared).await.unwrap();
        }
    };
    let known = async || match mesh.route(&research().0).await {
        Ok(Some((route, _))) => Ok(route.versions.len()),
        Ok(None) => Err("no route".to_owned()),
        Err(error) => Err(error.to_string()),
    };
    eventually("as many as may be are known", PATIENCE, async || {
        beat_all().await;
        match known().await? {
            MOST => Ok(()),
            count => Err(format!("{count} versions")),
        }
    })
    .await;
    // All of the rest is refused: whoever is heard now is the hundredth, and says so.
    beat_all().await;
    let alarm = tokio::time::timeout(PATIENCE, alarms.next())
        .await
        .unwrap()
        .expect("an alarm");
    let text = String::from_utf8_lossy(&alarm.payload);
    assert!(
        text.contains("TOO_MANY_VERSIONS") && text.contains("research"),
        "{text}"
    );
    assert_eq!(known().await, Ok(MOST));
    let consumers = baton_testkit::consumers(&server.client().await, "MESH_WORK_research")
        .await
        .unwrap();
    assert_eq!(consumers.len(), MOST * Bands::default().list().len());
    controller.stop().await;
}
