//! Agents judged by the protocol: that of Rust and that of Python pass, and faulty copies fail, each for its own reason.

mod faults;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Stdio;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use baton_agent::{Agent, Amounts, Call, Called, Calls, Fault, Handler, Hop, Json, Kind, Memory, Outcome, Permit};
use baton_conformance::{Options, Report, agent_rules, judge_agent};
use baton_e2e::chaos::Running;
use baton_e2e::root;
use baton_jetstream::{Limits, Mesh, Target};
use baton_testkit::TestServer;
use futures::StreamExt as _;
use serde::Deserialize;
use serde_json::json;
use tempfile::TempDir;
use tokio::process::{Child, Command};

use self::faults::FAULTS;

/// What is tried of each faulty agent besides the rule that it breaks: it must work otherwise.
const OTHERWISE: [&str; 4] = ["complete", "fail", "twice", "records"];

/// How many agents are judged at once.
const AT_ONCE: usize = 24;

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
    Spend { name: String, most: u64, took: u64 },
    Remember { key: String, text: String },
    View,
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
        let mut view: Option<String> = None;
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
                Act::Spend { name, most, took } => {
                    let effect = |permit: Permit| async move {
                        permit.spent(Amounts::tokens(took));
                        Ok::<_, Fault>(Json::null())
                    };
                    let result = hop.spend(&name, Amounts::tokens(most), effect).await?;
                    seen.insert(name, result);
                }
                Act::Remember { key, text } => hop.remember(Memory::new(key, Kind::Decision, text)).await?,
                Act::View => view = Some(hop.context().await?.text().to_owned()),
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
                Act::Complete => return result(hop.attempt(), (&seen, &calls), view.as_deref()),
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
    (steps, calls): (&BTreeMap<String, Json>, &BTreeMap<String, Vec<Called>>),
    view: Option<&str>,
) -> Result<Outcome, Fault> {
    #[derive(serde::Serialize)]
    struct Seen<'a> {
        attempt: u32,
        steps: &'a BTreeMap<String, Json>,
        calls: &'a BTreeMap<String, Vec<Called>>,
        #[serde(skip_serializing_if = "Option::is_none")]
        view: Option<&'a str>,
    }
    let seen = Seen {
        attempt,
        steps,
        calls,
        view,
    };
    Outcome::complete(&seen)
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
    assert!(skipped(&report).is_empty(), "{:#?}", report.verdicts);
}

/// A copy of the agent and the submitter in Python with one fault, in one of these modules.
pub(crate) fn faulty(is_of_these: impl Fn(&str) -> bool, from: &str, to: &str) -> TempDir {
    let folder = tempfile::tempdir().expect("folder");
    let mut found = 0;
    for file in std::fs::read_dir(examples()).expect("examples") {
        let path = file.expect("a file").path();
        let name = path.file_name().and_then(|name| name.to_str()).expect("a name");
        if !name.ends_with(".py") {
            continue;
        }
        let mut source = std::fs::read_to_string(&path).expect("read");
        if is_of_these(name) {
            found += source.matches(from).count();
            source = source.replace(from, to);
        }
        std::fs::write(folder.path().join(name), source).expect("write");
    }
    assert_eq!(found, 1, "this text is there once: {from}");
    folder
}

#[tokio::test(flavor = "multi_thread")]
async fn each_faulty_agent_breaks_the_rule_of_its_fault_and_no_other() {
    let server = TestServer::start().await;
    let judgements = FAULTS.iter().enumerate().map(async |(number, (broken, from, to))| {
        let name = format!("fault-{number}");
        let folder = faulty(|module| module != "submitter.py", from, to);
        let mesh = namespace(&server, &name).await;
        let _agent = start(folder.path(), &server, &name);
        let mut rules = OTHERWISE.to_vec();
        rules.extend(*broken);
        (*broken, *from, judged(&mesh, &rules).await)
    });
    // Not all at once: an agent on a machine that has no time for it breaks rules of its own.
    let judged: Vec<_> = futures::stream::iter(judgements).buffered(AT_ONCE).collect().await;
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
