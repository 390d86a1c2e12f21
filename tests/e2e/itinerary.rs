//! Work that goes through agents that do not name each other: by an itinerary, by a pipeline, and to an agent elsewhere.

use std::time::Duration;

use baton_agent::{Agent, Fault, Handler, Hop, Outcome};
use baton_e2e::TestMesh;
use baton_e2e::chaos::{Running, assert_legal, at_most};
use baton_e2e::gated::{id, result};
use baton_envelope::{AgentName, Author, Envelope, Role};
use baton_jetstream::{Error, Head};
use baton_testkit::nats_cli;
use serde_json::json;

use crate::nats_cli::{Publisher, run, worker};

/// How long anything may take on a slow machine.
const SOON: Duration = Duration::from_secs(90);

/// A cycle with a way out.
const ARTICLE: &str = "\
description = \"written and reviewed\"
[[steps]]
agent = \"write\"
[[steps]]
agent = \"qa\"
next = [\"ship\", \"write\"]
[[steps]]
agent = \"ship\"
";

fn name(text: &str) -> AgentName {
    text.parse().expect("a name")
}

fn path(head: &Head) -> Vec<&str> {
    let path = head.record.snapshot.path.iter();
    path.map(|entry| entry.agent.as_str()).collect()
}

/// Adds its letter to what it gets, and hands on to whoever is next; elsewhere where the payload says so.
struct Adds(&'static str);

impl Handler for Adds {
    type Input = String;

    async fn handle(&self, _: &mut Hop, work: String) -> Result<Outcome, Fault> {
        let done = format!("{work}{}", self.0);
        match (self.0, work.as_str()) {
            ("w", "around:") => Outcome::hand_off("detour", &done),
            // Not good enough, once or always.
            ("q", "again:w" | "bad:w" | "bad:wqw") => Outcome::hand_off("write", &done),
            _ => Outcome::next(&done),
        }
    }
}

async fn started(mesh: &TestMesh, agents: &[&'static str]) -> Vec<Running> {
    let mut workers = Vec::new();
    for name in agents {
        let agent = Agent::builder(name, "1.0.0").expect("agent").handler(Adds(&name[..1]));
        workers.push(Running::start(mesh.server.url(), agent).await);
    }
    for name in agents {
        mesh.until_version_is(name, "1.0.0", "active").await;
    }
    workers
}

async fn stop(workers: Vec<Running>) {
    for worker in workers {
        worker.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn work_goes_through_its_itinerary_and_a_detour_keeps_the_rest() {
    let mesh = TestMesh::start().await;
    let workers = started(&mesh, &["write", "qa", "ship", "detour"]).await;
    for (id, payload, expected, agents) in [
        ("straight", "\"\"", "wqs", &["write", "qa", "ship"][..]),
        (
            "around",
            "\"around:\"",
            "around:wdqs",
            &["write", "detour", "qa", "ship"],
        ),
    ] {
        let mut envelope = mesh.envelope(id, "write", payload);
        envelope.itinerary = vec![name("qa"), name("ship")];
        let intent = mesh.submit_envelope(envelope).await;
        let head = mesh.until(&intent, "completed", SOON).await;
        assert_eq!(
            (result(&head).as_str(), path(&head)),
            (expected, agents.to_vec()),
            "{id}"
        );
        assert_legal(&mesh.history_of(&intent).await);
    }
    stop(workers).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn plain_programs_are_a_pipe_for_the_command_and_for_a_bare_publish() {
    let mesh = TestMesh::start().await;
    let dir = tempfile::tempdir().expect("a folder");
    let tell = r#"cat > /dev/null; echo '{"outcome":"next","payload":"otters","note":"told"}'"#;
    let workers = [
        worker(&mesh, dir.path(), "tell", &["--exec", tell, "--json"]).await,
        worker(&mesh, dir.path(), "shout", &["--exec", "tr a-z A-Z"]).await,
        worker(&mesh, dir.path(), "dash", &["--exec", "sed 's/./&-/g'"]).await,
    ];
    let sent = run(mesh.baton(&["send", "tell", "1", "--itinerary", "shout,dash", "--wait"])).await;
    assert_eq!(sent.exits(0).stdout.trim(), "O-T-T-E-R-S-");
    let mut ways = vec![Publisher::BareClient];
    ways.extend(nats_cli().await.map(Publisher::NatsCli));
    for (number, way) in ways.iter().enumerate() {
        let intent = id(&format!("raw-{number}"));
        let headers = [("Baton-Intent", intent.as_str()), ("Baton-Itinerary", "shout, dash")];
        way.publish(&mesh.server, "mesh.intent.tell", &headers, "1").await;
        let head = mesh.until(&intent, "completed", SOON).await;
        assert_eq!(
            (result(&head).as_str(), path(&head)),
            ("O-T-T-E-R-S-", vec!["tell", "shout", "dash"])
        );
    }
    drop(workers);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_itinerary_that_cannot_be_gone_through_is_refused_where_it_is_submitted() {
    let mesh = TestMesh::start().await;
    let workers = started(&mesh, &["write"]).await;
    let mut envelope = mesh.envelope("unknown", "write", "\"\"");
    envelope.itinerary = vec![name("nobody")];
    let refused = mesh
        .mesh
        .submit(envelope.clone(), Author::of(Role::Client, "test"))
        .await;
    assert!(
        matches!(&refused, Err(Error::UnknownAgent { agent, .. }) if agent == "nobody"),
        "{refused:?}"
    );
    envelope.itinerary = vec![name("write"); 10];
    let refused = mesh
        .mesh
        .submit(envelope, Author::of(Role::Client, "test"))
        .await
        .expect_err("too long")
        .to_string();
    assert!(
        refused.contains("`itinerary`") && refused.contains("max_hops 10"),
        "{refused}"
    );
    run(mesh.baton(&["send", "write", "1", "--itinerary", "nobody"]))
        .await
        .exits(3)
        .says(&["\"nobody\" is unknown"]);
    run(mesh.baton(&["send", "write", "1", "--itinerary", "a.b"]))
        .await
        .exits(2);
    for (itinerary, code) in [("write,nobody", "UNKNOWN_AGENT"), ("write,", "BAD_HEADER")] {
        let intent = id(code);
        let headers = [("Baton-Intent", code), ("Baton-Itinerary", itinerary)];
        crate::nats_cli::publish(&mesh.server, "mesh.intent.write", &headers, b"1").await;
        let head = mesh.until(&intent, "rejected", SOON).await;
        assert_eq!(head.record.snapshot.error.expect("an error").code, code);
    }
    stop(workers).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pipeline_has_choices_and_cycles_and_the_hop_limit_shows_the_cycle() {
    let mesh = TestMesh::start().await;
    let workers = started(&mesh, &["write", "qa", "ship"]).await;
    let dir = tempfile::tempdir().expect("a folder");
    let folder = dir.path().display().to_string();
    std::fs::write(dir.path().join("article.toml"), ARTICLE).expect("written");
    let at = ["--pipelines", folder.as_str()];
    let baton = |args: &[&str]| run(mesh.baton(&[args, &at[..]].concat()));

    let listed = baton(&["pipelines", "list", "--output", "json"]).await.exits(0).json();
    assert_eq!(
        listed["pipelines"][0]["steps"][1]["next"],
        json!(["ship", "write"]),
        "{listed}"
    );
    baton(&["pipelines", "check"]).await.exits(0);
    let sent = baton(&["send", "--pipeline", "article", "again:", "--id", "article-1", "--wait"]).await;
    assert_eq!(sent.exits(0).stdout.trim(), "again:wqwqs");
    let head = mesh.until(&id("article-1"), "completed", SOON).await;
    assert_eq!(path(&head), ["write", "qa", "write", "qa", "ship"]);

    // What is under way goes by its envelope, whatever becomes of the file.
    let first: Envelope = *mesh.history_of(&id("article-1")).await[0]
        .record
        .envelope
        .clone()
        .expect("one");
    let mut bad = at_most(first, 4);
    (bad.intent, bad.id) = (id("article-2"), mesh.mesh.clock().envelope_id());
    bad.payload = baton_envelope::Json::string("bad:");
    let intent = mesh.submit_envelope(bad).await;
    let error = mesh
        .until(&intent, "parked", SOON)
        .await
        .record
        .snapshot
        .error
        .expect("an error");
    let cycle = "cycle: write -> qa -> write";
    assert!(error.code == "HOP_LIMIT" && error.message.contains(cycle), "{error:?}");

    let stuck = ARTICLE
        .replace("next = [\"ship\", \"write\"]", "next = [\"write\"]")
        .replace("[[steps]]\nagent = \"ship\"\n", "");
    std::fs::write(dir.path().join("stuck.toml"), stuck).expect("written");
    let file = format!("{folder}/stuck.toml:5: ");
    let says = [file.as_str(), "write -> qa -> write"];
    baton(&["send", "--pipeline", "stuck", "1"]).await.exits(64).says(&says);
    baton(&["pipelines", "check", "--offline"]).await.exits(64).says(&says);
    let unknown = ARTICLE.replace("\"ship\"", "\"nobody\"");
    std::fs::write(dir.path().join("unknown.toml"), unknown).expect("written");
    let file = format!("{folder}/unknown.toml:8: ");
    let says = [file.as_str(), "\"nobody\" is unknown"];
    baton(&["send", "--pipeline", "unknown", "1"])
        .await
        .exits(3)
        .says(&says);
    baton(&["pipelines", "check", "unknown"]).await.exits(3).says(&says);
    baton(&["pipelines", "show", "artcle"])
        .await
        .exits(3)
        .says(&["did you mean \"article\""]);
    stop(workers).await;
}
