//! A hop asks other agents and goes on with what they came to: each join, what children take over, what cannot be asked, and
//! the end of those that nobody waits for.

use std::time::Duration;

use baton_agent::{Agent, AgentBuilder, Call, Calls, Fault, Handler, Hop, Json, Outcome, RetryPolicy, Wait};
use baton_e2e::TestMesh;
use baton_e2e::chaos::{Running, assert_legal, events};
use baton_e2e::gated::{result, said};
use baton_envelope::{Event, IntentId, Snapshot};
use baton_testkit::{ProcessGuard, eventually};
use serde_json::{Value, json};

use crate::nats_cli::{run, worker};

/// How long anything may take on a slow machine.
const SOON: Duration = Duration::from_secs(90);

/// How a supervisor of these tests calls.
type Asks = fn(Vec<Call>) -> Calls;

/// Asks one helper for each word of its payload, and completes with what they came to.
struct Lead(Asks);

impl Handler for Lead {
    type Input = Vec<String>;

    async fn handle(&self, hop: &mut Hop, work: Vec<String>) -> Result<Outcome, Fault> {
        let calls: Result<Vec<Call>, Fault> = work.iter().map(|word| Call::new("help", word)).collect();
        let joined = hop.join((self.0)(calls?)).await?;
        let said = joined.children().iter().map(said).collect::<Vec<_>>().join(" ");
        let late = if joined.is_timed_out() { " late" } else { "" };
        Outcome::complete(&format!("{said}{late}"))
    }
}

/// Does what its payload says: `ok…` completes, `bad…` fails, `wait…` waits for a signal `go`, `deep…` asks another helper.
struct Help;

impl Handler for Help {
    type Input = String;

    async fn handle(&self, hop: &mut Hop, word: String) -> Result<Outcome, Fault> {
        match word.as_str() {
            "bad" => return Err(Fault::terminal("NO_WAY", "bad")),
            "wait" => drop(hop.wait(Wait::signal("go")).await?),
            "deep" => {
                let below: String = hop.call("help", &"ok").await?.result()?;
                return Outcome::complete(&format!("deep-{below}"));
            }
            "round" => drop(hop.call("help", &"round").await?),
            _ => {}
        }
        Outcome::complete(&word)
    }
}

fn lead(asks: Asks) -> AgentBuilder {
    // What is tried again in vain is parked soon.
    let policy = RetryPolicy {
        max_attempts: 2,
        ..RetryPolicy::default()
    };
    let lead = Agent::builder("lead", "1.0.0").expect("agent");
    lead.handler(Lead(asks)).retry(policy)
}

async fn started(mesh: &TestMesh, asks: Asks) -> [Running; 2] {
    let help = Agent::builder("help", "1.0.0").expect("agent").handler(Help);
    let workers = [
        Running::start(mesh.server.url(), help).await,
        Running::start(mesh.server.url(), lead(asks)).await,
    ];
    for agent in ["help", "lead"] {
        mesh.until_version_is(agent, "1.0.0", "active").await;
    }
    workers
}

async fn stop(workers: [Running; 2]) {
    for worker in workers {
        worker.stop().await;
    }
}

/// The child at a place in the call of a supervisor.
fn child(parent: &IntentId, index: u32) -> IntentId {
    IntentId::of_child(parent, 1, "calls", index)
}

/// Runs a supervisor to its end, and gives what it said.
async fn asked(asks: Asks, work: &[&str], go: &[u32]) -> (TestMesh, IntentId, String) {
    let mesh = TestMesh::start().await;
    let workers = started(&mesh, asks).await;
    let payload = serde_json::to_string(work).expect("JSON");
    let intent = mesh.submit("order-42", "lead", &payload).await;
    for index in go {
        mesh.until(&child(&intent, *index), "waiting", SOON).await;
        let subject = format!("mesh.signal.{}.go", child(&intent, *index));
        mesh.mesh
            .publish_raw(subject, Vec::new(), "".into())
            .await
            .expect("stored");
    }
    let head = mesh.until(&intent, "completed", SOON).await;
    assert_legal(&mesh.history_of(&intent).await);
    stop(workers).await;
    (mesh, intent, result(&head))
}

async fn closed(mesh: &TestMesh, child: &IntentId) -> Snapshot {
    let head = eventually(&format!("{child} is closed"), SOON, async || {
        match mesh.mesh.head(child).await {
            Ok(Some(head)) if head.record.snapshot.status.is_terminal() => Ok(head),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    head.record.snapshot
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_parent_holds_nothing_and_goes_on_once_with_the_results_in_order() {
    let (mesh, intent, said) = asked(Calls::of, &["ok1", "wait", "bad", "deep"], &[1]).await;
    assert_eq!(said, "ok1 wait NO_WAY deep-ok");
    let history = mesh.history_of(&intent).await;
    let of = |event: &Event| {
        history
            .iter()
            .filter(|head| head.record.event == *event)
            .collect::<Vec<_>>()
    };
    let (opened, resumed) = (of(&Event::FannedOut), of(&Event::Resumed));
    assert_eq!((opened.len(), resumed.len()), (1, 1), "{:?}", events(&history));
    assert_eq!(opened[0].record.snapshot.holder, None);
    assert_eq!(opened[0].record.snapshot.status.to_string(), "waiting(children)");
    let ends = &resumed[0].record.results[0].children;
    let states: Vec<(u32, &str)> = ends.iter().map(|end| (end.index, end.state.as_str())).collect();
    assert_eq!(
        states,
        [(0, "completed"), (1, "completed"), (2, "failed"), (3, "completed")]
    );
    for end in ends {
        let head = mesh.head_of(&child(&intent, end.index)).await;
        assert_eq!((end.id.as_ref(), end.seq), (Some(&head.record.intent), head.seq));
    }
    assert_eq!(history.last().expect("the end").record.snapshot.children, []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn children_take_over_what_their_parent_has() {
    let mesh = TestMesh::start().await;
    let workers = started(&mesh, Calls::of).await;
    let mut envelope = mesh.envelope("order-42", "lead", r#"["deep"]"#);
    envelope = envelope.with_constraints(Json::parse(r#"{"do_not":["email"]}"#).expect("JSON"));
    envelope.priority = baton_envelope::Priority::new(9).expect("a priority");
    envelope.deadline = Some(mesh.mesh.now().plus(Duration::from_secs(600)));
    envelope.traceparent = Some("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".to_owned());
    envelope.pins = [("help".parse().expect("a name"), "1.0.0".parse().expect("a version"))].into();
    envelope.extra = [("x_mine".to_owned(), Json::parse("1.50").expect("JSON"))].into();
    let deadline = envelope.deadline.expect("a deadline");
    let parent = envelope.clone();
    let intent = mesh.submit_envelope(envelope).await;
    mesh.until(&intent, "completed", SOON).await;
    let below = child(&intent, 0);
    let deepest = IntentId::of_child(&below, 2, "help", 0);
    for (of, hop, number, agents) in [
        (&below, 2, 1, vec!["lead", "help"]),
        (&deepest, 3, 2, vec!["lead", "help", "help"]),
    ] {
        let first = mesh.history_of(of).await.remove(0).record;
        let envelope = first.envelope.expect("an envelope");
        let keep = Duration::from_secs(5 * number);
        assert_eq!((envelope.hop, envelope.root.as_ref()), (hop, Some(&intent)));
        assert_eq!(envelope.deadline, Some(deadline.minus(keep)));
        assert_eq!(envelope.constraints_hash, parent.constraints_hash);
        assert_eq!((envelope.priority, &envelope.pins), (parent.priority, &parent.pins));
        assert_eq!(
            (&envelope.traceparent, &envelope.extra),
            (&parent.traceparent, &parent.extra)
        );
        let path: Vec<&str> = first.snapshot.path.iter().map(|entry| entry.agent.as_str()).collect();
        assert_eq!(path, agents);
    }
    stop(workers).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_any_the_first_that_completes_counts_and_the_rest_is_cancelled() {
    let (mesh, intent, said) = asked(|calls| Calls::of(calls).any(), &["wait", "bad", "ok"], &[]).await;
    // Whether the end of the other was seen by then is a race.
    assert!(["open open ok", "open NO_WAY ok"].contains(&said.as_str()), "{said}");
    let rest = closed(&mesh, &child(&intent, 0)).await;
    assert_eq!(rest.status.name(), "cancelled");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn some_are_enough_and_a_failure_ends_all() {
    let (mesh, intent, said) = asked(|calls| Calls::of(calls).at_least(2), &["wait", "ok", "wait"], &[2]).await;
    assert_eq!(said, "open ok wait");
    assert_eq!(closed(&mesh, &child(&intent, 0)).await.status.name(), "cancelled");
    let (mesh, intent, said) = asked(|calls| Calls::of(calls).all(), &["wait", "bad"], &[]).await;
    assert_eq!(said, "open NO_WAY");
    assert_eq!(closed(&mesh, &child(&intent, 0)).await.status.name(), "cancelled");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_time_ends_a_call_with_what_there_is_and_detached_children_live_on() {
    let asks = |calls| Calls::of(calls).within(Duration::from_secs(4)).detached();
    let (mesh, intent, said) = asked(asks, &["ok", "wait"], &[]).await;
    // On a slow machine nothing has ended by then.
    assert!(["ok open late", "open open late"].contains(&said.as_str()), "{said}");
    let left = mesh.head_of(&child(&intent, 1)).await;
    assert_eq!(left.record.snapshot.status.name(), "waiting");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancel_reaches_the_whole_tree() {
    let mesh = TestMesh::start().await;
    let workers = started(&mesh, Calls::of).await;
    let intent = mesh.submit("order-42", "lead", r#"["wait","ok","wait"]"#).await;
    mesh.until(&child(&intent, 0), "waiting", SOON).await;
    run(mesh.baton(&["intents", "cancel", "order-42", "--reason", "not needed"]))
        .await
        .exits(0);
    for index in [0, 2] {
        assert_eq!(closed(&mesh, &child(&intent, index)).await.status.name(), "cancelled");
    }
    assert_eq!(closed(&mesh, &child(&intent, 1)).await.status.name(), "completed");
    stop(workers).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_asked_parks_the_parent_and_says_why() {
    let mesh = TestMesh::start().await;
    let cases: [(&str, Asks, &str, &[&str]); 4] = [
        ("nobody", Calls::of, "[]", &["BAD_FAN_OUT", "no children"]),
        (
            "too-few",
            |calls| Calls::of(calls).at_least(3),
            r#"["ok"]"#,
            &["BAD_FAN_OUT", "`need` is 3", "1 children"],
        ),
        (
            "too-many",
            |calls| Calls::of((0..100_001).map(|_| calls[0].clone())),
            r#"["ok"]"#,
            &["BAD_FAN_OUT", "100001 children", "10000 are the most"],
        ),
        (
            "unknown",
            |_| Calls::of([Call::new("nobody-at-all", &1).expect("a call")]),
            "[]",
            &["UNKNOWN_AGENT", "nobody-at-all"],
        ),
    ];
    for (name, asks, work, says) in cases {
        let workers = started(&mesh, asks).await;
        let intent = mesh.submit(name, "lead", work).await;
        let head = mesh.until(&intent, "parked", SOON).await;
        let error = head.record.snapshot.error.expect("an error");
        let told = format!("{}: {}", error.code, error.message);
        assert!(says.iter().all(|part| told.contains(part)), "{told}");
        stop(workers).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cycle_of_calls_ends_at_the_hop_limit() {
    let mesh = TestMesh::start().await;
    let workers = started(&mesh, Calls::of).await;
    let mut envelope = mesh.envelope("order-42", "lead", r#"["round"]"#);
    envelope.max_hops = baton_envelope::MaxHops::new(4).expect("in range");
    let intent = mesh.submit_envelope(envelope).await;
    let mut deepest = child(&intent, 0);
    for hop in 2..4 {
        deepest = IntentId::of_child(&deepest, hop, "help", 0);
    }
    let head = mesh.until(&deepest, "parked", SOON).await;
    let error = head.record.snapshot.error.expect("an error");
    assert_eq!(error.code, "HOP_LIMIT");
    assert!(
        error
            .message
            .contains("lead@1.0.0 -> help@1.0.0 -> help@1.0.0 -> help@1.0.0 -> help"),
        "{}",
        error.message
    );
    stop(workers).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_program_asks_others_by_a_line_of_json_and_the_tree_shows_them() {
    let mesh = TestMesh::start().await;
    let dir = tempfile::tempdir().expect("a folder");
    let line = r#"
        told=$(cat)
        case "$told" in
        *'"result":"OTTERS"'*'"result":"RIVERS"'*) echo '{"outcome":"complete","result":"both"}';;
        *'"waits":{"research"'*) exit 65;;
        *) echo '{"wait":{"name":"research","to":"shout","children":[{"payload":"otters"},{"payload":"rivers"}],"until":"1h"}}';;
        esac"#;
    let shout = worker(&mesh, dir.path(), "shout", &["--exec", "tr a-z A-Z"]).await;
    let asks = worker(&mesh, dir.path(), "asks", &["--exec", line, "--json"]).await;
    let intent = mesh.submit("program", "asks", "1").await;
    assert_eq!(result(&mesh.until(&intent, "completed", SOON).await), "both");
    let tree = run(mesh.baton(&["intents", "tree", "program", "--watch", "--output", "json"]))
        .await
        .exits(0)
        .json();
    let call = &tree["calls"][0];
    assert_eq!(
        (&call["name"], &call["count"], &call["ended"]),
        (&json!("research"), &json!(2), &json!(2))
    );
    let shown: Vec<(&Value, &Value)> = call["children"]
        .as_array()
        .expect("children")
        .iter()
        .map(|child| (&child["status"], &child["result"]))
        .collect();
    assert_eq!(
        shown,
        [
            (&json!("completed"), &json!("OTTERS")),
            (&json!("completed"), &json!("RIVERS"))
        ]
    );
    let told = run(mesh.baton(&["intents", "tree", "program"])).await.exits(0).stdout;
    for part in [
        "program  completed",
        "research (hop 1, collect): 2 of 2 have ended",
        "1: ",
        "RIVERS",
    ] {
        assert!(told.contains(part), "{part}: {told}");
    }
    drop((shout, asks));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tree_that_is_watched_shows_what_is_missing_until_all_has_ended() {
    let mesh = TestMesh::start().await;
    let dir = tempfile::tempdir().expect("a folder");
    let gate = dir.path().join("gate");
    let line = r#"
        case "$(cat)" in
        *'"waits":{"research"'*) echo '{"outcome":"complete","result":"both"}';;
        *) echo '{"wait":{"name":"research","until":"1h","children":[{"to":"shout","payload":"otters"},{"to":"slow","payload":"rivers"}]}}';;
        esac"#;
    let slow = format!("while [ ! -e '{}' ]; do sleep 0.02; done; cat", gate.display());
    let workers = [
        worker(&mesh, dir.path(), "shout", &["--exec", "tr a-z A-Z"]).await,
        worker(&mesh, dir.path(), "slow", &["--exec", &slow]).await,
        worker(&mesh, dir.path(), "asks", &["--exec", line, "--json"]).await,
    ];
    let intent = mesh.submit("watched", "asks", "1").await;
    mesh.until(&intent, "waiting", SOON).await;
    let command = mesh.baton(&["intents", "tree", "watched", "--watch"]);
    let mut watch = ProcessGuard::spawn("watch", command, dir.path());
    eventually("the tree shows what is missing", SOON, async || {
        let said = watch.stdout();
        let parts = [
            "watched  waiting(children)",
            "research (hop 1, collect): 1 of 2 have ended, waited for",
            "  completed  shout",
            "  in_progress  slow",
        ];
        match parts.iter().find(|part| !said.contains(**part)) {
            None => Ok(()),
            Some(part) => Err(format!("{part:?} is not in {said}")),
        }
    })
    .await;
    assert_eq!(watch.try_wait(), None, "it goes on while something is missing");
    std::fs::write(&gate, "").expect("the gate");
    assert!(watch.wait(SOON).await.success(), "{}", watch.stderr());
    let said = watch.stdout();
    let last = said.rsplit_once("watched  ").map(|(_, last)| last).unwrap_or_default();
    assert!(last.starts_with("completed"), "{said}");
    assert!(
        last.contains("2 of 2 have ended\n") && last.contains("rivers"),
        "{said}"
    );
    drop(workers);
}
