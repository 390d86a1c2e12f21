//! The last hops of the active version, run on the new one before it gets any work: differences are shown, no effect is
//! repeated, nothing is written.

use std::fs;
use std::path::Path;

use baton_e2e::TestMesh;
use baton_e2e::chaos::{Program, SOON, ready};
use baton_testkit::ProcessGuard;
use serde_json::Value;

use crate::nats_cli::{Run, run};

/// A program with one effect in a step; its modes differ in what they make of the step's result. In mode `again` it
/// wants another step. In a replay it has no effect, and only reports a step that has no record.
const PROGRAM: &str = r#"
import json, os, sys
told = json.loads(sys.stdin.readline())
folder, mode = sys.argv[1], sys.argv[2]
replay = told.get("replay", False)

def say(what):
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()

def step(name):
    if name in told["steps"]:
        return told["steps"][name]
    if not replay:
        with open(os.path.join(folder, "effects"), "a") as file:
            file.write(f"{told['intent']} {name}\n")
    say({"step": name, "result": told["payload"]["n"] * 10})
    return told["payload"]["n"] * 10

fetched = step("fetch")
if mode == "again":
    step("fetch-more")
if mode == "differs" and told["payload"]["n"] % 2:
    fetched += 1
say({"outcome": "complete", "result": fetched})
"#;

struct Versions {
    program: Program,
}

impl Versions {
    fn new() -> Self {
        let program = Program::shell("true");
        fs::write(program.dir().join("program.py"), PROGRAM).expect("the program");
        Self { program }
    }

    fn dir(&self) -> &Path {
        self.program.dir()
    }

    async fn start(&self, mesh: &TestMesh, version: &str, mode: &str) -> ProcessGuard {
        let dir = self.dir().display();
        let exec = format!("exec python3 {dir}/program.py {dir} {mode}");
        let arguments = [
            "worker",
            "--agent",
            "code",
            "--version",
            version,
            "--json",
            "--exec",
            &exec,
        ];
        let mut command = mesh.baton(&arguments);
        command.env("BATON_LOG", "info,async_nats=off");
        let guard = ProcessGuard::spawn(&format!("code-{version}"), command, self.dir());
        ready(&guard).await;
        let state = if version == "1.0.0" { "active" } else { "ready" };
        mesh.until_version_is("code", version, state).await;
        guard
    }

    fn effects(&self) -> String {
        fs::read_to_string(self.dir().join("effects")).unwrap_or_default()
    }
}

async fn plan(mesh: &TestMesh, version: &str) -> Run {
    run(mesh.baton(&["rollout", "plan", "code", version, "--replay", "20", "--output", "json"])).await
}

fn check<'a>(plan: &'a Value, name: &str) -> &'a Value {
    let checks = plan["checks"].as_array().expect("checks");
    checks
        .iter()
        .find(|check| check["name"] == name)
        .unwrap_or_else(|| panic!("no check {name}: {plan}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_shows_what_differs_and_leaves_no_trace() {
    let (mesh, versions) = (TestMesh::start().await, Versions::new());
    let _old = versions.start(&mesh, "1.0.0", "same").await;
    for number in 0..25 {
        let payload = format!(r#"{{"n":{number}}}"#);
        let intent = mesh.submit(&format!("order-{number}"), "code", &payload).await;
        mesh.until(&intent, "completed", SOON).await;
    }
    let _same = versions.start(&mesh, "2.0.0", "same").await;
    let _differs = versions.start(&mesh, "2.0.1", "differs").await;
    let _again = versions.start(&mesh, "2.0.2", "again").await;
    let effects = versions.effects();
    assert_eq!(effects.lines().count(), 25);
    let ledger = mesh.stream_state("MESH_LEDGER").await;

    let same = plan(&mesh, "2.0.0").await.exits(0).json();
    assert_eq!(
        (&same["replay"]["replayed"], &same["replay"]["same"]),
        (&20.into(), &20.into()),
        "{same}"
    );
    assert_eq!(same["replay"]["differences"], Value::Array(Vec::new()), "{same}");
    assert_eq!(check(&same, "replay")["passed"], true);

    let other = plan(&mesh, "2.0.1").await.exits(4).json();
    assert_eq!(
        (&other["replay"]["replayed"], &other["replay"]["same"]),
        (&20.into(), &10.into()),
        "{other}"
    );
    assert_eq!(check(&other, "replay")["passed"], false);
    let differences = other["replay"]["differences"].as_array().expect("differences");
    // The last twenty are 5 to 24; the odd ones differ.
    let mut seen: Vec<u64> = Vec::new();
    for difference in differences {
        let intent = difference["intent"].as_str().expect("an id");
        let number: u64 = intent
            .strip_prefix("order-")
            .and_then(|text| text.parse().ok())
            .expect("a number");
        let (old, new) = ((number * 10).to_string(), (number * 10 + 1).to_string());
        assert_eq!(
            (&difference["what"], &difference["hop"]),
            (&"result".into(), &1.into()),
            "{difference}"
        );
        assert_eq!(
            (&difference["old"], &difference["new"]),
            (&old.into(), &new.into()),
            "{difference}"
        );
        seen.push(number);
    }
    seen.sort_unstable();
    assert_eq!(seen, (5..25).filter(|number| number % 2 == 1).collect::<Vec<u64>>());
    let shown = run(mesh.baton(&["rollout", "plan", "code", "2.0.1", "--replay", "20"]))
        .await
        .exits(4)
        .stdout;
    for part in ["order-23", "230", "231", "10 the same"] {
        assert!(shown.contains(part), "{part}: {shown}");
    }

    let more = plan(&mesh, "2.0.2").await.exits(4).json();
    let differences = more["replay"]["differences"].as_array().expect("differences");
    assert!(
        differences.len() == 20 && differences.iter().all(|one| one["what"] == "step"),
        "{more}"
    );
    assert!(
        differences[0]["new"]
            .as_str()
            .is_some_and(|said| said.contains("fetch-more")),
        "{more}"
    );

    // Nothing was done, and nothing was written.
    assert_eq!(versions.effects(), effects);
    let after = mesh.stream_state("MESH_LEDGER").await;
    assert_eq!(
        (&after["last_seq"], &after["messages"]),
        (&ledger["last_seq"], &ledger["messages"])
    );
    let status = mesh.status_of("code").await;
    assert!(status.rollout.is_none() && status.canary.is_none(), "{status:?}");
}
