//! A mesh for the snapshots: commands on it are run and written down, and what they depend on is waited for.

use std::process::Command;

use baton_testkit::{ProcessGuard, eventually};
use futures::StreamExt as _;
use serde_json::{Value, json};

use crate::harness::{Bench, LONG, Run, finish};
use crate::transcript::{Transcript, words};

/// How many commands run at once where they only look.
const SIDE_BY_SIDE: usize = 6;

/// A mesh, and what was said on it.
pub(crate) struct Scene {
    pub(crate) bench: Bench,
    pub(crate) transcript: Transcript,
    /// The version of the server, whichever was found.
    server: String,
}

impl Scene {
    /// A server without a mesh.
    pub(crate) async fn start() -> Self {
        let bench = Bench::bare().await;
        let server = bench.server.client().await.server_info().version;
        let transcript = Transcript::new(&[]);
        let mut scene = Self {
            bench,
            transcript,
            server,
        };
        scene.transcript = scene.blank();
        scene
    }

    /// Runs a command and writes it down.
    pub(crate) async fn tell(&mut self, line: &str) {
        let run = run(&self.bench, line).await;
        self.transcript.add(line, &run);
    }

    /// Runs a command whose answer depends on how far the controller is at that moment.
    pub(crate) async fn do_untold(&self, line: &str) {
        run(&self.bench, line).await.exits(0);
    }

    /// The same for people and for programs. Nothing of it changes anything that another shows.
    pub(crate) async fn tell_both(&mut self, lines: &[&str]) {
        let both = lines
            .iter()
            .flat_map(|line| [(*line).to_owned(), format!("{line} --output json")]);
        let lines: Vec<String> = both.collect();
        let bench = &self.bench;
        let told = futures::stream::iter(&lines).map(|line| run(bench, line));
        let runs: Vec<Run> = told.buffered(SIDE_BY_SIDE).collect().await;
        for (line, run) in lines.iter().zip(runs) {
            self.transcript.add(line, &run);
        }
    }

    /// Ends a part and compares it.
    #[track_caller]
    pub(crate) fn is(&mut self, name: &str) {
        let next = self.blank();
        std::mem::replace(&mut self.transcript, next).is(name);
    }

    /// An empty transcript that knows what is this run's own.
    pub(crate) fn blank(&self) -> Transcript {
        let url = self.bench.server.url();
        let version = format!("{} at {url}", self.server);
        Transcript::new(&[
            (&version, "[version] at nats://[server]"),
            (url, "nats://[server]"),
            (self.bench.home.path().to_str().unwrap(), "[home]"),
        ])
    }

    /// Waits until the document that a command prints is as it should be.
    pub(crate) async fn until(&self, what: &str, line: &str, is_so: impl Fn(&Value) -> bool) {
        let line = format!("{line} --output json");
        eventually(what, LONG, async || {
            let run = run(&self.bench, &line).await;
            let document = serde_json::from_str(&run.stdout).unwrap_or_default();
            is_so(&document).then_some(()).ok_or_else(|| format!("{run:?}"))
        })
        .await;
    }

    /// Starts a worker of a version, and waits until the version is known and has this one worker.
    pub(crate) async fn worker(&self, agent: &str, version: &str, more: &[&str]) -> ProcessGuard {
        let arguments = [&["worker", "--agent", agent, "--version", version], more].concat();
        let worker = ProcessGuard::spawn(agent, as_ada(self.bench.command(&arguments)), self.bench.home.path());
        self.until("its version is known", "agents list", |document| {
            let agents = array(&document["agents"]).filter(|one| one["agent"] == agent);
            let mut versions = agents.flat_map(|one| array(&one["versions"]));
            versions.any(|one| {
                one["version"] == version && array(&one["workers"]).count() == 1 && one["state"] != "declared"
            })
        })
        .await;
        worker
    }

    /// Stops a worker, and waits until its version has none.
    pub(crate) async fn stop(&self, mut worker: ProcessGuard, version: &str) {
        worker.terminate();
        assert!(worker.wait(LONG).await.success(), "{}", worker.stderr());
        self.until("it has no worker", "agents describe code", |document| {
            let mut versions = array(&document["agents"][0]["versions"]);
            versions.any(|one| one["version"] == version && array(&one["workers"]).count() == 0)
        })
        .await;
    }

    /// Waits until no work is open, so that what is written next has the same sequence in each run, and until the
    /// controller has seen that too.
    pub(crate) async fn until_nothing_is_open(&self) {
        self.until("nothing is open", "intents list", |document| {
            let open = ["pending", "accepted", "in_progress"];
            let status = |one: &Value| one["status"]["state"].as_str().unwrap_or_default().to_owned();
            !array(&document["intents"]).any(|one| open.contains(&status(one).as_str()))
        })
        .await;
        self.until("nothing is counted", "agents list", |document| {
            let mut versions = array(&document["agents"]).flat_map(|agent| array(&agent["versions"]));
            versions.all(|one| {
                let is_parked = |open: &Value| *open == json!({}) || *open == json!({"parked": 1});
                one["backlog"] == 0 && one["in_flight"] == 0 && is_parked(&one["open"])
            })
        })
        .await;
    }

    /// Waits until the controllers have told that each agent has a worker.
    pub(crate) async fn until_load_is_told(&self) {
        self.until("the load is told", "route explain --capability rust", |document| {
            array(&document["candidates"]).all(|one| one["workers"] == 1)
        })
        .await;
    }

    /// How many intents there are.
    pub(crate) async fn intents(&self) -> u64 {
        let run = run(&self.bench, "intents list --output json").await;
        run.json()["matched"].as_u64().unwrap()
    }

    /// Waits until an intent has this status.
    pub(crate) async fn until_status(&self, intent: &str, status: &str) {
        self.until(status, &format!("intents get {intent}"), |document| {
            document["snapshot"]["status"]["state"] == status
        })
        .await;
    }

    /// Waits until a version has this state.
    pub(crate) async fn until_state(&self, agent: &str, version: &str, state: &str) {
        self.until(state, "route list", |document| {
            let mut routes = array(&document["routes"]).filter(|route| route["agent"] == agent);
            routes.any(|route| route["versions"][version]["state"] == state)
        })
        .await;
    }
}

pub(crate) fn array(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

/// The same person everywhere.
fn as_ada(mut command: Command) -> Command {
    command.env("USER", "ada");
    command
}

async fn run(bench: &Bench, line: &str) -> Run {
    let command = as_ada(bench.command(&words(line)));
    tokio::task::spawn_blocking(move || finish(command, b"")).await.unwrap()
}
