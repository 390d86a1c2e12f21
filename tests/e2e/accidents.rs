//! What an operator takes away by accident, while work is under way: nothing is lost, and no step runs again.

mod edited;
mod in_turn;
mod retired;
mod routes;
mod streams;

use std::time::Duration;

use baton_e2e::TestMesh;
use baton_e2e::chaos::{Program, SOON, TAKEOVER, assert_legal};
use baton_envelope::{Event, IntentId};
use baton_testkit::eventually;

/// Four hops that have each recorded two of three steps, at two workers.
async fn half_done(mesh: &TestMesh) -> (Program, [baton_testkit::ProcessGuard; 2], Vec<IntentId>) {
    let program = Program::three_steps();
    let workers = ["one", "two"].map(|name| program.worker(mesh, "steps", name, &["--json"]));
    let mut intents = Vec::new();
    for n in 1..=4 {
        intents.push(mesh.submit(&format!("half-{n}"), "steps", r#"{"gate":"three"}"#).await);
    }
    for intent in &intents {
        mesh.until_events(intent, &Event::Step, 2, SOON).await;
    }
    (program, workers, intents)
}

/// The first two steps are recorded, so they must not run again. The third may: its gate lets it go on at a moment when
/// the hop may be taken over, before the record.
async fn nothing_is_repeated(mesh: &TestMesh, program: &Program, intents: &[IntentId]) {
    for intent in intents {
        for run in 1..=4 {
            program.open_gate(intent, run);
        }
    }
    for intent in intents {
        mesh.until(intent, "completed", TAKEOVER).await;
        assert_legal(&mesh.history_of(intent).await);
        let did = program.did(intent);
        for step in ["one", "two"] {
            let times = did.iter().filter(|line| line.starts_with(step)).count();
            assert_eq!(times, 1, "{intent}: {did:?}");
        }
    }
}

/// The consumer that takes its place delivers each ticket as if for the first time, mostly to the worker that does not
/// hold the hop.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_consumer_that_was_removed_delivers_no_ticket_as_a_fresh_one() {
    let mesh = TestMesh::start().await;
    let (program, _workers, intents) = half_done(&mesh).await;
    let client = mesh.server.client().await;
    assert!(remove_consumers(&client).await > 0, "there was no consumer");
    // Whoever gets a ticket reads the ledger, and claims the hop with the two steps that it finds there. But a ticket that
    // comes back to the worker that runs its hop changes nothing: then they are dealt once more.
    let mut dealt = tokio::time::Instant::now();
    eventually("a hop is taken over", TAKEOVER * 4, async || {
        if dealt.elapsed() > DEALT {
            remove_consumers(&client).await;
            dealt = tokio::time::Instant::now();
        }
        let runs: Vec<usize> = intents.iter().map(|intent| program.runs(intent)).collect();
        let is_taken_over = runs.iter().any(|runs| *runs > 1);
        is_taken_over.then_some(()).ok_or_else(|| format!("{runs:?}"))
    })
    .await;
    nothing_is_repeated(&mesh, &program, &intents).await;
}

/// A worker whose only slot is taken has no pull that the server could end. It completes the hop, and there is no consumer
/// to take its ack; the next one delivers that ticket first.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_completed_without_its_consumer_is_not_run_again() {
    let mesh = TestMesh::start().await;
    let program = Program::three_steps();
    let _worker = program.worker(&mesh, "steps", "only", &["--json", "--concurrency", "1"]);
    let intent = mesh.submit("ended", "steps", r#"{"gate":"three"}"#).await;
    mesh.until_events(&intent, &Event::Step, 2, SOON).await;
    let client = mesh.server.client().await;
    remove_consumers(&client).await;
    program.open_gate(&intent, 1);
    mesh.until(&intent, "completed", SOON).await;
    // The worker takes new work, so it has seen the old ticket, which comes first.
    let next = mesh.submit("next", "steps", "{}").await;
    mesh.until(&next, "completed", TAKEOVER).await;
    let gone = Duration::from_secs(10);
    eventually("the old ticket is taken away", gone, async || {
        let counts = mesh.mesh.agent_counts(&"steps".parse().expect("a name")).await;
        let counts = counts.map_err(|error| error.to_string())?;
        let waiting: u64 = counts.values().map(|counts| counts.backlog + counts.in_flight).sum();
        (waiting == 0).then_some(()).ok_or_else(|| format!("{counts:?}"))
    })
    .await;
    assert_eq!(program.did(&intent), ["one 1", "two 1", "three 1", "outcome 1"]);
}

/// Removes all consumers of the agent's work stream, as `nats consumer rm` does, and gives their number.
async fn remove_consumers(client: &baton_testkit::Client) -> usize {
    use futures::StreamExt as _;

    let ask = async |what: String| {
        let reply = client.request(format!("$JS.API.CONSUMER.{what}"), "{}".into()).await;
        serde_json::from_slice::<serde_json::Value>(&reply.expect("an answer").payload).expect("JSON")
    };
    let listed = ask("NAMES.MESH_WORK_steps".to_owned()).await;
    let names: Vec<String> = serde_json::from_value(listed["consumers"].clone()).expect("names");
    let removed = futures::stream::iter(&names).for_each_concurrent(None, async |name| {
        let answer = ask(format!("DELETE.MESH_WORK_steps.{name}")).await;
        assert_eq!(answer["success"], true, "{answer}");
    });
    removed.await;
    names.len()
}

/// Removes a stream, as `nats stream rm` does.
async fn remove_stream(mesh: &TestMesh, stream: &str) {
    let client = mesh.server.client().await;
    let request = client.request(format!("$JS.API.STREAM.DELETE.{stream}"), "".into());
    let answer: serde_json::Value = serde_json::from_slice(&request.await.expect("an answer").payload).expect("JSON");
    assert_eq!(answer["success"], true, "{stream}: {answer}");
}

/// Waits until a stream is there.
async fn until_made(mesh: &TestMesh, stream: &str) {
    let client = mesh.server.client().await;
    eventually(&format!("{stream} is made again"), REMADE, async || {
        let names = baton_testkit::stream_names(&client).await?;
        names
            .iter()
            .any(|name| name == stream)
            .then_some(())
            .ok_or_else(|| format!("{names:?}"))
    })
    .await;
}

/// What `baton doctor` says of a check: its level and what was found.
async fn doctor_says(mesh: &TestMesh, check: &str) -> Option<(String, String)> {
    let output = mesh.run_baton(&["doctor", "--output", "json"]).await;
    let document: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let findings = document["findings"].as_array().expect("findings").clone();
    let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    let found = findings.iter().find(|finding| finding["check"] == check)?;
    Some((text(&found["level"]), text(&found["found"])))
}

/// How long tickets that are dealt anew may take to reach the workers.
const DEALT: Duration = Duration::from_secs(5);
/// Two more controllers look every three seconds.
const REMADE: Duration = Duration::from_secs(20);
