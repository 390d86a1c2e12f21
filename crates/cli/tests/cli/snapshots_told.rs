//! Snapshots of what is printed of documents that a small mesh does not come to: a rollout with evidence, holds and
//! alarms, checks that fail, replays that differ, work that cannot be moved. A controller that says what the test tells it.

use baton_testkit::{ProcessGuard, eventually, nats_server};
use serde_json::{Value, json};

use crate::harness::{Bench, LONG, Run, command};
use crate::rollout::{AT, answering};
use crate::transcript::{Transcript, words};

/// Each phase of a rollout, and one of a later version of the protocol.
const PHASES: [&str; 7] = [
    "ramping",
    "paused",
    "draining",
    "done",
    "rolled_back",
    "aborted",
    "soaking",
];

fn rollout(phase: &str) -> Value {
    json!({
        "id": "r-1", "from": "1.4.0", "to": "2.0.0", "owner": "bob@elsewhere", "started_at": AT,
        "steps": [10, 25, 50, 100], "step": 1, "step_since": AT, "hold_seconds": 120, "auto": true, "phase": phase,
        "ended_at": if ["ramping", "paused", "draining"].contains(&phase) { Value::Null } else { json!(AT) },
    })
}

fn alarm(version: &str) -> Value {
    json!({
        "code": "DRAIN_WITHOUT_WORKERS", "agent": "code", "version": version, "since": AT,
        "message": format!("{version} has open work and no worker"),
        "ways_out": [
            format!("baton worker --agent code --version {version} --exec 'CMD…'"),
            format!("baton intents move --agent code --from {version} --to 1.4.0"),
        ],
    })
}

fn status(phase: &str) -> Value {
    let tally = |hops: u64| json!({"hops": hops});
    json!({
        "agent": "code", "active": "1.4.0", "canary": {"version": "2.0.0", "percent": 25}, "rollout": rollout(phase),
        "evidence": {
            "from": {"hops": 200, "retryable": 1, "terminal": 1, "p50_ms": 12.0, "p95_ms": 40.5, "p99_ms": 12_500.0,
                     "cost": 0.25},
            "to": tally(60), "from_in_step": tally(80), "to_in_step": tally(20),
        },
        "verdict": "20 of 50 attempts of 2.0.0 seen in this step",
        "drains": [{
            "version": "1.3.0", "state": "draining", "since": AT, "workers": 0, "open": 3, "tickets": 1,
            "eta_seconds": 90,
            "holds": [
                {"cause": "queued", "count": 1, "oldest": "order-9", "since": AT, "intents": ["order-9"]},
                {"cause": "waiting_human", "count": 2, "oldest": "order-1", "since": AT, "intents": ["order-1"]},
            ],
        }],
        "alarms": [alarm("1.3.0")], "behind": 7,
    })
}

fn agents() -> Value {
    let version = |version: &str, state: &str, workers: Value| {
        json!({
            "version": version, "state": state, "since": AT, "reason": "rollout r-1", "workers": workers, "backlog": 3,
            "in_flight": 1, "open": {"queued": 3, "waiting_human": 1},
            "protocol": {"oldest": "1.0.0", "newest": "1.1.0"}, "capabilities": ["rust", "tests"],
            "channels": ["builds"], "kinds": ["invoice.extract.v1"], "schemas": {"invoice.extract.v1": {}},
            "breaker_open": true,
        })
    };
    let worker = |name: &str, stopping: bool| json!({"instance": name, "concurrency": 8, "busy": 2, "stopping": stopping, "heard_at": AT});
    let mut off = worker("w-3", false);
    off["clock_ahead_ms"] = json!(-30_000);
    off["host"] = json!("db-7");
    json!({"agents": [{
        "agent": "code", "active": "1.4.0", "canary": {"version": "2.0.0", "percent": 10}, "previous": "1.3.0",
        "pinning": "chain", "rollout": rollout("ramping"), "alarms": [alarm("1.4.0")],
        "versions": [
            version("1.4.0", "active", json!([])),
            version("2.0.0", "canary", json!([worker("w-1", false), worker("w-2", true), off])),
        ],
    }]})
}

/// How many copies a stream keeps, and how many of them are current; and why a second one keeps fewer.
fn copies(current: u32, problem: Option<&str>) -> Value {
    let other = if problem.is_some() { 1 } else { 3 };
    json!({"replicas": 3, "streams": [
        {"stream": "MESH_LEDGER", "copies": 3, "current": current, "problem": null},
        {"stream": "MESH_WORK_code", "copies": other, "current": other, "problem": problem},
    ]})
}

fn plan() -> Value {
    json!({
        "agent": "code", "from": "1.4.0", "to": "2.0.0", "passed": false,
        "checks": [
            {"name": "protocol", "passed": true, "detail": "reads 1.0.0", "fix": null},
            {"name": "workers", "passed": false, "detail": "no live worker", "fix": "start one"},
        ],
        "replay": {"asked": 20, "replayed": 19, "same": 18, "refused": "a worker did not answer", "differences": [
            {"intent": "order-1", "hop": 2, "what": "result", "old": "\"a\"", "new": "x".repeat(60)},
        ]},
    })
}

fn history() -> Value {
    let decision = |what: &str, more: Value| {
        let mut decision = json!({"what": what, "by": "bob@elsewhere", "at": AT});
        decision
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        decision
    };
    let canary = json!({"version": "2.0.0", "percent": 10});
    json!({"agent": "code", "decisions": [
        {"revision": 7, "active": "1.4.0", "canary": canary, "decision": decision("started", json!({"version": "2.0.0"}))},
        {"revision": 9, "active": "1.4.0", "canary": null, "decision": decision("rolled_back", json!({
            "version": "1.4.0", "reason": format!("more failures: {}", "x".repeat(100)), "numbers": {"hops": 1},
        }))},
    ]})
}

/// What is answered to each verb, one document after the other and then the last one.
fn answers() -> Vec<(&'static str, Vec<Value>)> {
    let one = |intent: &str, detail: &str| json!({"intent": intent, "status": "pending", "detail": detail});
    let archive = |problem: Value| {
        json!({
            "enabled": true, "grace_seconds": 600, "archived": 12_345, "waiting": 17, "due": 3, "oldest_due": AT,
            "kept": 4, "failing": u64::from(!problem.is_null()), "problem": problem,
            "incomplete": 2 * u64::from(!problem.is_null()),
        })
    };
    let candidate = |version: &str, able: bool, reason: &str| {
        json!({"agent": "code", "version": version, "able": able, "reason": reason, "backlog": 2, "workers": 1,
               "breaker_open": !able})
    };
    vec![
        (
            "rollout.status",
            PHASES
                .into_iter()
                .flat_map(|phase| [status(phase), status(phase)])
                .collect(),
        ),
        ("rollout.plan", vec![plan()]),
        (
            "rollout.history",
            vec![history(), history(), json!({"agent": "code", "decisions": []})],
        ),
        (
            "intents.move",
            vec![json!({
                "agent": "code", "from": "1.3.0", "to": "1.4.0", "dry_run": false,
                "moved": [one("order-1", "before 1.4.0")], "failed": [one("order-2", "it has moved on")],
            })],
        ),
        (
            "route.explain",
            vec![json!({
                "agent": "code", "version": "2.0.0", "why": "the chain's bucket 3 is below the canary's 10 %",
                "candidates": [candidate("2.0.0", true, "takes all kinds"), candidate("1.4.0", false, "quarantined")],
            })],
        ),
        ("agents", vec![agents()]),
        ("mesh.copies", [2, 2, 2, 3].map(|current| copies(current, None)).into()),
        (
            "mesh.replicas",
            [
                None,
                None,
                Some("async persist mode is not supported on replicated streams"),
            ]
            .map(|problem| copies(1, problem))
            .into(),
        ),
        (
            "archive.status",
            vec![
                archive(Value::Null),
                archive(Value::Null),
                archive(json!("order-3: no room")),
            ],
        ),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_controller_says_is_shown() {
    let bench = Bench::bare().await;
    answering(&bench, &answers()).await;
    let mut transcript = Transcript::new(&[(bench.server.url(), "nats://[server]")]).without_amounts();
    let each_phase = ["rollout status code"; PHASES.len()];
    for command in each_phase.into_iter().chain([
        "rollout plan code 2.0.0 --replay 20",
        "rollout history code",
        "rollout history code",
        "intents move --agent code --from 1.3.0 --to 1.4.0",
        "route explain code",
        "agents list",
        "agents describe code",
        "archive status",
        "archive status",
        "mesh replicas",
        "mesh replicas 3",
        "mesh replicas 3",
        // A verb that is refused.
        "rollout pause code",
        "doctor",
    ]) {
        for form in ["", " --output json"] {
            let line = format!("{command}{form}");
            transcript.add(&line, &bench.run(&words(&line)).await);
        }
    }
    transcript.is("told-by-a-controller");
}

/// `baton dev` says how to go on, and stays.
#[tokio::test(flavor = "multi_thread")]
async fn a_mesh_of_ones_own_says_how_to_go_on() {
    let home = tempfile::TempDir::new().unwrap();
    let folder = home.path().to_str().unwrap();
    let server = nats_server().await;
    let port = {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        free.local_addr().unwrap().port().to_string()
    };
    let known = [
        (folder, "[home]"),
        (server.to_str().unwrap(), "[nats-server]"),
        (&port, "[port]"),
    ];
    let mut transcript = Transcript::new(&known);
    for form in ["table", "json"] {
        let line = format!("dev --dir {folder}/{form} --port {port} --output {form}");
        let mut command = command(home.path());
        command.args(words(&line)).env("BATON_NATS_SERVER", &server);
        let mut dev = ProcessGuard::spawn(form, command, home.path());
        // It listens for signals from a moment after it has said hello.
        eventually("it leads", LONG, async || match dev.stderr() {
            said if said.contains("this controller leads") => Ok(()),
            said => Err(said),
        })
        .await;
        dev.terminate();
        let code = dev.wait(LONG).await.code().unwrap();
        // What a process logs has the times of its run.
        let (stdout, stderr) = (dev.stdout(), String::new());
        transcript.add(&line, &Run { code, stdout, stderr });
    }
    transcript.is("dev");
}
