//! An upgrade of Baton itself: the store that an earlier build left (tests/fixtures/store) is carried on with. Nothing is
//! lost, nothing is repeated, rollouts and drains go on, and the streams are raised to the newest topology.

mod governed;
mod suspended;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use baton_e2e::{baton, root};
use baton_testkit::{ProcessGuard, TestServer, eventually};
use serde_json::Value;

/// How long the new build may take for all that the old one left.
const PATIENCE: Duration = Duration::from_secs(90);

/// The agents and versions whose workers come back, with more arguments.
const WORKERS: [(&str, &str, &[&str]); 19] = [
    ("shout", "1.0.0", &[]),
    ("relay", "1.0.0", &[]),
    ("steps", "1.0.0", &[]),
    ("slow", "1.0.0", &[]),
    ("lost", "1.0.0", &[]),
    ("park", "1.0.0", &["--max-attempts", "2"]),
    ("fatal", "1.0.0", &["--max-attempts", "1"]),
    ("late", "1.0.0", &[]),
    ("free", "1.0.0", &[]),
    ("review", "2.0.0", &[]),
    ("ill", "1.0.0", &[]),
    ("ill", "2.0.0", &[]),
    ("write", "1.0.0", &[]),
    ("write", "2.0.0", &[]),
    ("write", "3.0.0", &[]),
    ("code", "1.0.0", &[]),
    ("code", "2.0.0", &[]),
    ("edit", "1.0.0", &[]),
    ("edit", "2.0.0", &[]),
];

/// What was closed already, and how: it stays so.
const CLOSED: [(&str, &str); 24] = [
    ("archived-1", "completed"),
    ("archived-2", "completed"),
    ("archived-refused", "rejected"),
    ("archived-broken", "failed"),
    ("archived-relay", "completed"),
    ("done-1", "completed"),
    ("done-2", "completed"),
    ("done-steps", "completed"),
    ("done-relay", "completed"),
    ("done-refused", "rejected"),
    ("done-broken", "failed"),
    ("done-late", "timed_out"),
    ("refused-raw", "rejected"),
    ("lost-first", "completed"),
    ("draining-1", "completed"),
    ("edit-before", "completed"),
    ("code-1", "completed"),
    ("code-2", "completed"),
    ("code-3", "completed"),
    ("code-4", "completed"),
    ("code-5", "completed"),
    ("code-6", "completed"),
    ("code-7", "completed"),
    ("code-8", "completed"),
];

/// What was open, and how it ends without anybody's help.
const OPEN: [(&str, &str); 28] = [
    ("queued-1", "completed"),
    ("queued-2", "completed"),
    ("queued-3", "completed"),
    ("queued-carried", "completed"),
    ("queued-pinned", "completed"),
    ("queued-chain", "completed"),
    ("queued-raw", "completed"),
    ("handed-on", "completed"),
    ("reissued", "completed"),
    ("redriven", "completed"),
    ("released", "completed"),
    ("delayed", "completed"),
    ("moved", "completed"),
    ("repinned", "completed"),
    ("rerouted", "completed"),
    ("draining-first", "completed"),
    ("draining-first-pinned", "completed"),
    ("draining-second", "completed"),
    ("code-before", "completed"),
    ("code-held", "completed"),
    ("claimed-step", "completed"),
    ("claimed-hold", "completed"),
    ("orphan", "completed"),
    ("after-all", "completed"),
    ("raw-1", "completed"),
    ("raw-refused", "rejected"),
    ("parked-exhausted", "parked"),
    ("parked-poison", "parked"),
];

/// The mesh of a fixture, and the processes of this build on it.
struct Carried {
    server: TestServer,
    running: Vec<ProcessGuard>,
}

impl Carried {
    async fn unpack(archive: &str) -> Self {
        let archive = root().join("tests/fixtures/store").join(archive);
        let server = TestServer::builder().unpacked(archive).start().await;
        std::fs::write(server.dir().join("gate"), "").expect("the gate opens");
        let running = Vec::new();
        Self { server, running }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.server.dir().join(name)
    }

    fn baton(&self, args: &[&str]) -> Command {
        let mut command = baton();
        command.args(args).env("BATON_SERVER", self.server.url());
        // As the mesh was made.
        command.env("BATON_ARCHIVE__MAX_AGE", "0s");
        command.env("BATON_LOG", "info,async_nats=off");
        command
            .env("EFFECTS", self.file("effects"))
            .env("GATE", self.file("gate"));
        command
    }

    fn controller(&mut self) {
        let projection = self.file("projection.db").display().to_string();
        let command = self.baton(&[
            "controller",
            "--sweep-slack",
            "2s",
            "--sweep-interval",
            "1s",
            "--projection",
            &projection,
        ]);
        self.start("controller", command);
    }

    fn worker(&mut self, agent: &str, version: &str, more: &[&str]) {
        let program = root().join("tests/fixtures/store/agent");
        let exec = format!("exec sh {}", program.display());
        let mut command = self.baton(&[
            "worker",
            "--agent",
            agent,
            "--version",
            version,
            "--json",
            "--exec",
            &exec,
        ]);
        command.args(more);
        self.start(&format!("{agent}-{version}"), command);
    }

    fn start(&mut self, name: &str, command: Command) {
        let dir: &Path = self.server.dir();
        self.running.push(ProcessGuard::spawn(name, command, dir));
    }

    async fn run(&self, args: &[&str]) -> Output {
        let mut command = self.baton(args);
        let done = tokio::task::spawn_blocking(move || command.output()).await;
        done.expect("not cancelled").expect("baton should start")
    }

    async fn succeeds(&self, args: &[&str]) -> Output {
        let done = self.run(args).await;
        assert!(done.status.success(), "{args:?}: {done:?}");
        done
    }

    /// The JSON document of a command that succeeds; else what it said.
    async fn document(&self, args: &[&str]) -> Result<Value, String> {
        let args = [&["--output", "json"], args].concat();
        let output = self.run(&args).await;
        let said = || format!("{args:?}: {output:?}");
        if !output.status.success() {
            return Err(said());
        }
        serde_json::from_slice(&output.stdout).map_err(|error| format!("{error}: {}", said()))
    }

    /// The name of the status of every intent that is listed.
    async fn statuses(&self) -> Result<BTreeMap<String, String>, String> {
        let list = self.document(&["intents", "list", "--limit", "0"]).await?;
        let listed = list
            .pointer("/intents")
            .and_then(Value::as_array)
            .ok_or_else(|| list.to_string())?;
        let text = |one: &Value, path: &str| one.pointer(path).and_then(Value::as_str).unwrap_or_default().to_owned();
        Ok(listed
            .iter()
            .map(|one| (text(one, "/intent"), text(one, "/snapshot/status/state")))
            .collect())
    }

    async fn until(&self, expected: &[(&str, &str)]) {
        eventually("every intent ends as it should", PATIENCE, async || {
            let statuses = self.statuses().await?;
            let wrong: Vec<String> = expected
                .iter()
                .filter(|(intent, status)| statuses.get(*intent).map(String::as_str) != Some(*status))
                .map(|(intent, status)| format!("{intent} is {:?}, not {status}", statuses.get(*intent)))
                .collect();
            if wrong.is_empty() {
                Ok(())
            } else {
                Err(wrong.join("; "))
            }
        })
        .await;
    }

    async fn until_state(&self, agent: &str, version: &str, state: &str) {
        eventually(&format!("{agent} {version} is {state}"), PATIENCE, async || {
            let shown = self.document(&["agents", "describe", agent]).await?;
            let is_so = |one: &Value| one["version"] == version && one["state"] == state;
            has(&shown, &is_so).then_some(()).ok_or_else(|| shown.to_string())
        })
        .await;
    }

    /// What doctor finds that is not well, without what it says of any server.
    async fn findings(&self) -> Vec<String> {
        let output = self.run(&["--output", "json", "doctor"]).await;
        let document: Value = serde_json::from_slice(&output.stdout).expect("a document");
        let findings = document["findings"].as_array().cloned().expect("findings");
        let bad = findings
            .iter()
            .filter(|one| one["level"] != "ok" && one["check"] != "sync_interval");
        bad.map(|one| format!("{}: {}", one["check"], one["found"])).collect()
    }

    /// What the agents have done, then and now: no line twice.
    fn effects(&self) -> BTreeSet<String> {
        let text = std::fs::read_to_string(self.file("effects")).expect("effects");
        let mut seen = BTreeSet::new();
        for line in text.lines() {
            assert!(seen.insert(line.to_owned()), "this effect happened twice: {line}");
        }
        seen
    }
}

/// Whether a document has such an object anywhere.
fn has(document: &Value, is_it: &dyn Fn(&Value) -> bool) -> bool {
    match document {
        Value::Object(fields) => is_it(document) || fields.values().any(|value| has(value, is_it)),
        Value::Array(all) => all.iter().any(|value| has(value, is_it)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_of_11c473a_is_carried_on_with() {
    let mut mesh = Carried::unpack("11c473a.tar.xz").await;
    let before = mesh.findings().await;
    assert!(
        before.iter().any(|line| line.contains("topology of MESH_LEDGER")),
        "{before:?}"
    );
    assert!(
        !before
            .iter()
            .any(|line| line.contains("drift") || line.contains("expected")),
        "{before:?}"
    );

    mesh.controller();
    for (agent, version, more) in WORKERS {
        mesh.worker(agent, version, more);
    }
    mesh.until(&OPEN).await;
    mesh.until(&CLOSED).await;

    // A person mends what waits for one.
    let again = mesh
        .run(&["dead", "redrive", "parked-exhausted", "parked-poison"])
        .await;
    assert!(again.status.success(), "{again:?}");
    let lifted = mesh.run(&["agents", "quarantine", "ill", "1.0.0", "--lift"]).await;
    assert!(lifted.status.success(), "{lifted:?}");
    mesh.worker("bird", "1.0.0", &["--capability", "flying"]);
    mesh.until(&[
        ("parked-exhausted", "completed"),
        ("parked-poison", "completed"),
        ("parked-unknown", "parked"),
        ("parked-hops", "parked"),
        ("quarantined", "completed"),
        ("held", "completed"),
    ])
    .await;
    drains_and_rollouts_go_on(&mut mesh).await;

    let effects = mesh.effects();
    for (intent, _) in OPEN.iter().chain(&CLOSED).filter(|(_, status)| *status == "completed") {
        let done = effects
            .iter()
            .filter(|line| line.starts_with(&format!("{intent}:")) && line.ends_with(":done"));
        assert_eq!(done.count(), 1, "{intent}: {effects:?}");
    }
    for step in ["claimed-step:1:one", "claimed-step:1:two"] {
        assert!(effects.contains(step), "{effects:?}");
    }
    let history = mesh.run(&["intents", "get", "claimed-step"]).await;
    let history = String::from_utf8_lossy(&history.stdout).into_owned();
    assert!(history.contains("submitted") && history.contains("step"), "{history}");
    eventually("doctor has nothing to say", PATIENCE, async || {
        let findings = mesh.findings().await;
        if findings.is_empty() {
            Ok(())
        } else {
            Err(findings.join("; "))
        }
    })
    .await;
}

/// The drains of the store end, the rollout of a person takes its last step, and the one by evidence promotes itself.
async fn drains_and_rollouts_go_on(mesh: &mut Carried) {
    for (agent, version) in [("write", "1.0.0"), ("write", "2.0.0"), ("ill", "1.0.0")] {
        mesh.until_state(agent, version, "drained").await;
    }
    mesh.until_state("code", "2.0.0", "canary").await;
    let status = mesh.document(&["rollout", "status", "code"]).await.expect("a rollout");
    assert!(status.to_string().contains("25"), "{status}");
    let promoted = mesh.run(&["rollout", "promote", "code"]).await;
    assert!(promoted.status.success(), "{promoted:?}");
    mesh.until_state("code", "1.0.0", "drained").await;
    mesh.until_state("code", "2.0.0", "active").await;

    let mut sent = 0;
    eventually("the evidence promotes edit 2.0.0", PATIENCE, async || {
        for _ in 0..4 {
            sent += 1;
            let id = format!("edit-{sent}");
            let done = mesh.run(&["send", "edit", "ok", "--id", &id, "--wait"]).await;
            assert!(done.status.success(), "{done:?}");
        }
        let shown = mesh.document(&["rollout", "status", "edit"]).await?.to_string();
        let is_over = shown.contains("\"phase\":\"done\"") || shown.contains("\"phase\":\"draining\"");
        is_over.then_some(()).ok_or(shown)
    })
    .await;
    mesh.until_state("edit", "2.0.0", "active").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_with_other_settings_is_refused_at_its_start() {
    let mut mesh = Carried::unpack("11c473a.tar.xz").await;
    mesh.controller();
    eventually("the leader has written the settings", PATIENCE, async || {
        let findings = mesh.findings().await.join("; ");
        if findings.contains("topology") {
            Err(findings)
        } else {
            Ok(())
        }
    })
    .await;
    for args in [
        &["worker", "--agent", "shout", "--version", "1.0.0", "--exec", "cat"][..],
        &["controller"],
        &["send", "shout", "ok"],
    ] {
        let mut command = mesh.baton(args);
        command.env("BATON_CONNECTION__BANDS", "ten");
        let output = tokio::task::spawn_blocking(move || command.output())
            .await
            .expect("not cancelled")
            .expect("baton");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(64), "{args:?}: {said}");
        for part in [
            "`bands`",
            "\"ten\"",
            "BATON_CONNECTION__BANDS",
            "\"three\"",
            "MESH_LEDGER",
        ] {
            assert!(said.contains(part), "{args:?}: no {part} in {said}");
        }
    }
    let mut doctor = mesh.baton(&["doctor"]);
    doctor.env("BATON_CONNECTION__BANDS", "ten");
    let output = tokio::task::spawn_blocking(move || doctor.output())
        .await
        .expect("not cancelled")
        .expect("baton");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(said.contains("shared settings") && said.contains("PROBLEM"), "{said}");
}
