//! The users of `config/nats/secure.conf` may do what drains and rollouts need, and a worker no more.

use std::path::{Path, PathBuf};
use std::time::Duration;

use baton_agent::{Agent, Json};
use baton_envelope::control::LoadReport;
use baton_envelope::{AgentName, Author, Bands, Envelope, Role};
use baton_jetstream::{Alive, ControllerMesh, Leading, Lease, Mesh, ReplayRequest, Target};

use crate::support::{PATIENCE, Shout, TestServer, completed, eventually, version};

fn research() -> AgentName {
    "research".parse().unwrap()
}

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
    for user in ["controller", "research"] {
        let context = serde_json::json!({
            "url": server.url(), "user": user, "password": format!("change-me-{user}"),
            "inbox_prefix": format!("_INBOX_{user}"),
        });
        std::fs::write(contexts.join(format!("{user}.json")), context.to_string()).unwrap();
    }
    folder
}

async fn connect_as(user: &str, folder: &Path) -> Mesh {
    let target = Target {
        context: Some(user.to_owned()),
        config_dir: Some(folder.to_owned()),
        name: user.to_owned(),
        ..Target::default()
    };
    target.connect().await.unwrap_or_else(|error| panic!("{user}: {error}"))
}

#[tokio::test]
#[expect(clippy::too_many_lines, reason = "one server, permission by permission")]
async fn a_controller_may_pause_lead_probe_and_replay_and_a_worker_may_not_resume_itself() {
    let server = TestServer::builder().config(&users()).start().await;
    let folder = contexts(&server);
    let control = connect_as("controller", &folder).await;
    control.ensure_topology(control.limits()).await.unwrap();
    control
        .ensure_agent(&research(), &version(), Bands::default())
        .await
        .unwrap();
    ControllerMesh::of(&control)
        .set_route(&research(), &version(), "test", true)
        .await
        .unwrap();
    let mesh = connect_as("research", &folder).await;
    let agent = Agent::builder("research", "1.0.0")
        .unwrap()
        .handler(Shout)
        .instance("w");
    let worker = agent.bind(&mesh).await.unwrap();
    let worker = tokio::spawn(worker.run_until(std::future::pending()));

    // What the worker said when it was bound may still be on its way to the server.
    eventually("the worker answers", PATIENCE, async || {
        match ControllerMesh::of(&control)
            .is_worker_alive(&research(), &version(), "w")
            .await
        {
            Alive::Yes => Ok(()),
            other @ (Alive::Gone | Alive::Silent) => Err(format!("{other:?}")),
        }
    })
    .await;
    let found = ControllerMesh::of(&control)
        .find_workers(Duration::from_millis(500))
        .await
        .unwrap();
    assert_eq!(found.len(), 1);
    let mut lease = Lease::new(control.clone().into(), "c");
    assert_eq!(lease.tick().await, Leading::Yes);
    lease.release().await;
    let report = LoadReport {
        alarms: Vec::new(),
        at: control.now(),
        versions: Vec::new(),
    };
    eventually("the worker hears of the load", PATIENCE, async || {
        ControllerMesh::of(&control)
            .publish_load(&report)
            .await
            .map_err(|error| error.to_string())?;
        mesh.load().map(drop).ok_or_else(|| "nothing".to_owned())
    })
    .await;

    ControllerMesh::of(&control)
        .pause_version(&research(), &version())
        .await
        .unwrap();
    let intent: baton_envelope::IntentId = "order".parse().unwrap();
    let envelope = Envelope::first(
        control.clock().envelope_id(),
        intent.clone(),
        research(),
        Json::string("otters"),
    );
    control
        .submit(envelope.clone(), Author::of(Role::Client, "test"))
        .await
        .unwrap();
    // A worker may neither end the pause of its consumers nor lead.
    let resuming = async { ControllerMesh::of(&mesh).resume_version(&research(), &version()).await };
    let resumed = tokio::time::timeout(Duration::from_secs(2), resuming).await;
    assert!(!matches!(resumed, Ok(Ok(_))), "a worker resumed its version");
    assert_eq!(Lease::new(mesh.clone().into(), "w").tick().await, Leading::No);
    let counts = control.agent_counts(&research()).await.unwrap();
    assert_eq!(counts[&version()].backlog, 1);
    assert_eq!(
        ControllerMesh::of(&control)
            .drop_superseded(&research(), &version())
            .await
            .unwrap(),
        0
    );
    ControllerMesh::of(&control)
        .resume_version(&research(), &version())
        .await
        .unwrap();
    completed(&control, &intent, Duration::from_secs(1)).await;

    let request = ReplayRequest {
        envelope,
        attempt: 1,
        steps: [("shout".to_owned(), Json::string("OTTERS"))].into(),
        waits: Default::default(),
    };
    let answer = ControllerMesh::of(&control)
        .replay(&research(), &version(), &request)
        .await
        .unwrap();
    assert_eq!(answer.outcome, "complete");
    worker.abort();
}
