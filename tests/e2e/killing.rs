//! `baton agents pause | resume | kill`: an agent gets nothing more; and after a kill nothing of what it ran is committed,
//! whatever its handlers do, while all of it can go on.

mod lost;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use baton_agent::{Agent, AgentBuilder, Fault, Handler, Hop, Json, Outcome};
use baton_e2e::TestMesh;
use baton_e2e::chaos::{NO_ACK_WAIT, Program, Running, SOON, assert_legal, events, ready};
use baton_e2e::gated::{Gate, id, result, teller};
use baton_envelope::control::{AgentAct, KillAgent, ListAgents, ResumeAgent};
use baton_envelope::rollout::{Act, kill_work};
use baton_envelope::{AgentName, AgentVersion, Cause, IntentId};
use baton_jetstream::{ControllerMesh, Head};
use baton_testkit::{consumers, eventually};
use futures::StreamExt as _;
use tokio::time::Instant;

use crate::stopping::{baton, heard_after, hearing};

/// How many intents of a kill are tried where nothing else is said.
const KILLS: usize = 5;
/// From so many on the time is judged, too: 99 of 100 kills hold within this.
const MEASURED: usize = 100;
const KILLED_WITHIN: Duration = Duration::from_secs(1);
/// How many tickets one kill must reach at once.
const MANY: usize = 200;

fn code() -> AgentName {
    "code".parse().expect("name")
}

fn one() -> AgentVersion {
    "1.0.0".parse().expect("version")
}

fn act(reason: &str) -> AgentAct {
    AgentAct {
        agent: code(),
        version: None,
        by: "ada@test".to_owned(),
        reason: Some(reason.to_owned()),
    }
}

/// Completes with the number of its run, once the gate is open, and does not care whether its hop was taken away. With
/// `blocks` it never yields to the runtime while it waits.
struct Stubborn {
    gate: Gate,
    runs: Arc<AtomicUsize>,
    blocks: bool,
    go: Arc<AtomicUsize>,
}

impl Handler for Stubborn {
    type Input = Json;

    async fn handle(&self, _: &mut Hop, _: Json) -> Result<Outcome, Fault> {
        let run = self.runs.fetch_add(1, Ordering::SeqCst) + 1;
        if self.blocks {
            // Not for ever: a test that fails must end.
            let (before, since) = (self.go.load(Ordering::SeqCst), Instant::now());
            while self.go.load(Ordering::SeqCst) == before && since.elapsed() < SOON * 2 {
                std::thread::sleep(Duration::from_millis(1));
            }
        } else {
            self.gate.pass().await;
        }
        Outcome::complete(&format!("run {run}"))
    }
}

fn stubborn(gate: &Gate, runs: &Arc<AtomicUsize>, go: Option<&Arc<AtomicUsize>>) -> AgentBuilder {
    let handler = Stubborn {
        gate: gate.clone(),
        runs: Arc::clone(runs),
        blocks: go.is_some(),
        go: go.cloned().unwrap_or_default(),
    };
    Agent::builder("code", "1.0.0").expect("agent").handler(handler)
}

/// Starts an agent on threads of its own: a handler that blocks one must stop neither the controller nor the test, and a task
/// that waits on a blocked thread is nobody else's.
async fn apart(mesh: &TestMesh, builder: AgentBuilder) -> Running {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(4)
        .enable_all()
        .build();
    // Kept to the end of the process: it cannot be dropped where the test runs, and its threads may be blocked.
    let runtime: &'static tokio::runtime::Runtime = Box::leak(Box::new(runtime.expect("a runtime")));
    let url = mesh.server.url().to_owned();
    let started = runtime.spawn(async move { Running::start(&url, builder).await });
    started.await.expect("a worker")
}

async fn until_runs(runs: &Arc<AtomicUsize>, count: usize) {
    eventually(&format!("{count} run"), SOON, async || {
        let came = runs.load(Ordering::SeqCst);
        (came >= count).then_some(()).ok_or(came.to_string())
    })
    .await;
}

/// Whether every consumer of an agent is paused.
async fn are_paused(mesh: &TestMesh, agent: &str) -> bool {
    let list = mesh
        .server
        .api(&format!("CONSUMER.LIST.MESH_WORK_{agent}"), &serde_json::json!({}))
        .await;
    let consumers = list["consumers"].as_array().expect("consumers");
    assert!(!consumers.is_empty());
    consumers.iter().all(|one| one["paused"] == true)
}

/// Nothing of an intent was committed: it is before its agent again, at the same attempt, and says who killed it.
fn is_fenced(history: &[Head], attempt: u32) {
    let told = events(history);
    assert!(!told.contains(&"completed"), "{told:?}");
    let last = history.last().expect("a record");
    assert_eq!(
        (last.record.event.name(), last.record.snapshot.attempt),
        ("released", attempt),
        "{told:?}"
    );
    assert_eq!(
        (last.record.by.role.name(), last.record.by.instance.as_str()),
        ("operator", "ada@test")
    );
    assert!(
        last.record.note.as_deref().is_some_and(|note| note.contains("killed")),
        "{:?}",
        last.record
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn paused_agent_gets_nothing_more_until_it_is_resumed_whoever_dies() {
    let mut mesh = TestMesh::start().await;
    let (gate, url) = (Gate::shut(), mesh.server.url().to_owned());
    let first = Running::start(&url, teller("code", "1.0.0", &gate)).await;
    mesh.until_version_is("code", "1.0.0", "active").await;
    let running = id("running");
    mesh.submit_to("code", &running).await;
    mesh.until(&running, "in_progress", SOON).await;
    let paused = baton(&mesh, &["agents", "pause", "code", "--reason", "a bad night"])
        .await
        .exits(0);
    paused.says(&["baton agents resume code", "baton agents kill code"]);
    baton(&mesh, &["agents", "pause", "code"])
        .await
        .exits(4)
        .says(&["is paused", "a bad night"]);

    // What runs may finish, and what comes waits.
    gate.lift();
    assert_eq!(result(&mesh.until(&running, "completed", SOON).await), "code@1.0.0");
    let waits = id("waits");
    mesh.submit_to("code", &waits).await;
    let list = baton(&mesh, &["agents", "list"]).await.exits(0).stdout;
    for part in [
        "active, paused",
        "PAUSED code",
        "a bad night",
        "baton agents resume code",
    ] {
        assert!(list.contains(part), "{part:?}: {list}");
    }
    first.stop().await;

    // Nobody who lives then was there: not the server process, not the controller, not the worker. Its consumers are
    // made anew, and another version is heard of for the first time.
    mesh.restart_everything().await;
    let client = mesh.server.client().await;
    for consumer in consumers(&client, "MESH_WORK_code").await.expect("consumers") {
        let delete = format!("$JS.API.CONSUMER.DELETE.MESH_WORK_code.{}", consumer.name);
        client.request(delete, "".into()).await.expect("an answer");
    }
    let url = mesh.server.url().to_owned();
    let second = Running::start(&url, teller("code", "1.0.0", &gate)).await;
    let new = Running::start(&url, teller("code", "2.0.0", &gate)).await;
    mesh.until_version_is("code", "2.0.0", "ready").await;
    assert!(are_paused(&mesh, "code").await);
    // A controller leads, and compares consumers with states when its term begins.
    let mut reports = mesh
        .server
        .client()
        .await
        .subscribe("mesh.load")
        .await
        .expect("a subscription");
    for _ in 0..3 {
        let report = tokio::time::timeout(SOON, reports.next()).await;
        report.expect("in time").expect("a report of the leader");
    }
    assert!(are_paused(&mesh, "code").await);
    assert_eq!(mesh.events_of(&waits).await, ["submitted"]);

    baton(&mesh, &["agents", "resume", "code", "2.0.0"])
        .await
        .exits(4)
        .says(&["not paused", "baton agents resume code"]);
    baton(&mesh, &["agents", "resume", "code"])
        .await
        .exits(0)
        .says(&["goes on"]);
    assert_eq!(result(&mesh.until(&waits, "completed", SOON).await), "code@1.0.0");
    baton(&mesh, &["agents", "resume", "code"])
        .await
        .exits(4)
        .says(&["not paused"]);
    second.stop().await;
    new.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pause_of_one_version_leaves_the_others_alone() {
    let (mesh, gate) = (TestMesh::start().await, Gate::open());
    let url = mesh.server.url();
    let old = Running::start(url, teller("code", "1.0.0", &gate)).await;
    mesh.until_version_is("code", "1.0.0", "active").await;
    let new = Running::start(url, teller("code", "2.0.0", &gate)).await;
    mesh.until_version_is("code", "2.0.0", "ready").await;
    baton(&mesh, &["agents", "pause", "code", "2.0.0"]).await.exits(0);
    let intent = id("goes");
    mesh.submit_to("code", &intent).await;
    assert_eq!(result(&mesh.until(&intent, "completed", SOON).await), "code@1.0.0");
    mesh.start_rollout("code", "2.0.0", &[]).await;
    let waits = id("waits");
    mesh.submit_to("code", &waits).await;
    eventually("it counts as paused", SOON, async || {
        let view = mesh
            .ask(&ListAgents::default())
            .await
            .map_err(|error| error.to_string())?;
        let versions = view.agents.iter().flat_map(|agent| &agent.versions);
        let open: Vec<_> = versions
            .map(|one| (one.paused.is_some(), one.open.get(&Cause::Paused).copied()))
            .collect();
        (open == [(false, None), (true, Some(1))])
            .then_some(())
            .ok_or(format!("{open:?}"))
    })
    .await;
    assert_eq!(mesh.events_of(&waits).await, ["submitted"]);
    baton(&mesh, &["agents", "pause", "code", "9.0.0"]).await.exits(3);
    baton(&mesh, &["agents", "pause", "ghost"]).await.exits(3);
    baton(&mesh, &["agents", "resume", "code", "2.0.0"]).await.exits(0);
    assert_eq!(result(&mesh.until(&waits, "completed", SOON).await), "code@2.0.0");
    old.stop().await;
    new.stop().await;
}

/// How many the environment asks for.
fn number_of(name: &str, unless: usize) -> usize {
    let asked = std::env::var(name).ok();
    asked.and_then(|text| text.parse().ok()).unwrap_or(unless)
}

/// Kills while handlers run that do not care, opens their gate, and lets all of it go on.
async fn nothing_of_the_killed_is_committed(blocks: bool, count: usize) {
    let (mesh, gate, runs) = (TestMesh::start().await, Gate::shut(), Arc::default());
    let go = Arc::new(AtomicUsize::new(0));
    let builder = stubborn(&gate, &runs, blocks.then_some(&go));
    let slots = u32::try_from(count).expect("a number");
    // Some slots are kept for other priorities.
    let worker = apart(&mesh, builder.concurrency(slots * 2)).await;
    mesh.until_version_is("code", "1.0.0", "active").await;
    let intents: Vec<IntentId> = (0..count).map(|number| id(&format!("one-{number}"))).collect();
    for intent in &intents {
        mesh.submit_to("code", intent).await;
    }
    // Fresh tickets: most have no record of a holder yet.
    until_runs(&runs, count).await;
    let since = Instant::now();
    let killed = mesh.ask(&KillAgent(act("it deletes files"))).await.expect("killed");
    println!(
        "{count} in flight, ms until all are fenced: {}",
        since.elapsed().as_millis()
    );
    assert_eq!((killed.fenced, killed.workers), (u64::from(slots), 1));
    gate.lift();
    go.fetch_add(1, Ordering::SeqCst);
    // The worker has dropped all that it ran: their tickets are acked, and the new ones wait.
    eventually("the old tickets are gone", SOON, async || {
        let state = mesh.stream_state("MESH_WORK_code").await;
        (state["messages"] == count).then_some(()).ok_or(state.to_string())
    })
    .await;
    for intent in &intents {
        is_fenced(&mesh.history_of(intent).await, 1);
    }
    let list = baton(&mesh, &["agents", "list"]).await.exits(0).stdout;
    assert!(
        list.contains("active, killed") && list.contains("it deletes files"),
        "{list}"
    );

    mesh.ask(&ResumeAgent(act("mended"))).await.expect("resumed");
    if blocks {
        until_runs(&runs, count * 2).await;
        go.fetch_add(1, Ordering::SeqCst);
    }
    for intent in &intents {
        let head = mesh.until(intent, "completed", SOON).await;
        assert_eq!(head.record.snapshot.attempt, 1, "a kill burns no attempt");
        let run: usize = result(&head).trim_start_matches("run ").parse().expect("a number");
        assert!(run > count, "what ran before the kill was committed: run {run}");
        assert_legal(&mesh.history_of(intent).await);
    }
    worker.stop().await;
}

/// Would fail with a kill that reads holders from the ledger, or one that fences by epoch. `IN_FLIGHT` says how many run.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn handlers_that_never_listen_commit_nothing_after_a_kill() {
    nothing_of_the_killed_is_committed(false, number_of("IN_FLIGHT", MANY)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn handlers_that_block_their_thread_commit_nothing_after_a_kill() {
    nothing_of_the_killed_is_committed(true, 2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn handler_hears_of_a_kill_within_a_second_and_its_intent_goes_on() {
    let mesh = TestMesh::start().await;
    let (builder, mut heard) = hearing("code");
    let worker = Running::start(mesh.server.url(), builder).await;
    mesh.until_version_is("code", "1.0.0", "active").await;
    let intent = id("stopped");
    mesh.submit_to("code", &intent).await;
    mesh.until(&intent, "in_progress", SOON).await;
    let since = Instant::now();
    baton(&mesh, &["agents", "kill", "code", "1.0.0"])
        .await
        .exits(0)
        .says(&["baton agents resume code 1.0.0"]);
    let took = heard_after(&mut heard, since).await;
    println!("kill: heard {} ms after the command began", took.as_millis());
    assert!(took < Duration::from_secs(1), "{took:?}");
    worker.stop().await;
    let other = Running::start(mesh.server.url(), teller("code", "1.0.0", &Gate::open())).await;
    baton(&mesh, &["agents", "resume", "code", "1.0.0"]).await.exits(0);
    mesh.until(&intent, "completed", NO_ACK_WAIT).await;
    other.stop().await;
}

/// A program that does not listen to SIGTERM: it waits for a file, then writes its result, and a line of what it did.
const DEAF: &str = "trap '' TERM; echo \"$BATON_INTENT run\" >>{dir}/log; \
                    while [ ! -e {dir}/go ]; do sleep 0.2; done; \
                    echo \"$BATON_INTENT done\" >>{dir}/log; echo done";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn program_that_traps_sigterm_commits_nothing_after_a_kill_and_is_killed() {
    let (mesh, program) = (TestMesh::start().await, Program::shell(DEAF));
    let worker = program.worker(&mesh, "code", "deaf", &["--concurrency", "2"]);
    ready(&worker).await;
    mesh.until_version_is("code", "1.0.0", "active").await;
    let intent = id("deaf");
    mesh.submit_to("code", &intent).await;
    eventually("it runs", SOON, async || {
        (program.runs(&intent) == 1).then_some(()).ok_or("not yet".to_owned())
    })
    .await;
    let killed = mesh.ask(&KillAgent(act("it deletes files"))).await.expect("killed");
    assert_eq!(killed.fenced, 1);
    // SIGKILL comes after the grace; until then it does as it likes, and nothing of that counts.
    eventually("it was killed", SOON, async || {
        let log = worker.stderr();
        log.contains("did not end at SIGTERM").then_some(()).ok_or(log)
    })
    .await;
    program.touch("go");
    is_fenced(&mesh.history_of(&intent).await, 1);
    assert_eq!(program.did(&intent), Vec::<String>::new());
    mesh.ask(&ResumeAgent(act("mended"))).await.expect("resumed");
    mesh.until(&intent, "completed", SOON).await;
    assert_eq!(
        (program.runs(&intent), program.did(&intent)),
        (2, vec!["done".to_owned()])
    );
    assert_legal(&mesh.history_of(&intent).await);
}

/// A program that does not listen to SIGTERM, and says which of those that were started before it still live.
const JEALOUS: &str = "trap '' TERM; for pid in $(cat {dir}/pids 2>/dev/null); do \
                       kill -0 $pid 2>/dev/null && echo \"$BATON_INTENT beside $pid\" >>{dir}/log; done; \
                       echo $$ >>{dir}/pids; echo \"$BATON_INTENT run\" >>{dir}/log; \
                       while [ ! -e {dir}/go ]; do sleep 0.2; done; echo done";

/// Would fail if a hop that was taken away freed its slot before its program has ended, or if the same intent were begun
/// beside it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slot_is_free_when_the_program_is_gone() {
    for (slots, is_paused) in [("1", false), ("2", true)] {
        let (mesh, program) = (TestMesh::start().await, Program::shell(JEALOUS));
        let worker = program.worker(&mesh, "code", "jealous", &["--concurrency", slots]);
        ready(&worker).await;
        mesh.until_version_is("code", "1.0.0", "active").await;
        let first = id("first");
        mesh.submit_to("code", &first).await;
        let runs = async |intent: &IntentId, count| {
            eventually("it runs", SOON, async || {
                let runs = program.runs(intent);
                (runs == count).then_some(()).ok_or(format!("{runs} runs"))
            })
            .await;
        };
        runs(&first, 1).await;
        let (next, count) = match is_paused {
            true => {
                baton(&mesh, &["intents", "pause", "first", "--reason", "wait"])
                    .await
                    .exits(0);
                baton(&mesh, &["intents", "resume", "first"]).await.exits(0);
                (first, 2)
            }
            false => {
                mesh.submit_to("code", &id("second")).await;
                baton(&mesh, &["intents", "cancel", "first", "--reason", "no more"])
                    .await
                    .exits(0);
                (id("second"), 1)
            }
        };
        runs(&next, count).await;
        let beside = program.did(&next);
        assert_eq!(beside, Vec::<String>::new(), "{slots} slots");
        program.touch("go");
        mesh.until(&next, "completed", SOON).await;
    }
}

/// Would fail if only whoever ordered a kill carried it out.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kill_that_its_controller_left_undone_is_finished_by_the_leader() {
    let (mesh, gate, runs) = (TestMesh::start().await, Gate::shut(), Arc::default());
    let worker = Running::start(mesh.server.url(), stubborn(&gate, &runs, None)).await;
    mesh.until_version_is("code", "1.0.0", "active").await;
    let intent = id("orphan");
    mesh.submit_to("code", &intent).await;
    until_runs(&runs, 1).await;
    // The record of a kill, and nothing more: as of a controller that died then.
    let control = ControllerMesh::of(&mesh.mesh);
    let ordered = Act::new("ada@test", mesh.mesh.now()).because("it deletes files");
    let decide = |route: Option<&baton_envelope::Route>| match route {
        Some(route) => kill_work(route, Some(&one()), &ordered),
        None => Ok(None),
    };
    control.change_route(&code(), decide).await.expect("ordered");
    eventually("the kill is done", SOON, async || {
        let route = mesh.mesh.route(&code()).await.map_err(|error| error.to_string())?;
        let pause = route.and_then(|(route, _)| route.pause_of(&one()).cloned());
        match pause {
            Some(pause) if pause.killed_at.is_some() && pause.fenced == 1 => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    is_fenced(&mesh.history_of(&intent).await, 1);
    assert!(are_paused(&mesh, "code").await);
    gate.lift();
    baton(&mesh, &["agents", "resume", "code", "1.0.0"]).await.exits(0);
    let head = mesh.until(&intent, "completed", SOON).await;
    assert_eq!(result(&head), "run 2");
    worker.stop().await;
}

/// Would fail if a kill whose fence the server refused were called done: the hop would commit as soon as there is room.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kill_that_a_full_ledger_refuses_is_not_done_until_there_is_room() {
    let (mesh, gate, runs) = (TestMesh::start().await, Gate::shut(), Arc::default());
    let worker = Running::start(mesh.server.url(), stubborn(&gate, &runs, None)).await;
    mesh.until_version_is("code", "1.0.0", "active").await;
    let intent = id("held");
    mesh.submit_to("code", &intent).await;
    until_runs(&runs, 1).await;
    let full = |info: &serde_json::Value| info["state"]["messages"].clone();
    mesh.edit_stream("MESH_LEDGER", "max_msgs", full).await;

    let refused = mesh.ask(&KillAgent(act("it deletes files"))).await;
    assert!(refused.is_err(), "{refused:?}");
    let (route, _) = mesh.mesh.route(&code()).await.expect("an answer").expect("a route");
    let pause = route.pause_of(&one()).expect("paused");
    assert!(pause.is_killing(), "{pause:?}");
    let resumed = mesh.ask(&ResumeAgent(act("all is well"))).await;
    assert!(resumed.is_err(), "{resumed:?}");

    mesh.edit_stream("MESH_LEDGER", "max_msgs", |_| (-1).into()).await;
    eventually("the kill is done", SOON, async || {
        let route = mesh.mesh.route(&code()).await.map_err(|error| error.to_string())?;
        match route.and_then(|(route, _)| route.pause_of(&one()).cloned()) {
            Some(pause) if pause.killed_at.is_some() && pause.fenced == 1 => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    gate.lift();
    is_fenced(&mesh.history_of(&intent).await, 1);
    worker.stop().await;
}

/// Measured: from the command to the moment from which nothing of what ran can be committed. `KILLS` says how often.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn every_kill_holds_and_its_time_is_told() {
    let kills = number_of("KILLS", KILLS);
    let (mesh, gate, runs) = (TestMesh::start().await, Gate::open(), Arc::default());
    let go = Arc::new(AtomicUsize::new(0));
    let program = Program::shell(DEAF);
    let _exec = program.worker(&mesh, "deaf", "deaf", &["--concurrency", "100"]);
    let worker = apart(&mesh, stubborn(&gate, &runs, Some(&go)).concurrency(1)).await;
    for agent in ["code", "deaf"] {
        mesh.until_version_is(agent, "1.0.0", "active").await;
    }
    let mut times = Vec::new();
    for number in 0..kills {
        let of = if number % 5 == 4 { "deaf" } else { "code" };
        let intent = id(&format!("kill-{number}"));
        let before = runs.load(Ordering::SeqCst);
        mesh.submit_to(of, &intent).await;
        if of == "code" {
            until_runs(&runs, before + 1).await;
        } else {
            eventually("it runs", SOON, async || {
                (program.runs(&intent) > 0).then_some(()).ok_or("not yet".to_owned())
            })
            .await;
        }
        let order = AgentAct {
            agent: of.parse().expect("name"),
            ..act("measured")
        };
        let since = Instant::now();
        mesh.ask(&KillAgent(order.clone())).await.expect("killed");
        times.push(since.elapsed());
        go.fetch_add(1, Ordering::SeqCst);
        is_fenced(&mesh.history_of(&intent).await, 1);
        mesh.ask(&baton_envelope::control::CancelIntent {
            intent: intent.clone(),
            reason: "measured".to_owned(),
            by: "ada@test".to_owned(),
        })
        .await
        .expect("cancelled");
        mesh.ask(&ResumeAgent(order)).await.expect("resumed");
        let history = mesh.history_of(&intent).await;
        assert_eq!(
            history.last().map(|head| head.record.event.name()),
            Some("cancelled"),
            "{:?}",
            events(&history)
        );
    }
    times.sort();
    let at = |percent: usize| times[(times.len() * percent / 100).min(times.len() - 1)].as_millis();
    println!(
        "{kills} kills, ms until fenced: p50 {}, p95 {}, p99 {}, longest {}",
        at(50),
        at(95),
        at(99),
        at(100)
    );
    // Of few kills the longest is no p99, and the machine runs other tests beside it.
    if kills >= MEASURED {
        assert!(
            at(99) <= KILLED_WITHIN.as_millis(),
            "p99 of {kills} kills: {} ms",
            at(99)
        );
    }
    worker.stop().await;
}
