//! Submitters judged by the protocol: those in Python and in shell pass, and faulty copies fail, each for its own reason.

use std::path::{Path, PathBuf};
use std::time::Duration;

use baton_conformance::{SubmitterOptions, SubmitterReport, judge_submitter, submitter_rules};
use baton_e2e::root;
use baton_jetstream::Target;
use baton_testkit::{ProcessGuard, TestServer, eventually, nats_cli};
use futures::future::join_all;

use crate::conformance::faulty;

/// What is tried of each faulty submitter besides the rules that it breaks: it must work otherwise.
const OTHERWISE: [&str; 7] = ["new-id", "kind", "raw", "envelope", "record", "ticket", "nothing-else"];

/// A fault of a copy of `examples/python/submitter.py`: the way in which it submits, the rules that must be found broken,
/// a text that is there once, and what stands in its place.
const FAULTS: [(&str, &[&str], &str, &str); 36] = [
    (
        "record",
        &["payload"],
        "return text.strip(\" \\t\\r\\n\"), None",
        "return to_json(json.loads(text)), None",
    ),
    (
        "raw",
        &["payload"],
        "work.body, headers)",
        "work.payload()[0], headers)",
    ),
    (
        "raw",
        &["id"],
        "intent is None, intent or uuid7()",
        "intent is None, uuid7()",
    ),
    ("raw", &["new-id"], "intent or uuid7()", "intent or \"order-42\""),
    // A name in other letters is another header, and none that the protocol has.
    (
        "raw",
        &["kind", "raw"],
        "\"Baton-Kind\": work.kind",
        "\"baton-kind\": work.kind",
    ),
    (
        "raw",
        &["priority"],
        "\"Baton-Priority\": work.priority",
        "\"Baton-Priority\": None",
    ),
    (
        "raw",
        &["deadline"],
        "\"Baton-Deadline\": work.deadline",
        "\"Baton-Deadline\": work.deadline and \"10m\"",
    ),
    (
        "envelope",
        &["max-hops"],
        "\"max_hops\": quoted(self.max_hops)",
        "\"max_hops\": None",
    ),
    (
        "record",
        &["constraints"],
        "quoted(constraints_hash(self.constraints))",
        "quoted(hashlib.sha256(self.constraints.encode()).hexdigest())",
    ),
    // A router would refuse an envelope whose constraints have another hash.
    (
        "envelope",
        &["constraints", "raw", "envelope"],
        "quoted(constraints_hash(self.constraints))",
        "quoted(hashlib.sha256(self.constraints.encode()).hexdigest())",
    ),
    (
        "envelope",
        &["unknown-fields"],
        "**members(self.more),",
        "**{name: to_json(json.loads(text)) for name, text in members(self.more).items()},",
    ),
    (
        "record",
        &["texts"],
        "if len(kind.encode()) > 256 or",
        "if len(kind.encode()) > 256 and",
    ),
    (
        "record",
        &["unknown-agent"],
        "raise Refused(\"UNKNOWN_AGENT\", f\"the agent {work.agent} has no route\")",
        "return \"1.0.0\"",
    ),
    (
        "record",
        &["version"],
        "[route[\"active\"]]",
        "[min(route[\"versions\"])]",
    ),
    ("record", &["canary"], "if share < canary", "if share >= canary"),
    (
        "record",
        &["paused"],
        "if route is None:",
        "if route is None or route.get(\"paused\"):",
    ),
    (
        "record",
        &["gate"],
        "if work.gate is not None and self.route(work.gate) is None:",
        "if False:",
    ),
    (
        "record",
        &["gate"],
        "if work.gate == work.agent and [",
        "if False and [",
    ),
    // It says that it knows gates of operators, and limits, and looks at neither.
    (
        "record",
        &["agent-gate", "turn"],
        "\"protocol\": to_json(work.protocol)",
        "\"protocol\": to_json(\"1.6.0\")",
    ),
    (
        "raw",
        &["order-key"],
        "\"Baton-Order-Key\": work.order_key",
        "\"Baton-Order-Key\": None",
    ),
    // It knows the key, and does not wait.
    (
        "record",
        &["order-key", "record", "ticket"],
        "if work.order_key is not None:",
        "if False:",
    ),
    (
        "record",
        &["again"],
        "return self.compare(work, first)",
        "raise Refused(\"CONFLICT\", \"the id is taken\")",
    ),
    ("record", &["conflict"], "if not same:", "if False:"),
    (
        "raw",
        &["retry-id", "lost-ack"],
        "time.sleep(0.1)  # Unknown",
        "headers = {**headers, \"Baton-Intent\": uuid7()}  # Unknown",
    ),
    (
        "raw",
        &["retry-id"],
        "time.sleep(0.1)  # Unknown",
        "return 0  # Unknown",
    ),
    (
        "record",
        &["ticket-again"],
        "self.until_acknowledged(subject, head.body, {",
        "self.nats.publish(subject, head.body, {",
    ),
    (
        "raw",
        &["full"],
        "raise Refused(\"FULL\", f\"{subject}: ",
        "return str(f\"{subject}: ",
    ),
    (
        "raw",
        &["answer"],
        "answer.body.decode(\"utf-8\", \"replace\")",
        "answer.body.decode(\"utf-8\", \"replace\").upper()",
    ),
    (
        "raw",
        &["failure"],
        "return answer.headers.get(\"Baton-Status\"), ",
        "return \"completed\", ",
    ),
    (
        "raw",
        &["no-answer"],
        "return self.wait(work, 0.5)",
        "return \"completed\", \"null\"",
    ),
    (
        "record",
        &["envelope"],
        "\"to\": to_json(self.agent),\n            \"hop\": \"1\"",
        "\"to\": to_json(self.agent),\n            \"hop\": \"2\"",
    ),
    ("record", &["record"], "\"epoch\": \"1\"", "\"epoch\": \"0\""),
    (
        "record",
        &["record"],
        "\"Nats-Expected-Last-Subject-Sequence\": \"0\",",
        "",
    ),
    (
        "record",
        &["ticket"],
        "self.until_acknowledged(subject, head.body, {",
        "self.until_acknowledged(subject, head.body + \" \", {",
    ),
    (
        "record",
        &["ticket"],
        "\"Nats-Msg-Id\": get(envelope, \"id\")",
        "\"Nats-Msg-Id\": get(head.record, \"id\")",
    ),
    (
        "raw",
        &["nothing-else"],
        "        return work.intent\n\n    def envelope",
        "        self.nats.publish(f\"{self.namespace}.event.{work.intent}\")\n        return work.intent\n\n    def envelope",
    ),
];

fn examples(folder: &str) -> PathBuf {
    root().join("examples").join(folder)
}

/// Judges a program in a namespace of its own: many are judged on one server at once.
async fn judged(server: &TestServer, namespace: &str, program: &[&str], rules: &[&str]) -> SubmitterReport {
    let target = Target {
        namespace: namespace.parse().expect("namespace"),
        screened: true,
        ..Target::at(server.url())
    };
    let mesh = target.connect().await.expect("connect");
    let options = SubmitterOptions {
        program: Some(program.iter().map(|&word| word.to_owned()).collect()),
        url: server.url().to_owned(),
        wait: Duration::from_secs(10),
        patience: Duration::from_secs(20),
        rules: rules.iter().map(|&rule| rule.to_owned()).collect(),
    };
    judge_submitter(&mesh, &options, &|_| {}).await.expect("a report")
}

/// The rules that were skipped.
fn skipped(report: &SubmitterReport) -> Vec<&'static str> {
    let skipped = report.verdicts.iter().filter(|verdict| verdict.skipped.is_some());
    skipped.map(|verdict| verdict.rule).collect()
}

fn path(folder: &Path, file: &str) -> String {
    folder.join(file).to_string_lossy().into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_submitter_in_python_keeps_every_rule_in_each_way() {
    let server = TestServer::start().await;
    let script = path(&examples("python"), "submit.py");
    let ways = ["raw", "envelope", "record"].map(async |way| {
        let report = judged(&server, way, &["python3", "-B", &script, way], &[]).await;
        assert!(report.passed, "{way}: {:#?}", report.verdicts);
        assert_eq!(report.ways, [way]);
        assert_eq!(report.verdicts.len(), submitter_rules().len());
        skipped(&report)
    });
    let expected: [&[&str]; 3] = [
        &[
            "constraints",
            "unknown-fields",
            "version",
            "canary",
            "paused",
            "gate",
            "agent-gate",
            "turn",
            "ticket-again",
            "envelope",
            "record",
            "ticket",
        ],
        &[
            "version",
            "canary",
            "paused",
            "agent-gate",
            "turn",
            "ticket-again",
            "record",
            "ticket",
        ],
        // It writes protocol 1.2, as long as nobody asks for what came later.
        &["agent-gate", "turn", "raw"],
    ];
    assert_eq!(join_all(ways).await, expected);
}

/// `baton send` has no flag for fields of later versions; the `nats` command does not wait for an answer.
#[tokio::test(flavor = "multi_thread")]
async fn the_submitters_in_shell_keep_every_rule() {
    let server = TestServer::start().await;
    let baton = format!("BATON={}", env!("CARGO_BIN_EXE_baton"));
    let script = path(&examples("shell"), "baton-send.sh");
    let report = judged(&server, "send", &["env", &baton, "sh", &script], &[]).await;
    assert!(report.passed, "{:#?}", report.verdicts);
    assert_eq!(skipped(&report), ["unknown-fields", "raw"]);

    let Some(nats) = nats_cli().await else { return };
    let nats = format!("NATS={}", nats.path().display());
    let script = path(&examples("shell"), "nats-pub.sh");
    let report = judged(&server, "pub", &["env", &nats, "sh", &script], &[]).await;
    assert!(report.passed, "{:#?}", report.verdicts);
    let kept = report.verdicts.iter().filter(|verdict| verdict.passed);
    let kept: Vec<_> = kept.map(|verdict| verdict.rule).collect();
    let of_nats = [
        "payload",
        "id",
        "new-id",
        "kind",
        "priority",
        "deadline",
        "max-hops",
        "texts",
        "order-key",
        "again",
        "retry-id",
        "lost-ack",
        "full",
        "raw",
        "nothing-else",
    ];
    assert_eq!(kept, of_nats);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_faulty_submitter_breaks_the_rule_of_its_fault_and_no_other() {
    let server = TestServer::start().await;
    let judgements = FAULTS
        .iter()
        .enumerate()
        .map(async |(number, (way, broken, from, to))| {
            let folder = faulty(|module| module == "submitter.py", from, to);
            let script = path(folder.path(), "submit.py");
            // What waits is overheard, too.
            let rules = [&OTHERWISE[..], broken, &["answer"]].concat();
            let program = ["python3", "-B", &script, way];
            (
                *broken,
                *from,
                judged(&server, &format!("fault-{number}"), &program, &rules).await,
            )
        });
    let judged = join_all(judgements).await;
    let wrong: Vec<_> = judged
        .iter()
        .filter(|(broken, _, report)| {
            let mut broken = broken.to_vec();
            broken.sort_unstable();
            let mut found = report.broken();
            found.sort_unstable();
            found != broken
        })
        .map(|(_, fault, report)| {
            let broken: Vec<_> = report.verdicts.iter().filter(|verdict| verdict.is_broken()).collect();
            (fault, broken)
        })
        .collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
    for verdict in judged.iter().flat_map(|(_, _, report)| &report.verdicts) {
        assert_eq!(verdict.is_broken(), !verdict.expected.is_empty(), "{verdict:?}");
        assert_eq!(verdict.is_broken(), !verdict.seen.is_empty(), "{verdict:?}");
    }
}

/// Without a program the command judges what arrives, whoever submits it.
#[tokio::test(flavor = "multi_thread")]
async fn what_anyone_submits_is_judged_as_it_arrives() {
    let server = TestServer::start().await;
    let home = tempfile::tempdir().expect("folder");
    let command = |arguments: &[&str]| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_baton"));
        command.args(arguments).env("NATS_URL", server.url());
        command
    };
    let judge = ["conformance", "submitter", "--patience", "2s", "--output", "json"];
    let mut judging = ProcessGuard::spawn("judge", command(&judge), home.path());
    let client = server.client().await;
    eventually("the route", Duration::from_secs(20), async || {
        let asked = client
            .request(
                "$JS.API.DIRECT.GET.KV_MESH_ROUTES.$KV.MESH_ROUTES.conformance",
                "".into(),
            )
            .await;
        let is_there = asked.is_ok_and(|answer| answer.status.is_none());
        is_there.then_some(()).ok_or_else(|| judging.stderr())
    })
    .await;
    let sent = command(&["send", "conformance", "hello", "--wait"])
        .output()
        .expect("sent");
    assert!(sent.status.success(), "{}", String::from_utf8_lossy(&sent.stderr));
    let mut headers = baton_testkit::Headers::new();
    headers.insert("Baton-Urgency", "9");
    let raw = client.request_with_headers("mesh.intent.conformance", headers, "hi".into());
    raw.await.expect("stored");
    let status = judging.wait(Duration::from_secs(30)).await;
    let report: serde_json::Value = serde_json::from_str(&judging.stdout()).expect("a document");
    assert_eq!(status.code(), Some(1), "{report:#}");
    assert_eq!(report["ways"], serde_json::json!(["raw", "record"]));
    let broken: Vec<_> = report["verdicts"].as_array().expect("verdicts").iter().collect();
    let broken: Vec<_> = broken.iter().filter(|verdict| verdict["passed"] == false).collect();
    assert_eq!(broken.len(), 1, "{broken:#?}");
    assert_eq!(broken[0]["rule"], "raw");
    assert_eq!(broken[0]["seen"], "Baton-Urgency");
}
