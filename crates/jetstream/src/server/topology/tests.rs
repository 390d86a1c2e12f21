//! Raising the streams of a real server.

use std::time::Duration;

use baton_envelope::{AgentName, AgentVersion, Bands};
use baton_testkit::TestServer;
use serde_json::{Value, json};

use super::consumers::TAIL_DESCRIPTION;
use super::migrations::{ALL, CONSUMER_MIGRATIONS, MIGRATIONS, Migration, Migrations, TOPOLOGY, topology_of};
use crate::server::{ControllerMesh, Limits, Mesh, Target};

const GRACE: Duration = Duration::from_secs(600);

async fn connect(server: &TestServer) -> Mesh {
    Target::at(server.url()).connect().await.unwrap()
}

async fn config_of(mesh: &Mesh, stream: &str) -> Value {
    let what = format!("STREAM.INFO.{stream}");
    let info: Value = mesh.ask(&what, &json!({})).await.unwrap().unwrap();
    info["config"].clone()
}

/// As an earlier build made it, and an operator changed it.
async fn made_before(mesh: &Mesh) {
    let request = json!({
        "name": "MESH_INTAKE", "subjects": ["mesh.intent.*", "mesh.mine"], "retention": "workqueue", "storage": "file",
        "discard": "new", "max_bytes": 5_000_000, "metadata": { "owner": "someone" },
    });
    mesh.ask::<Value>("STREAM.CREATE.MESH_INTAKE", &request)
        .await
        .unwrap()
        .unwrap();
    mesh.ensure_topology(Limits::default()).await.unwrap();
}

#[tokio::test]
async fn a_stream_of_an_earlier_build_gets_what_was_added_and_keeps_what_an_operator_set() {
    let server = TestServer::start().await;
    let mesh = connect(&server).await;
    made_before(&mesh).await;

    let nobody = ControllerMesh::of(&mesh)
        .raise(Limits::default(), GRACE, || false)
        .await
        .unwrap();
    assert_eq!(nobody.changed, Vec::<String>::new(), "it does not lead");
    let raised = ControllerMesh::of(&mesh)
        .raise(Limits::default(), GRACE, || true)
        .await
        .unwrap();
    // The ledger is of this build: the leader only tells its grace.
    assert_eq!((raised.changed.len(), raised.refused.len()), (2, 0), "{raised:?}");
    let intake = config_of(&mesh, "MESH_INTAKE").await;
    let subjects = intake["subjects"].as_array().unwrap();
    for subject in ["mesh.intent.*", "mesh.mine", "mesh.signal.*.*"] {
        assert!(subjects.contains(&subject.into()), "{intake}");
    }
    assert_eq!(
        (&intake["max_bytes"], &intake["allow_direct"]),
        (&5_000_000.into(), &true.into())
    );
    assert_eq!(
        (topology_of(&intake), &intake["metadata"]["owner"]),
        (TOPOLOGY, &"someone".into())
    );
    let shared = mesh.shared_settings().await.unwrap().unwrap();
    assert_eq!((shared.archive_grace(), shared.topology()), (Some(GRACE), TOPOLOGY));

    let again = ControllerMesh::of(&mesh)
        .raise(Limits::default(), GRACE, || true)
        .await
        .unwrap();
    assert_eq!(again.changed, Vec::<String>::new());
}

#[tokio::test]
async fn an_older_controller_that_follows_the_ledger_holds_back_what_it_cannot_live_with() {
    const BLOCKING: Migration = Migration {
        name: "planted",
        since: TOPOLOGY + 1,
        needs_no_older_controller: true,
        raise: |_, config| {
            config.insert("description".to_owned(), "planted".into());
        },
    };
    let server = TestServer::start().await;
    let mesh = connect(&server).await;
    mesh.ensure_topology(Limits::default()).await.unwrap();
    let migrations = [MIGRATIONS, &[BLOCKING]].concat();
    let waits = async || {
        let migrations = Migrations {
            streams: &migrations,
            newest: TOPOLOGY + 1,
            ..ALL
        };
        let (plans, older) = mesh.plans(Limits::default(), None, migrations).await.unwrap();
        assert!(!plans.is_empty());
        (plans.iter().filter(|plan| plan.waits.is_some()).count(), older)
    };
    assert_eq!(waits().await, (0, Vec::new()), "nobody follows");

    // What a controller of 11c473a makes, and one of the topology that the migration has.
    let follow = |metadata: Value| {
        json!({ "stream_name": "MESH_LEDGER", "config": { "description": TAIL_DESCRIPTION, "ack_policy": "none",
                "mem_storage": true, "inactive_threshold": 60_000_000_000_u64, "metadata": metadata } })
    };
    let create = async |metadata| {
        let request = follow(metadata);
        mesh.ask::<Value>("CONSUMER.CREATE.MESH_LEDGER", &request)
            .await
            .unwrap()
            .unwrap()
    };
    create(json!({ "baton.topology": (TOPOLOGY + 1).to_string() })).await;
    assert_eq!(waits().await, (0, Vec::new()), "one of its own topology");
    let old = create(json!({})).await["name"].as_str().unwrap().to_owned();
    let (count, older) = waits().await;
    let streams = mesh.base_streams(crate::Limits::default()).len();
    assert_eq!((count, older), (streams, vec![old.clone()]));

    let gone = format!("CONSUMER.DELETE.MESH_LEDGER.{old}");
    mesh.ask::<Value>(&gone, &json!({})).await.unwrap().unwrap();
    assert_eq!(waits().await, (0, Vec::new()), "it has ended");
}

async fn consumer(mesh: &Mesh, stream: &str, name: &str) -> Value {
    let what = format!("CONSUMER.INFO.{stream}.{name}");
    mesh.ask::<Value>(&what, &json!({})).await.unwrap().unwrap()
}

/// A migration of consumers that comes later: its number, and a setting that it changes.
const PLANTED: Migration = Migration {
    name: "planted",
    since: TOPOLOGY + 1,
    needs_no_older_controller: false,
    raise: |_, config| {
        config.insert("description".to_owned(), "planted".into());
    },
};

#[tokio::test]
async fn each_durable_consumer_is_raised_once_and_stays_paused() {
    let server = TestServer::start().await;
    let mesh = ControllerMesh::of(&connect(&server).await);
    mesh.ensure_topology(Limits::default()).await.unwrap();
    let (agent, version): (AgentName, AgentVersion) = ("research".parse().unwrap(), "1.0.0".parse().unwrap());
    mesh.ensure_agent(&agent, &version, Bands::default()).await.unwrap();
    mesh.read_intake(super::Intake::Router).await.unwrap();
    assert_eq!(mesh.pause_version(&agent, &version).await.unwrap(), 3);
    let planted = [CONSUMER_MIGRATIONS, &[PLANTED]].concat();
    let later = Migrations {
        consumers: &planted,
        newest: TOPOLOGY + 1,
        ..ALL
    };
    let raise = async |migrations| {
        let raised = mesh.raise_by(migrations, Limits::default(), GRACE, || true).await;
        let raised = raised.unwrap();
        assert_eq!(raised.refused, Vec::<String>::new());
        let of_consumers = raised.changed.into_iter().filter(|what| what.starts_with("consumer "));
        of_consumers.count()
    };
    assert_eq!(raise(ALL).await, 0, "they are of this build");
    assert_eq!(raise(later).await, 4);
    assert_eq!(raise(later).await, 0, "once");
    let name = mesh.subjects().work_consumer(&version, Bands::default().list()[0]);
    for (stream, name) in [("MESH_WORK_research", &*name), ("MESH_INTAKE", "router")] {
        let found = consumer(&mesh, stream, name).await;
        assert_eq!(topology_of(&found["config"]), TOPOLOGY + 1, "{found}");
        assert_eq!(found["config"]["description"], "planted", "{found}");
        assert_eq!(found["paused"] == true, name != "router", "{found}");
    }
}
