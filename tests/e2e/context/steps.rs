//! Results of steps that are too large for a message: objects, which whoever goes on with the hop reads.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use baton_agent::{Agent, AgentBuilder, Fault, Handler, Hop, Outcome, RetryPolicy};
use baton_e2e::TestMesh;
use baton_e2e::chaos::{Running, SOON, assert_legal};
use baton_e2e::gated::result_as;
use baton_envelope::{Json, ObjectRef, Protocol, ProtocolRange, StepEntry};
use tempfile::TempDir;

use super::{BEFORE, submit, text_of};
use crate::nats_cli::{run, worker};

/// More than a server takes in one message.
const LARGE: usize = 1_500_000;

/// Looks once, fails once, and completes with whether a later attempt knows what it saw.
struct Looker {
    looked: Arc<AtomicU32>,
    bytes: usize,
}

impl Handler for Looker {
    type Input = Json;

    async fn handle(&self, hop: &mut Hop, _: Json) -> Result<Outcome, Fault> {
        let text = "o".repeat(self.bytes);
        let looked = || async {
            self.looked.fetch_add(1, Ordering::SeqCst);
            Ok::<_, Fault>(text.clone())
        };
        let seen: String = hop.step("look", looked).await?;
        if hop.attempt() == 1 {
            return Err(Fault::retry("once more"));
        }
        Outcome::complete(&(seen == text))
    }
}

fn looker(bytes: usize) -> (AgentBuilder, Arc<AtomicU32>) {
    let looked = Arc::new(AtomicU32::new(0));
    let handler = Looker {
        looked: Arc::clone(&looked),
        bytes,
    };
    let policy = RetryPolicy {
        unit: std::time::Duration::from_millis(20),
        ..RetryPolicy::default()
    };
    let builder = Agent::builder("looker", "1.0.0").expect("agent").handler(handler);
    (builder.retry(policy), looked)
}

/// The step of an intent, in its record.
async fn step(mesh: &TestMesh, intent: &baton_envelope::IntentId) -> StepEntry {
    let history = mesh.history_of(intent).await;
    let mut steps = history.into_iter().filter_map(|head| head.record.step);
    let step = steps.next().expect("a step");
    assert!(steps.next().is_none(), "one step");
    step
}

fn object(step: &StepEntry) -> &ObjectRef {
    assert!(step.result.is_null(), "never both");
    step.result_ref.as_deref().expect("an object")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_result_of_a_step_is_there_in_the_next_attempt_and_the_step_runs_once() {
    let mesh = TestMesh::start().await;
    let (builder, looked) = looker(LARGE);
    let running = Running::start(mesh.server.url(), builder).await;
    mesh.until_version_is("looker", "1.0.0", "active").await;
    let intent = submit(&mesh, "order-42", "looker", text_of(8)).await;
    let head = mesh.until(&intent, "completed", SOON).await;
    assert!(result_as::<bool>(&head), "the next attempt knows it");
    assert_eq!(looked.load(Ordering::SeqCst), 1);
    assert_legal(&mesh.history_of(&intent).await);
    let step = step(&mesh, &intent).await;
    assert_eq!(object(&step).bytes, u64::try_from(LARGE).expect("small"));
    // The commands name it.
    let said = run(mesh.baton(&["context", "list", "order-42"])).await.exits(0).stdout;
    assert!(
        said.contains("step look") && said.contains(&LARGE.to_string()),
        "{said}"
    );
    let said = run(mesh.baton(&["intents", "get", "order-42"])).await.exits(0).stdout;
    assert!(said.contains("look = an object of 1500000 bytes"), "{said}");
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_larger_than_the_limit_stands_in_the_record() {
    let mesh = TestMesh::start().await;
    let (builder, _) = looker(60_000);
    let running = Running::start(mesh.server.url(), builder).await;
    mesh.until_version_is("looker", "1.0.0", "active").await;
    let intent = submit(&mesh, "small", "looker", text_of(8)).await;
    mesh.until(&intent, "completed", SOON).await;
    let step = step(&mesh, &intent).await;
    assert_eq!((step.result.get().len(), step.result_ref), (60_002, None));
    running.stop().await;
}

/// Another worker of the version may read no references.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_version_that_reads_no_references_has_its_results_in_the_records() {
    let mesh = TestMesh::start().await;
    let (builder, _) = looker(100_000);
    let reads = ProtocolRange::new(Protocol::new(1, 0, 0), BEFORE).expect("a range");
    let running = Running::start(mesh.server.url(), builder.protocol(reads)).await;
    mesh.until_version_is("looker", "1.0.0", "active").await;
    let intent = submit(&mesh, "older", "looker", text_of(8)).await;
    mesh.until(&intent, "completed", SOON).await;
    let step = step(&mesh, &intent).await;
    assert_eq!((step.result.get().len(), step.result_ref), (100_002, None));
    running.stop().await;
}

/// A program says its step on a line, fails once, and finds it on stdin when it runs again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_program_finds_the_large_result_of_its_step_again() {
    let mesh = TestMesh::start().await;
    let dir = TempDir::new().expect("a folder");
    let program = r#"
import json, sys
told = json.load(sys.stdin)
seen = told["steps"].get("look")
if seen is None:
    print(json.dumps({"step": "look", "result": "o" * 300000}), flush=True)
    print(json.dumps({"outcome": "retry", "code": "FLAKY", "message": "once more"}))
else:
    print(json.dumps({"outcome": "complete", "result": len(seen)}))
"#;
    std::fs::write(dir.path().join("looker.py"), program).expect("written");
    let path = dir.path().join("looker.py").display().to_string();
    let _worker = worker(
        &mesh,
        dir.path(),
        "looker",
        &["--exec", &format!("python3 {path}"), "--json"],
    )
    .await;
    let intent = submit(&mesh, "piped", "looker", text_of(8)).await;
    let head = mesh.until(&intent, "completed", SOON).await;
    assert_eq!(result_as::<u32>(&head), 300_000);
    assert_eq!(object(&step(&mesh, &intent).await).bytes, 300_000);
}
