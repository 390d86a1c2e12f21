//! A mesh that signs, with its processes as an operator runs them: off, accept, require, and what becomes of a forged record.

use std::process::{Command, Output};
use std::time::Duration;

use baton_agent::{Agent, Fault, Handler, Hop, Outcome};
use baton_controller::{ArchiveConfig, Controller, ControllerConfig};
use baton_e2e::baton;
use baton_envelope::{Author, Envelope, IntentId, Json, Role, Signatures};
use baton_jetstream::{Limits, Mesh, Signing, Target};
use baton_testkit::{Keys, TestServer, eventually, records};
use serde_json::Value;
use tokio::sync::watch;
use tokio::task::JoinHandle;

const SOON: Duration = Duration::from_secs(30);
/// Longer than a process takes to learn of the mesh's setting.
const LATER: Duration = Duration::from_secs(90);

/// Hands off to `code`, which completes.
struct Relay(&'static str);

impl Handler for Relay {
    type Input = Json;

    async fn handle(&self, hop: &mut Hop, payload: Json) -> Result<Outcome, Fault> {
        let _seen: u32 = hop.step("look", || async { Ok::<_, Fault>(1) }).await?;
        match self.0 {
            "research" => Outcome::hand_off("code", &payload),
            _ => Outcome::complete(&payload),
        }
    }
}

/// A server, and tasks that are ended with it.
struct Signed {
    server: TestServer,
    keys: Keys,
    stop: watch::Sender<bool>,
    tasks: Vec<JoinHandle<()>>,
}

impl Drop for Signed {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

impl Signed {
    async fn connect(&self, whose: Option<&str>, signatures: Signatures) -> Mesh {
        let target = Target {
            signing: Signing {
                signatures,
                key: whose.map(|name| self.keys.file(name)),
                trust: (signatures != Signatures::Off).then(|| self.keys.trust()),
            },
            ..Target::at(self.server.url())
        };
        target.connect().await.expect("connect")
    }

    /// Starts a controller that raises the mesh to `signatures`, and both agents.
    async fn start(signatures: Signatures) -> Self {
        let mut mesh = Self {
            server: TestServer::start().await,
            keys: Keys::of_agents(&["research", "code"]),
            stop: watch::Sender::new(false),
            tasks: Vec::new(),
        };
        mesh.control(signatures).await;
        for agent in ["research", "code"] {
            mesh.work(agent, Some(agent), signatures).await;
        }
        mesh
    }

    async fn control(&mut self, signatures: Signatures) {
        let mesh = self.connect(Some("controller"), signatures).await;
        let config = ControllerConfig {
            limits: Limits {
                signatures,
                ..Limits::default()
            },
            checkpoint_interval: Duration::from_millis(200),
            archive: ArchiveConfig {
                grace: Duration::from_secs(1),
                ..ArchiveConfig::default()
            },
            ..ControllerConfig::default()
        };
        let (controller, stop) = (Controller::new(mesh, config), self.stop.subscribe());
        self.tasks.push(tokio::spawn(async move {
            controller.run_until(told(stop)).await.expect("controller");
        }));
    }

    /// Requires signatures at once, as an operator may by hand: the leader waits until all live workers sign.
    async fn require(&self) {
        let client = self.server.client().await;
        let ask = async |what: &str, request: String| {
            let subject = format!("$JS.API.STREAM.{what}.MESH_LEDGER");
            let answer = client.request(subject, request.into()).await.expect("an answer");
            serde_json::from_slice::<Value>(&answer.payload).expect("JSON")
        };
        let mut config = ask("INFO", String::new()).await["config"].take();
        config["metadata"]["baton.signatures"] = "require".into();
        config["metadata"]["baton.signatures.since"] = "0".into();
        let updated = ask("UPDATE", config.to_string()).await;
        assert!(updated.get("error").is_none(), "{updated}");
    }

    /// Stops what was started, in order.
    async fn end(&mut self) {
        self.stop.send_replace(true);
        for task in self.tasks.drain(..) {
            task.await.expect("it ends");
        }
        self.stop = watch::Sender::new(false);
    }

    async fn work(&mut self, agent: &'static str, key: Option<&str>, signatures: Signatures) {
        let mesh = self.connect(key, signatures).await;
        let builder = Agent::builder(agent, "1.0.0").expect("names").handler(Relay(agent));
        let (worker, stop) = (builder.bind(&mesh).await.expect("bind"), self.stop.subscribe());
        self.tasks.push(tokio::spawn(async move {
            worker.run_until(told(stop)).await.expect("worker");
        }));
    }

    async fn submit(&self, mesh: &Mesh, id: &str) -> IntentId {
        let intent: IntentId = id.parse().expect("id");
        let to = "research".parse().expect("name");
        let envelope = Envelope::first(mesh.clock().envelope_id(), intent.clone(), to, Json::string("otters"));
        let by = Author::of(Role::Client, "test");
        mesh.submit_when_known(envelope, by, SOON).await.expect("submit");
        intent
    }

    async fn until_completed(&self, mesh: &Mesh, intent: &IntentId) {
        eventually(&format!("{intent} is completed"), SOON, async || {
            match mesh.last_record(intent).await {
                Ok(Some(head)) if head.record.snapshot.status.name() == "completed" => Ok(()),
                found => Err(format!(
                    "{:?}",
                    found.map(|head| head.map(|head| head.record.snapshot.status))
                )),
            }
        })
        .await;
    }

    fn baton(&self, args: &[&str]) -> Output {
        let mut command: Command = baton();
        command
            .args(args)
            .env("BATON_SERVER", self.server.url())
            .env("BATON_CONNECTION__SIGNATURES", "accept")
            .env("BATON_CONNECTION__TRUST", self.keys.trust());
        command.output().expect("baton runs")
    }
}

/// Resolves when it is time to stop.
async fn told(mut stop: watch::Receiver<bool>) {
    let _told = stop.wait_for(|stop| *stop).await;
}

fn document(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn work_goes_through_is_archived_and_verifies() {
    let mesh = Signed::start(Signatures::Accept).await;
    let client = mesh.connect(Some("client"), Signatures::Accept).await;
    let mut intents = Vec::new();
    for number in 0..6 {
        intents.push(mesh.submit(&client, &format!("intent-{number}")).await);
    }
    for intent in &intents {
        mesh.until_completed(&client, intent).await;
    }
    eventually("all is archived and covered", SOON, async || {
        let output = mesh.baton(&["audit", "verify", "--all", "--output", "json"]);
        let report = document(&output);
        let is_covered = report["covered_through"].as_u64() >= Some(36);
        match is_covered && report["bundles"] == 6 && output.status.success() {
            true => Ok(()),
            false => Err(format!("{report}")),
        }
    })
    .await;
    let report = document(&mesh.baton(&["audit", "verify", "--all", "--output", "json"]));
    assert_eq!(
        (&report["problems"], &report["unsigned"]),
        (&Value::Array(Vec::new()), &0.into()),
        "{report}"
    );
    let one = mesh.baton(&["audit", "verify", "intent-3"]);
    assert!(one.status.success(), "{one:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mesh_is_turned_on_without_stopping() {
    // Nobody signs; then every process is started anew with a key; then the mesh requires it.
    let mut mesh = Signed::start(Signatures::Off).await;
    let plain = mesh.connect(None, Signatures::Off).await;
    let before = mesh.submit(&plain, "before").await;
    mesh.until_completed(&plain, &before).await;
    mesh.end().await;
    mesh.control(Signatures::Require).await;
    for agent in ["research", "code"] {
        mesh.work(agent, Some(agent), Signatures::Require).await;
    }
    let client = mesh.connect(Some("client"), Signatures::Require).await;
    let during = mesh.submit(&client, "during").await;
    mesh.until_completed(&client, &during).await;
    let unsigned = mesh.submit(&plain, "unsigned").await;
    mesh.until_completed(&client, &unsigned).await;
    eventually("signatures are required", LATER, async || {
        let rules = client.rules().expect("it signs");
        match rules.signatures == Signatures::Require && rules.since > 0 {
            true => Ok(()),
            false => Err(format!("{:?}", rules.signatures)),
        }
    })
    .await;
    // What was unsigned before stays valid; what is unsigned now is void, and named.
    mesh.until_completed(&client, &unsigned).await;
    let after = mesh.submit(&client, "after").await;
    mesh.until_completed(&client, &after).await;
    let head = client.last_record(&after).await.expect("read").expect("there");
    let intent: IntentId = "forged".parse().expect("id");
    let to = "research".parse().expect("name");
    let envelope = Envelope::first(client.clock().envelope_id(), intent.clone(), to, Json::null());
    let by = Author::of(Role::Client, "nobody");
    let version = "1.0.0".parse().expect("version");
    let record = records::submitted(client.record_id(), client.now(), by, version, envelope);
    let seq = records::put(mesh.server.url(), &record, 0).await;
    assert!(seq > head.seq);
    let told = mesh.baton(&["audit", "verify", "forged", "--output", "json"]);
    assert_eq!(told.status.code(), Some(1), "{told:?}");
    let report = document(&told);
    assert_eq!(
        (&report["problems"][0]["stream"], &report["problems"][0]["seq"]),
        (&"ledger".into(), &seq.into()),
        "{report}"
    );
    eventually("the alarm tells of it", SOON, async || {
        let doctor = document(&mesh.baton(&["doctor", "--output", "json"]));
        let findings = doctor["findings"].as_array().cloned().unwrap_or_default();
        let found = findings.iter().any(|finding| finding["check"] == "VOID_RECORDS");
        match found {
            true => Ok(()),
            false => Err(format!("{doctor}")),
        }
    })
    .await;
    let shown = mesh.baton(&["intents", "get", "forged"]);
    let said = String::from_utf8_lossy(&shown.stderr).into_owned();
    assert!(said.contains("void: it is not signed"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_was_idle_and_does_not_sign_stops_when_the_mesh_requires_it() {
    let mut mesh = Signed::start(Signatures::Off).await;
    let plain = mesh.connect(None, Signatures::Off).await;
    let before = mesh.submit(&plain, "before").await;
    mesh.until_completed(&plain, &before).await;
    // Ends what was started, and starts each once more where its end can be seen.
    mesh.end().await;
    let never = std::future::pending::<()>;
    let builder = Agent::builder("research", "1.0.0").expect("names");
    let worker = builder.handler(Relay("research")).bind(&plain).await.expect("bind");
    let worker = tokio::spawn(worker.run_until(never()));
    let controller = Controller::new(mesh.connect(None, Signatures::Off).await, ControllerConfig::default());
    let controller = tokio::spawn(controller.run_until(never()));
    mesh.require().await;
    let worker = tokio::time::timeout(LATER, worker)
        .await
        .expect("it ends")
        .expect("joined");
    assert_eq!(worker.expect_err("it cannot work").code(), "SETTING_DIFFERS");
    let controller = tokio::time::timeout(LATER, controller)
        .await
        .expect("it ends")
        .expect("joined");
    let error = controller.expect_err("it cannot go on");
    let baton_controller::Error::Unfit(error) = error else {
        panic!("{error}")
    };
    assert_eq!(error.code(), "SETTING_DIFFERS");
    let run = mesh.baton(&["worker", "--agent", "research", "--version", "1.0.0", "--exec", "cat"]);
    assert_eq!(run.status.code(), Some(64), "{run:?}");
}
