//! Agents judged by the protocol: that of Rust and that of Python pass, and faulty copies fail, each for its own reason.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Stdio;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use baton_agent::{Agent, Call, Called, Calls, Fault, Handler, Hop, Json, Outcome};
use baton_conformance::{Options, Report, agent_rules, judge_agent};
use baton_e2e::chaos::Running;
use baton_e2e::root;
use baton_jetstream::{Limits, Mesh, Target};
use baton_testkit::TestServer;
use futures::future::join_all;
use serde::Deserialize;
use serde_json::json;
use tempfile::TempDir;
use tokio::process::{Child, Command};

/// What is tried of each faulty agent besides the rule that it breaks: it must work otherwise.
const OTHERWISE: [&str; 4] = ["complete", "fail", "twice", "records"];

/// A fault of a copy of `examples/python/agent.py`: the rules that must be found broken, a text that is there once, and
/// what stands in its place.
const FAULTS: [(&[&str], &str, &str); 47] = [
    (
        &["heartbeat"],
        "\"instance\": self.instance,\n            \"protocol\"",
        "\"instance\": \"other\",\n            \"protocol\"",
    ),
    (
        &["ack-last"],
        "        self.run(hop)\n",
        "        self.nats.publish(hop.ack, b\"+ACK\")\n        self.run(hop)\n",
    ),
    (&["extend"], "self.nats.publish(hop.ack, b\"+WPI\")", "pass"),
    (&["step"], "{self.intent}:{self.number}:{name}", "{self.intent}:{name}"),
    (&["answer"], "or tokens[0] == namespace", ""),
    (
        &["deadline"],
        "hop.deadline is not None and now() >= hop.deadline:\n                    hop.end",
        "False:\n                    hop.end",
    ),
    (
        &["late"],
        "hop.deadline is not None and now() >= hop.deadline:\n                    return hop.end",
        "False:\n                    return hop.end",
    ),
    (&["retry"], "given_back=given_back, wake_at", "wake_at"),
    (
        &["exhausted"],
        "isinstance(problem, Park) or hop.attempt >= MAX_ATTEMPTS",
        "isinstance(problem, Park)",
    ),
    (&["early"], "if wait > 0:", "if False:"),
    (
        &["silence"],
        "1 if deliveries > 1 and not head.is_given_back() else 0",
        "0",
    ),
    (&["poison"], "if attempt > MAX_ATTEMPTS:", "if False:"),
    (&["resume"], "if name in self.steps:", "if False:"),
    (&["long-history"], "if found and found[-1].seq >= through:", "if found:"),
    (
        &["fenced"],
        "if not may_rebase or not self.still_held(head):",
        "if not may_rebase:",
    ),
    (
        &["fenced"],
        "if not head.has_ticket() or get(head.snapshot, \"envelope\") != get(hop.snapshot, \"envelope\"):",
        "if True:",
    ),
    (
        &["added"],
        "if not may_rebase or not self.still_held(head):",
        "if True:",
    ),
    (
        &["superseded"],
        "not head.has_ticket() or get(head.snapshot, \"envelope\") != envelope_id",
        "not head.has_ticket()",
    ),
    // What is run after its end is also run twice, and its claim follows no open status.
    (
        &["twice", "superseded", "records"],
        "if not head.has_ticket() or get(head.snapshot, \"envelope\") != envelope_id:",
        "if False:",
    ),
    (&["unknown-status"], "if head.status() not in KNOWN:", "if False:"),
    (
        &["successor"],
        "\"payload\": payload,",
        "\"payload\": to_json(json.loads(payload)),",
    ),
    (
        &["ticket"],
        "self.nats.request(subject, head.body, headers)",
        "self.nats.request(subject, to_json(json.loads(head.body)), headers)",
    ),
    (
        &["unknown-fields"],
        "after = dict(now_at)\n",
        "after = {name: text for name, text in now_at.items() if \"-\" not in name}\n",
    ),
    (
        &["constraints"],
        "        return text\n    if text[0] == '\"'",
        "        return to_json(json.loads(text))\n    if text[0] == '\"'",
    ),
    (
        &["hop-limit"],
        "if number > get(now_at, \"max_hops\", 10):",
        "if False:",
    ),
    (&["pins"], "if pinned is not None:", "if False:"),
    (
        &["must-carry"],
        "if stated is not None and stated != found:",
        "if False:",
    ),
    (
        &["suspended"],
        "{\"waiting\", \"parked\", \"compensating\"}",
        "{\"parked\", \"compensating\"}",
    ),
    (
        &["undoing"],
        "{\"waiting\", \"parked\", \"compensating\"}",
        "{\"waiting\", \"parked\"}",
    ),
    // What runs while it is undone also writes what may not follow.
    (
        &["undoing", "records"],
        "TICKET = {\"pending\",",
        "TICKET = {\"compensating\", \"pending\",",
    ),
    (
        &["resumed", "paused", "killed"],
        "if one.event == \"step\" and",
        "if one.snapshot[\"envelope\"] == hop.snapshot[\"envelope\"] and one.event == \"step\" and",
    ),
    (
        &["kept"],
        "    after = dict(snapshot)\n",
        "    after = {name: text for name, text in snapshot.items() if name != \"children\"}\n",
    ),
    (
        &["itinerary"],
        "if itinerary and json.loads(itinerary[0]) == to:",
        "if itinerary:",
    ),
    (
        &["next"],
        "(itinerary or followers or [None])[0]",
        "(itinerary or [None])[0]",
    ),
    // It gives what came first first.
    (
        &["call"],
        "for end in self.calls[name]]",
        "for end in sorted(self.calls[name], key=lambda end: end[\"seq\"])]",
    ),
    // It does not find that it was told, and asks once more.
    (&["call"], "if name not in self.calls:", "if True:"),
    // It goes on at once, with nothing.
    (
        &["call"],
        "            raise Suspended(name, to, payloads)\n",
        "            return []\n",
    ),
    (
        &["broadcast"],
        "    if unknown:\n        raise Retry(\"UNKNOWN_RECEIVER\"",
        "    if len(unknown) == len(outcome.receivers):\n        raise Retry(\"UNKNOWN_RECEIVER\"",
    ),
    // It commits what was taken from it, and completes what is parked.
    (
        &["paused", "killed", "records"],
        "if not may_rebase or not self.still_held(head):",
        "if not may_rebase:",
    ),
    // It does not know what to do with the ticket of a paused intent.
    (
        &["paused"],
        "{\"waiting\", \"parked\", \"compensating\"}",
        "{\"waiting\", \"compensating\"}",
    ),
    // It believes whatever it is told.
    (
        &["told"],
        "head is not None and not hop.still_held(head)",
        "head is not None",
    ),
    // It does not listen.
    (&["told"], "self.stop_if_fenced(said[\"fenced\"])", "pass"),
    (&["share"], "in_flight != 0 and (", "("),
    (
        &["older-share"],
        "if told[\"revision\"] >= self.share[\"revision\"]:",
        "if True:",
    ),
    (&["rate"], "time.monotonic() >= self.next_start", "True"),
    // It declares what it does not do.
    (
        &["gate", "agent-gate", "gated-handoff"],
        "\"newest\": \"1.2.0\"",
        "\"newest\": \"1.6.0\"",
    ),
    // It pauses an intent, which is not its to do.
    (
        &["poison", "commands"],
        "error = {\"code\": \"POISON\"",
        "error = {\"code\": \"PAUSED\"",
    ),
];

/// A mesh in a namespace of its own: many agents are judged on one server at once.
async fn namespace(server: &TestServer, name: &str) -> Mesh {
    let target = Target {
        namespace: name.parse().expect("namespace"),
        ..Target::at(server.url())
    };
    let mesh = target.connect().await.expect("connect");
    // Before its agent starts: one that finds no mesh ends at once.
    mesh.ensure_topology(Limits::default()).await.expect("topology");
    mesh
}

/// Starts the agent of a folder.
fn start(folder: &Path, server: &TestServer, namespace: &str) -> Child {
    Command::new("python3")
        .args(["-B", "conformance.py", "echo"])
        .current_dir(folder)
        .env("NATS_URL", server.url())
        .env("BATON_NAMESPACE", namespace)
        .stdout(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .expect("python3")
}

async fn judged(mesh: &Mesh, rules: &[&str]) -> Report {
    let options = Options {
        patience: Duration::from_secs(15),
        rules: rules.iter().map(|rule| (*rule).to_owned()).collect(),
        ..Options::default()
    };
    judge_agent(mesh, &"echo".parse().expect("agent"), &options, &|_| {})
        .await
        .expect("a report")
}

/// The payload of `docs/conformance.md`.
#[derive(Deserialize)]
struct Script {
    script: Vec<Act>,
}

#[derive(Deserialize)]
#[serde(tag = "do", rename_all = "snake_case")]
enum Act {
    Step { name: String },
    Wait { seconds: f64 },
    Retry { times: u32, code: String, seconds: f64 },
    Fail { code: String },
    Reject { code: String },
    HandOff { to: String },
    Next,
    Call { name: String, to: String },
    Broadcast { channel: String, receivers: Vec<String> },
    Complete,
}

/// Does what the payload says, in Rust.
struct Performer;

/// Tells the runs of an effect apart.
static RUNS: AtomicU64 = AtomicU64::new(0);

impl Handler for Performer {
    type Input = Json;

    async fn handle(&self, hop: &mut Hop, payload: Json) -> Result<Outcome, Fault> {
        let script: Script = payload
            .read()
            .map_err(|error| Fault::terminal("BAD_SCRIPT", error.to_string()))?;
        let mut seen: BTreeMap<String, Json> = BTreeMap::new();
        let mut calls: BTreeMap<String, Vec<Called>> = BTreeMap::new();
        for act in script.script {
            match act {
                Act::Step { name } => {
                    let key = hop.idempotency_key(&name);
                    let effect = || async move {
                        let nonce = RUNS.fetch_add(1, Ordering::SeqCst);
                        Ok::<_, Fault>(Json::of(&json!({"key": key, "nonce": nonce})).expect("JSON"))
                    };
                    let result = hop.step(&name, effect).await?;
                    seen.insert(name, result);
                }
                Act::Wait { seconds } => tokio::time::sleep(Duration::from_secs_f64(seconds)).await,
                Act::Retry { times, code, seconds } if hop.attempt() <= times => {
                    let again = Fault::retry("asked for").with_code(code);
                    return Err(again.after(Duration::from_secs_f64(seconds)));
                }
                Act::Retry { .. } => {}
                Act::Fail { code } => return Err(Fault::terminal(code, "asked for")),
                Act::Reject { code } => return Ok(Outcome::reject(code, "asked for")),
                Act::HandOff { to } => return Outcome::hand_off(&to, &spelling(&payload)),
                Act::Next => return Outcome::next(&spelling(&payload)),
                Act::Call { name, to } => {
                    let asked = payloads(&payload).into_iter().map(|payload| Call::new(&to, &payload));
                    let asked = asked.collect::<Result<Vec<_>, _>>()?;
                    let joined = hop.join(Calls::of(asked).named(&name)).await?;
                    calls.insert(name, joined.into_children());
                }
                Act::Broadcast { channel, receivers } => {
                    let outcome = Outcome::broadcast(&channel, &spelling(&payload))?;
                    return outcome.to_receivers(receivers.iter().map(String::as_str));
                }
                Act::Complete => return result(hop.attempt(), &seen, &calls),
            }
        }
        Err(Fault::terminal("BAD_SCRIPT", "the script ends without an outcome"))
    }
}

/// What a script says with its spelling: a field of a tagged enum has lost it.
#[derive(Deserialize)]
struct Raw {
    script: Vec<RawAct>,
}

#[derive(Deserialize)]
struct RawAct {
    payload: Option<Json>,
    payloads: Option<Vec<Json>>,
}

/// The payload of `hand_off`, `next` and `broadcast`.
fn spelling(payload: &Json) -> Json {
    let raw: Raw = payload.read().expect("read before");
    let found = raw.script.into_iter().find_map(|act| act.payload);
    found.expect("the act has a payload")
}

/// The payloads of `call`.
fn payloads(payload: &Json) -> Vec<Json> {
    let raw: Raw = payload.read().expect("read before");
    let found = raw.script.into_iter().find_map(|act| act.payloads);
    found.expect("the act has payloads")
}

fn result(
    attempt: u32,
    steps: &BTreeMap<String, Json>,
    calls: &BTreeMap<String, Vec<Called>>,
) -> Result<Outcome, Fault> {
    #[derive(serde::Serialize)]
    struct Seen<'a> {
        attempt: u32,
        steps: &'a BTreeMap<String, Json>,
        calls: &'a BTreeMap<String, Vec<Called>>,
    }
    Outcome::complete(&Seen { attempt, steps, calls })
}

#[tokio::test(flavor = "multi_thread")]
async fn the_agent_in_rust_keeps_every_rule() {
    let server = TestServer::start().await;
    let mesh = namespace(&server, "mesh").await;
    let builder = Agent::builder("echo", "1.0.0").expect("builder").handler(Performer);
    let (_agent, report) = tokio::join!(Running::start(server.url(), builder), judged(&mesh, &[]));
    assert!(report.passed, "{:#?}", report.verdicts);
    assert!(skipped(&report).is_empty(), "{:#?}", report.verdicts);
}

/// The rules that were skipped.
fn skipped(report: &Report) -> Vec<&'static str> {
    let skipped = report.verdicts.iter().filter(|verdict| verdict.skipped.is_some());
    skipped.map(|verdict| verdict.rule).collect()
}

fn examples() -> std::path::PathBuf {
    root().join("examples/python")
}

#[tokio::test(flavor = "multi_thread")]
async fn the_agent_in_python_keeps_every_rule() {
    let server = TestServer::start().await;
    let mesh = namespace(&server, "mesh").await;
    let _agent = start(&examples(), &server, "mesh");
    let report = judged(&mesh, &[]).await;
    assert!(report.passed, "{:#?}", report.verdicts);
    assert_eq!(report.verdicts.len(), agent_rules().len());
    // It declares protocol 1.2.
    assert_eq!(skipped(&report), ["gate", "agent-gate", "gated-handoff"]);
}

/// A copy of the agent with one fault.
fn faulty(from: &str, to: &str) -> TempDir {
    let folder = tempfile::tempdir().expect("folder");
    let source = std::fs::read_to_string(examples().join("agent.py")).expect("agent.py");
    assert_eq!(source.matches(from).count(), 1, "this text is in agent.py once: {from}");
    std::fs::write(folder.path().join("agent.py"), source.replace(from, to)).expect("write");
    std::fs::copy(examples().join("conformance.py"), folder.path().join("conformance.py")).expect("copy");
    folder
}

#[tokio::test(flavor = "multi_thread")]
async fn each_faulty_agent_breaks_the_rule_of_its_fault_and_no_other() {
    let server = TestServer::start().await;
    let judgements = FAULTS.iter().enumerate().map(async |(number, (broken, from, to))| {
        let name = format!("fault-{number}");
        let folder = faulty(from, to);
        let mesh = namespace(&server, &name).await;
        let _agent = start(folder.path(), &server, &name);
        let mut rules = OTHERWISE.to_vec();
        rules.extend(*broken);
        (*broken, *from, judged(&mesh, &rules).await)
    });
    let judged = join_all(judgements).await;
    let wrong: Vec<_> = judged
        .iter()
        .filter(|(broken, _, report)| report.broken() != **broken)
        .map(|(_, fault, report)| {
            let broken: Vec<_> = report.verdicts.iter().filter(|verdict| !verdict.passed).collect();
            (fault, broken)
        })
        .collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
    for verdict in judged.iter().flat_map(|(_, _, report)| &report.verdicts) {
        assert_eq!(verdict.passed, verdict.expected.is_empty(), "{verdict:?}");
        assert_eq!(verdict.passed, verdict.seen.is_empty(), "{verdict:?}");
    }
}
