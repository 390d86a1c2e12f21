//! The number of copies of all streams and buckets is changed by one question.

use baton_envelope::Bands;
use baton_envelope::codes;
use baton_envelope::control::{CopiesView, SetReplicas, ShowCopies};
use baton_jetstream::{ControllerMesh, Error, Level, Limits, Mesh, Target, examine};
use baton_testkit::Cluster;
use serde_json::{Value, json};

use crate::support::*;

async fn set(mesh: &Mesh, replicas: u32) -> Result<CopiesView, Error> {
    let by = "ada@test".to_owned();
    mesh.ask_controller(&SetReplicas { replicas, by }).await
}

async fn copies(mesh: &Mesh) -> (Level, String, String) {
    let findings = examine(mesh, Limits::default()).await.unwrap();
    let found = findings.into_iter().find(|one| one.check == "copies").unwrap();
    (found.level, found.found, found.remedy)
}

/// Waits until the mesh keeps three copies, and each is made.
async fn until_three_are_made(mesh: &Mesh) {
    eventually("each copy is made", PATIENCE, async || {
        let view = mesh
            .ask_controller(&ShowCopies {})
            .await
            .map_err(|error| error.to_string())?;
        (view.replicas == 3 && view.complete() == view.streams.len())
            .then_some(())
            .ok_or_else(|| format!("{view:?}"))
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_server_keeps_one_copy_and_nothing_is_changed() {
    let server = TestServer::start().await;
    let mesh = mesh_with_research(&server).await;
    let controller = Running::start(&connect(&server).await, quiet("a"));
    for (replicas, code) in [
        (3, codes::TOO_FEW_SERVERS),
        (0, codes::BAD_REQUEST),
        (6, codes::BAD_REQUEST),
    ] {
        let refused = set(&mesh, replicas).await.expect_err("refused");
        assert_eq!(refused.code(), code, "{refused}");
    }
    let view = set(&mesh, 1).await.unwrap();
    assert_eq!((view.replicas, view.complete()), (1, view.streams.len()));
    assert_eq!(copies(&mesh).await.0, Level::Ok);
    controller.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_stream_gets_its_copies_and_so_do_those_of_later_agents() {
    let cluster = Cluster::start(3).await;
    let connect = async || Target::at(cluster.urls()).connect().await.unwrap();
    // A worker that knew nothing of three servers came first.
    let mesh = connect().await;
    mesh.ensure_topology(Limits::default()).await.unwrap();
    let (agent, version) = research();
    mesh.ensure_agent(&agent, &version, Bands::default()).await.unwrap();
    let running = [
        Running::start(&connect().await, quiet("a")),
        Running::start(&connect().await, quiet("b")),
    ];
    let view = set(&mesh, 3).await.unwrap();
    assert_eq!(view.replicas, 3);
    assert!(
        view.streams.iter().all(|one| one.copies == 3 && one.problem.is_none()),
        "{view:?}"
    );
    let names: Vec<&str> = view.streams.iter().map(|one| &*one.stream).collect();
    assert_eq!(names[0], "MESH_LEDGER", "it is the mesh's number");
    for name in [
        "KV_MESH_ROUTES",
        "KV_MESH_CONTROL",
        "MESH_ARCHIVE",
        "MESH_CONTEXT",
        "MESH_MEMORY",
        "MESH_INTAKE",
        "MESH_WORK_research",
    ] {
        assert!(names.contains(&name), "no {name} in {names:?}");
    }
    until_three_are_made(&mesh).await;
    assert_eq!(copies(&mesh).await.0, Level::Ok);
    assert_eq!(mesh.shared_settings().await.unwrap().unwrap().replicas(), 3);
    let client = cluster.client().await;
    let ask = async |what: &str, body: Value| {
        let reply = client
            .request(format!("$JS.API.{what}"), body.to_string().into())
            .await
            .unwrap();
        serde_json::from_slice::<Value>(&reply.payload).unwrap()
    };
    eventually("consumers follow their stream", PATIENCE, async || {
        let info = ask("CONSUMER.LIST.MESH_WORK_research", json!({})).await;
        let consumers = info["consumers"].as_array().unwrap();
        let has_all = |one: &Value| one["cluster"]["replicas"].as_array().map_or(0, Vec::len) == 2;
        let are_three = consumers.len() == 3 && consumers.iter().all(has_all);
        are_three.then_some(()).ok_or_else(|| info.to_string())
    })
    .await;

    // Each process reads the number again by itself, at most a minute later.
    mesh.learn_copies().await.unwrap();
    let later = "later".parse().unwrap();
    mesh.ensure_agent(&later, &version, Bands::default()).await.unwrap();
    let made = ask("STREAM.INFO.MESH_WORK_later", json!({})).await;
    assert_eq!(made["config"]["num_replicas"], 3, "{made}");

    // Somebody edits one of them, and a server is lost.
    let mut config = ask("STREAM.INFO.MESH_INTAKE", json!({})).await["config"].clone();
    config["num_replicas"] = json!(1);
    ask("STREAM.UPDATE.MESH_INTAKE", config).await;
    let (level, found, remedy) = copies(&mesh).await;
    assert_eq!((level, &*remedy), (Level::Warning, "`baton mesh replicas 3`"));
    assert!(found.contains("MESH_INTAKE keeps 1"), "{found}");
    assert!(set(&mesh, 3).await.unwrap().streams.iter().all(|one| one.copies == 3));
    for controller in running {
        controller.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_leader_that_is_told_decides_where_a_worker_came_before_it() {
    let cluster = Cluster::start(3).await;
    let connect = async || Target::at(cluster.urls()).connect().await.unwrap();
    let mesh = connect().await;
    mesh.ensure_topology(Limits::default()).await.unwrap();
    let (agent, version) = research();
    mesh.ensure_agent(&agent, &version, Bands::default()).await.unwrap();
    let mut told = quiet("a");
    told.limits.replicas = 3;
    let controller = Running::start(&connect().await, told);
    until_three_are_made(&mesh).await;
    // What a person has set is decided.
    set(&mesh, 1).await.unwrap();
    assert!(ControllerMesh::of(&mesh).decide_copies(3).await.unwrap().is_none());
    controller.stop().await;
}
