//! Load reports reach whoever follows the routes, and capabilities are chosen by them.

use std::collections::BTreeMap;

use baton_envelope::control::{LoadReport, VersionLoad};
use baton_envelope::{Asked, Route, VersionEntry};
use baton_jetstream::{ControllerMesh, Error, Mesh};

use crate::support::{PATIENCE, TestServer, connect, eventually, version};

async fn declare(mesh: &Mesh, agent: &str, capabilities: &[&str]) {
    let (agent, version) = (agent.parse().unwrap(), version("1.0.0"));
    let entry = VersionEntry {
        capabilities: capabilities.iter().map(|&one| one.to_owned()).collect(),
        ..VersionEntry::default()
    };
    ControllerMesh::of(mesh)
        .change_route(&agent, |_| {
            let mut route = Route::first(agent.clone(), version.clone(), mesh.now(), "test");
            route.versions.insert(version.clone(), entry.clone());
            Ok(Some(route))
        })
        .await
        .unwrap();
}

#[tokio::test]
async fn the_least_loaded_agent_that_can_do_it_is_chosen() {
    let server = TestServer::start().await;
    let mesh = connect(&server).await;
    mesh.ensure_topology(mesh.limits()).await.unwrap();
    for agent in ["busy", "idle"] {
        declare(&mesh, agent, &["ocr"]).await;
    }
    declare(&mesh, "idlest", &[]).await;
    let leader = connect(&server).await;
    let of = |agent: &str, backlog| VersionLoad {
        agent: agent.parse().unwrap(),
        version: version("1.0.0"),
        backlog,
        workers: 1,
        breaker_open: false,
    };
    let report = LoadReport {
        alarms: Vec::new(),
        at: leader.now(),
        versions: vec![of("busy", 9), of("idle", 1), of("idlest", 0)],
    };
    ControllerMesh::of(&leader).publish_load(&report).await.unwrap();
    assert_eq!(mesh.load(), None, "nobody follows");

    let _follower = mesh.follow_routes().await.unwrap();
    eventually("the report is heard", PATIENCE, async || {
        ControllerMesh::of(&leader).publish_load(&report).await.unwrap();
        mesh.load().map(drop).ok_or_else(|| "none".to_owned())
    })
    .await;
    assert_eq!(*mesh.load().unwrap(), report);

    let (root, pins) = ("root".parse().unwrap(), BTreeMap::new());
    let asked = Asked {
        root: &root,
        kind: None,
        pins: &pins,
        path: &[],
    };
    let (agent, choice, candidates) = mesh.choose_capable(&["ocr".to_owned()], &asked).await.unwrap();
    assert_eq!((agent.as_str(), choice.version), ("idle", version("1.0.0")));
    let order: Vec<_> = candidates.iter().map(|one| (one.agent.as_str(), one.able)).collect();
    assert_eq!(order, [("idle", true), ("busy", true), ("idlest", false)]);

    let refused = mesh.choose_capable(&["steno".to_owned()], &asked).await.unwrap_err();
    assert!(
        matches!(&refused, Error::NoneCapable { needed, .. } if needed == &["steno"]),
        "{refused}"
    );
    assert!(refused.to_string().contains("busy 1.0.0: lacks steno"), "{refused}");
}
