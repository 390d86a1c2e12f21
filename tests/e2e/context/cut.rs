//! A version says how large its views may be, and what its model makes of a token: whoever hands on to it cuts them to that.

use baton_agent::{Agent, AgentBuilder, Fault, Handler, Hop, Kind, Memory, Outcome, View};
use baton_e2e::TestMesh;
use baton_e2e::chaos::{Running, SOON};
use baton_e2e::gated::result_as;
use baton_envelope::{IntentId, Json};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::nats_cli::{run, worker};

fn agent(name: &str) -> AgentBuilder {
    Agent::builder(name, "1.0.0").expect("agent")
}

async fn started(mesh: &TestMesh, name: &str, builder: AgentBuilder) -> Running {
    let running = Running::start(mesh.server.url(), builder).await;
    mesh.until_version_is(name, "1.0.0", "active").await;
    running
}

/// Remembers ten times some 200 tokens, asks `small`, and hands on to it with what it said.
struct Large;

impl Handler for Large {
    type Input = Json;

    async fn handle(&self, hop: &mut Hop, _: Json) -> Result<Outcome, Fault> {
        for number in 0..10 {
            let text = format!("note {number}: {}", "the otter crossed the river. ".repeat(35));
            hop.remember(Memory::new(format!("note-{number}"), Kind::Observation, text))
                .await?;
        }
        let asked = hop.call("small", &Value::Null).await?;
        let said: Value = asked.json().read().unwrap_or_default();
        Ok(Outcome::hand_off("small", &said)?.with_context(View::trim().tokens(3_000)))
    }
}

/// Completes with the numbers of its view, beside those that it gets.
struct Small;

impl Handler for Small {
    type Input = Value;

    async fn handle(&self, hop: &mut Hop, before: Value) -> Result<Outcome, Fault> {
        let context = hop.context().await?;
        let given = context.memories().count();
        Outcome::complete(&json!({
            "budget": context.budget(), "used": context.used(), "given": given, "before": before
        }))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_view_is_cut_to_what_its_receiver_takes_also_where_it_makes_the_view_itself() {
    let mesh = TestMesh::start().await;
    let small = agent("small").view_tokens(1_000).token_factor(1_600).handler(Small);
    let workers = [
        started(&mesh, "small", small).await,
        started(&mesh, "large", agent("large").handler(Large)).await,
    ];
    let intent = mesh.submit("order-42", "large", "null").await;
    let head = mesh.until(&intent, "completed", SOON).await;
    let seen: Value = result_as(&head);
    // 200 tokens of the counter are 320 of the receiver: not all ten fit, in full or as a summary.
    for (what, view) in [("handed on", &seen), ("a child", &seen["before"])] {
        let used = view["used"].as_u64().expect("a view");
        assert_eq!(view["budget"], 1_000, "{what}: {seen}");
        assert!((400..=1_000).contains(&used), "{what}: {seen}");
        assert!(
            (1..10).contains(&view["given"].as_u64().expect("a number")),
            "{what}: {seen}"
        );
    }
    let shown = run(mesh.baton(&["context", "show", "order-42", "--output", "json"]));
    let shown = shown.await.exits(0).json();
    assert_eq!(
        (&shown["budget"], &shown["used"]),
        (&json!(1_000), &seen["used"]),
        "{shown}"
    );
    // What the child made itself, somebody else makes alike.
    let history = mesh.history_of(&intent).await;
    let called = history.iter().find_map(|head| head.record.snapshot.children.first());
    let called = called.expect("a call");
    let child = IntentId::of_child(&intent, called.hop, &called.name, 0);
    let of_child = run(mesh.baton(&["context", "show", child.as_str(), "--output", "json"]));
    let of_child = of_child.await.exits(0).json();
    assert_eq!(of_child["used"], seen["before"]["used"], "{of_child}");
    for worker in workers {
        worker.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_program_says_by_flags_what_its_model_takes() {
    let (mesh, dir) = (TestMesh::start().await, TempDir::new().expect("folder"));
    let flags = ["--exec", "cat", "--view-tokens", "8000", "--token-factor", "1.6"];
    let _worker = worker(&mesh, dir.path(), "small", &flags).await;
    mesh.until_version_is("small", "1.0.0", "active").await;
    let listed = run(mesh.baton(&["agents", "list", "--output", "json"]))
        .await
        .exits(0)
        .json();
    let version = &listed["agents"][0]["versions"][0];
    assert_eq!(
        version["context"],
        json!({"view_tokens": 8000, "factor": 1600}),
        "{listed}"
    );
    for bad in ["0", "1.2345", "many"] {
        let line = [
            "worker",
            "--agent",
            "a",
            "--version",
            "1.0.0",
            "--exec",
            "cat",
            "--token-factor",
            bad,
        ];
        run(mesh.baton(&line))
            .await
            .exits(2)
            .says(&["--token-factor", "from 0.1 to 10"]);
    }
}
