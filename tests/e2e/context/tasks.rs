//! What a sender says of its work from outside, what it expects back, and what hops could read of what they were given.

use baton_agent::{Agent, Fault, Handler, Hop, Kind, Memory, Outcome, RetryPolicy, Task};
use baton_e2e::TestMesh;
use baton_e2e::chaos::{Running, SOON, TAKEOVER};
use baton_e2e::gated::result_as;
use baton_envelope::IntentId;
use baton_testkit::eventually;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::nats_cli::{publish, run, worker};

fn agent(name: &str) -> baton_agent::AgentBuilder {
    let policy = RetryPolicy {
        max_attempts: 2,
        unit: std::time::Duration::from_millis(10),
        ..RetryPolicy::default()
    };
    Agent::builder(name, "1.0.0").expect("agent").retry(policy)
}

async fn started(mesh: &TestMesh, name: &str, builder: baton_agent::AgentBuilder) -> Running {
    let running = Running::start(mesh.server.url(), builder).await;
    mesh.until_version_is(name, "1.0.0", "active").await;
    running
}

/// Completes with its payload, once it has looked at its task.
struct Says;

impl Handler for Says {
    type Input = Value;

    async fn handle(&self, hop: &mut Hop, payload: Value) -> Result<Outcome, Fault> {
        let text = hop.context().await?.text().to_owned();
        if let Some(goal) = hop.task().and_then(|task| task.goal.clone()) {
            assert!(text.contains("## goal") && text.contains(&goal), "{text}");
        }
        if hop.expects().is_some() {
            assert!(text.contains("## expects"), "{text}");
        }
        Outcome::complete(&payload)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_result_that_is_not_what_the_sender_expects_is_not_taken() {
    let mesh = TestMesh::start().await;
    let says = started(&mesh, "says", agent("says").handler(Says)).await;
    let send = |id: &str, payload: &str, expects: &str| {
        let line = [
            "send",
            "says",
            payload,
            "--id",
            id,
            "--goal",
            "ship the otter",
            "--expects",
            expects,
        ];
        run(mesh.baton(&line))
    };
    let object = r#"{"format":"json","schema":{"type":"object","required":["n"]},"max_length":20}"#;
    send("fine", r#"{"n":1}"#, object).await.exits(0);
    mesh.until(&id("fine"), "completed", SOON).await;
    let bad = [
        ("text", r#""words""#, r#"{"format":"json"}"#, "JSON is expected"),
        ("keys", r#"{"m":1}"#, object, "does not match the form"),
        (
            "long",
            r#"{"n":"0123456789012345678901234"}"#,
            object,
            "at most 20 characters are expected",
        ),
        ("json", r#"{"n":1}"#, r#"{"format":"text"}"#, "text is expected"),
        (
            "short",
            r#""ab""#,
            r#"{"min_length":3}"#,
            "at least 3 characters are expected, and the result has 2",
        ),
    ];
    for (name, payload, expects, says) in bad {
        send(name, payload, expects).await.exits(0);
        let head = mesh.until(&id(name), "parked", SOON).await;
        let error = head.record.snapshot.error.expect("an error");
        assert_eq!(error.code, "BAD_OUTPUT", "{error:?}");
        assert!(error.message.contains(says), "{}", error.message);
        assert!(head.record.snapshot.result.is_none());
        // Three in a row would open the breaker.
        let fine = format!("{name}-fine");
        send(&fine, r#"{"n":1}"#, object).await.exits(0);
        mesh.until(&id(&fine), "completed", SOON).await;
    }
    for (flag, value, says) in [
        ("--expects", "json", "not JSON"),
        ("--expects", r#"{"format":""}"#, "`format` is empty"),
        ("--expects", r#"{"schema":{"$ref":"x"}}"#, "$ref"),
        ("--goal", " ", "--goal"),
    ] {
        let refused = run(mesh.baton(&["send", "says", "1", flag, value]))
            .await
            .exits(2)
            .stderr;
        assert!(refused.contains(says) && refused.contains(flag), "{refused}");
    }
    says.stop().await;
}

fn id(text: &str) -> IntentId {
    text.parse().expect("intent id")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_raw_intent_says_its_task_in_a_header() {
    let mesh = TestMesh::start().await;
    let says = started(&mesh, "says", agent("says").handler(Says)).await;
    let task = r#"{"goal":"ship the otter","expects":{"max_length":3}}"#;
    let send = async |id: &str, task: &str, body: &[u8]| {
        let headers = [("Baton-Intent", id), ("Baton-Task", task)];
        publish(&mesh.server, "mesh.intent.says", &headers, body).await;
    };
    send("fine", task, b"123").await;
    let head = mesh.until(&id("fine"), "completed", SOON).await;
    assert_eq!(result_as::<Value>(&head), json!(123));
    send("long", task, b"1234").await;
    let head = mesh.until(&id("long"), "parked", SOON).await;
    assert_eq!(head.record.snapshot.error.expect("an error").code, "BAD_OUTPUT");
    for (name, task) in [
        ("none", "{}"),
        ("text", "ship it"),
        ("member", r#"{"gaol":"x"}"#),
        ("schema", r#"{"expects":{"schema":{"$ref":"x"}}}"#),
    ] {
        send(name, task, b"1").await;
        let head = mesh.until(&id(name), "rejected", SOON).await;
        let error = head.record.snapshot.error.expect("an error");
        assert_eq!(error.code, "BAD_HEADER", "{error:?}");
        assert!(head.record.raw.is_some(), "it is kept whole");
    }
    says.stop().await;
}

/// Completes with the keys of its view, and what it is asked.
struct Keys;

impl Handler for Keys {
    type Input = Value;

    async fn handle(&self, hop: &mut Hop, _: Value) -> Result<Outcome, Fault> {
        let context = hop.context().await?;
        let keys: Vec<&str> = context.memories().map(|given| given.memory.key.as_str()).collect();
        let ask = hop.task().and_then(|task| task.ask.as_deref());
        Outcome::complete(&json!({"keys": keys, "ask": ask, "text": context.text()}))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_belongs_to_a_task_is_a_fact_for_each_member() {
    let mesh = TestMesh::start().await;
    let keys = started(&mesh, "keys", agent("keys").handler(Keys)).await;
    let create = |id: &'static str, context: &'static str| {
        let line = [
            "work",
            "create",
            "--task",
            "read it",
            "--to",
            "keys",
            "--id",
            id,
            "--task-context",
            context,
        ];
        run(mesh.baton(&line))
    };
    create("facts", r#"{"pages":3,"draft":"chapter 4"}"#).await.exits(0);
    let head = mesh.until(&id("facts"), "completed", SOON).await;
    let told: Value = result_as(&head);
    assert_eq!(
        (&told["keys"], &told["ask"]),
        (&json!(["draft", "pages"]), &json!("read it"))
    );
    assert!(told["text"].as_str().expect("a text").contains("chapter 4"), "{told}");
    let verified = run(mesh.baton(&["context", "verify", "facts"])).await.exits(0).stdout;
    assert!(verified.contains("1 link, 2 memories"), "{verified}");
    create("words", "as before").await.exits(0);
    let head = mesh.until(&id("words"), "completed", SOON).await;
    assert_eq!(result_as::<Value>(&head)["keys"], json!([]));
    let refused = create("bad", r#"{"due date":1}"#).await.exits(2).stderr;
    assert!(
        refused.contains("--task-context") && refused.contains("due date"),
        "{refused}"
    );
    keys.stop().await;
}

/// Remembers five facts, and hands on to `keys`.
struct Gives;

impl Handler for Gives {
    type Input = Value;

    async fn handle(&self, hop: &mut Hop, _: Value) -> Result<Outcome, Fault> {
        for number in 1..=5 {
            let memory = Memory::new(format!("fact-{number}"), Kind::Fact, format!("fact {number}"));
            hop.remember(memory).await?;
        }
        Outcome::hand_off("keys", &json!(1))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hops_that_cannot_read_what_they_are_given_raise_an_alarm() {
    let mesh = TestMesh::start().await;
    let keys = started(&mesh, "keys", agent("keys").handler(Keys)).await;
    keys.stop().await;
    let gives = started(&mesh, "gives", agent("gives").handler(Gives)).await;
    let intent = mesh.submit("order-42", "gives", "1").await;
    eventually("the work is handed on", SOON, async || {
        let head = mesh.head_of(&intent).await;
        match head.record.snapshot.hop {
            2 => Ok(()),
            hop => Err(format!("hop {hop}")),
        }
    })
    .await;
    for number in [2, 4] {
        let hash = baton_envelope::ObjectHash::of(format!("fact {number}").as_bytes());
        let filter = json!({"filter": format!("mesh.context.{intent}.{hash}")});
        mesh.server.api("STREAM.PURGE.MESH_CONTEXT", &filter).await;
    }
    let keys = started(&mesh, "keys", agent("keys").handler(Keys)).await;
    let head = mesh.until(&intent, "completed", TAKEOVER).await;
    // The record says what the hop could read, and the last one what it could not.
    let read = head.record.context.as_ref().expect("it looked at its view");
    assert_eq!((read.requested, read.resolved), (5, 3));
    let left: Value = head.record.snapshot.context.expect("a context").read().expect("JSON");
    assert_eq!(left["gaps"].as_array().map(Vec::len), Some(2), "{left}");
    let alarm = eventually("the alarm", SOON, async || {
        let listed = run(mesh.baton(&["agents", "list", "--output", "json"]))
            .await
            .exits(0)
            .json();
        let agents = listed["agents"].as_array().cloned().unwrap_or_default();
        let alarms = agents
            .iter()
            .flat_map(|agent| agent["alarms"].as_array().cloned().unwrap_or_default());
        let found = alarms.into_iter().find(|alarm| alarm["code"] == "COMPLETENESS_LOW");
        found.ok_or_else(|| listed.to_string())
    })
    .await;
    assert_eq!(
        (&alarm["agent"], &alarm["critical"]),
        (&json!("keys"), &json!(true)),
        "{alarm}"
    );
    let message = alarm["message"].as_str().expect("a message");
    assert!(
        message.contains("3 of 5 memories") && message.contains("order-42"),
        "{message}"
    );
    for worker in [keys, gives] {
        worker.stop().await;
    }
}

/// Tells the next agent what it is to do.
struct Asks;

impl Handler for Asks {
    type Input = Value;

    async fn handle(&self, _: &mut Hop, payload: Value) -> Result<Outcome, Fault> {
        Ok(Outcome::hand_off("program", &payload)?.with_task(Task::ask("review the draft")))
    }
}

/// Completes with the task that it was given.
struct Tells;

impl Handler for Tells {
    type Input = Value;

    async fn handle(&self, hop: &mut Hop, _: Value) -> Result<Outcome, Fault> {
        let text = hop.context().await?.text().to_owned();
        let task = hop.task().cloned().unwrap_or_default();
        let all = [&task.goal, &task.state, &task.ask];
        assert!(all.iter().copied().flatten().all(|said| text.contains(said)), "{text}");
        Outcome::complete(&all)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_tells_the_next_one_its_task_and_the_goal_goes_all_the_way() {
    let (mesh, dir) = (TestMesh::start().await, TempDir::new().expect("folder"));
    let program = r#"python3 -c '
import json, sys
task = json.load(sys.stdin)["task"]
if task != {"goal": "ship the otter", "ask": "review the draft"}:
    print(json.dumps({"outcome": "fail", "code": "OTHER_TASK", "message": json.dumps(task)}))
else:
    print(json.dumps({"outcome": "hand_off", "to": "tells", "payload": 1, "task": {"state": "reviewed", "ask": "print it"}}))'"#;
    let asks = started(&mesh, "asks", agent("asks").handler(Asks)).await;
    let tells = started(&mesh, "tells", agent("tells").handler(Tells)).await;
    let _program = worker(&mesh, dir.path(), "program", &["--exec", program, "--json"]).await;
    let line = [
        "send",
        "asks",
        "1",
        "--goal",
        "ship the otter",
        "--ask",
        "read it",
        "--id",
        "order-42",
    ];
    run(mesh.baton(&line)).await.exits(0);
    let head = mesh.until(&id("order-42"), "completed", SOON).await;
    assert_eq!(
        result_as::<Value>(&head),
        json!(["ship the otter", "reviewed", "print it"])
    );
    for (outcome, says) in [
        (
            r#"{"outcome":"complete","result":1,"task":{"ask":"x"}}"#,
            "only \"hand_off\" and \"next\"",
        ),
        (r#"{"outcome":"next","payload":1,"task":{"question":"x"}}"#, "question"),
    ] {
        let program = format!("printf '%s' '{outcome}'");
        let _worker = worker(&mesh, dir.path(), "wrong", &["--exec", &program, "--json"]).await;
        let refused = mesh.submit(&format!("wrong-{}", says.len()), "wrong", "1").await;
        let head = mesh.until(&refused, "parked", SOON).await;
        let error = head.record.snapshot.error.expect("an error");
        assert!(error.code == "BAD_OUTCOME" && error.message.contains(says), "{error:?}");
    }
    asks.stop().await;
    tells.stop().await;
}
