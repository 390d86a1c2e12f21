//! The processes of a run: each on a connection of its own, through a proxy that can let it die. One of them may be a process of
//! the operating system, which is stopped and woken.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use baton_agent::AgentBuilder;
use baton_controller::{BreakerConfig, Controller, ControllerConfig};
use baton_jetstream::Mesh;
use baton_testkit::{ProcessGuard, Proxy, eventually};
use serde::{Deserialize, Serialize};
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinHandle;

use super::seen::Fact;
use super::{PATIENCE, Pattern, Run, Victim};
use crate::{TestMesh, connect};

/// How long a breaker stays open.
const OPEN_FOR: Duration = Duration::from_secs(3);
/// The variable that makes a process of a test binary a part of a run.
const PART: &str = "BATON_DEATH_PART";
/// What a controller sends when it looks whether it still leads.
const LEASE: [&str; 2] = ["$KV.MESH_CONTROL.leader", "$JS.API.DIRECT.GET.KV_MESH_CONTROL"];

/// A process that may die.
#[derive(Debug)]
pub(super) struct Process {
    pub(super) proxy: Proxy,
    task: Option<JoinHandle<()>>,
    apart: Option<ProcessGuard>,
}

impl Process {
    /// A place for a process that has not started yet.
    pub(super) async fn place(url: &str) -> Self {
        let proxy = Proxy::start(url).await;
        let (task, apart) = (None, None);
        Self { proxy, task, apart }
    }

    pub(super) async fn client(url: &str) -> (Self, Mesh) {
        let process = Self::place(url).await;
        let mesh = connect(process.proxy.url()).await;
        (process, mesh)
    }

    pub(super) async fn worker(url: &str, builder: AgentBuilder) -> Self {
        let (mut process, mesh) = Self::client(url).await;
        let worker = builder.bind(&mesh).await.expect("bind");
        process.task = Some(tokio::spawn(async move {
            worker.run_until(std::future::pending()).await.expect("worker");
        }));
        process
    }

    pub(super) async fn controller(url: &str) -> Self {
        let (mut process, mesh) = Self::client(url).await;
        let controller = controller(mesh);
        process.task = Some(tokio::spawn(async move {
            controller.run_until(std::future::pending()).await.expect("controller");
        }));
        process
    }

    /// Starts a part of a run here, as a process of its own.
    pub(super) fn start_apart<P: Pattern>(&mut self, run: &Run, victim: Victim) {
        let log = run.log().expect("a run of several processes").to_owned();
        let dir = log.parent().expect("a folder").to_owned();
        let part = Part {
            url: self.proxy.url().to_owned(),
            pattern: P::NAME.to_owned(),
            tag: run.tag().to_owned(),
            log,
            victim,
        };
        let mut command = Command::new(std::env::current_exe().expect("this test binary"));
        command
            .args(["--exact", P::PART, "--nocapture"])
            .env(PART, serde_json::to_string(&part).expect("JSON"));
        self.apart = Some(ProcessGuard::spawn("part", command, &dir));
    }

    /// Stops it (SIGSTOP) where its fatal write has stalled its link; what it hears from then on waits for it.
    pub(super) fn stop(&mut self) {
        self.guard().pause();
        self.proxy.heal();
    }

    /// Wakes it (SIGCONT).
    pub(super) fn wake(&mut self) {
        self.proxy.count_writes(&LEASE);
        self.guard().resume();
    }

    /// Lets it end what it was in the middle of, and ends it.
    pub(super) async fn end(mut self, run: &Run, victim: Victim) {
        match victim {
            Victim::Client => {
                let what = format!("the client of {} begins nothing more", run.intent());
                eventually(&what, PATIENCE, async || {
                    run.seen()
                        .has_stopped
                        .then_some(())
                        .ok_or_else(|| "it has not stopped".to_owned())
                })
                .await;
                return;
            }
            // Its handlers end before it does.
            Victim::Worker(_) => {}
            Victim::Controller => {
                let what = format!("the controller of {} looks who leads", run.intent());
                eventually(&what, PATIENCE, async || match self.proxy.writes().len() {
                    2.. => Ok(()),
                    count => Err(format!("{count} messages")),
                })
                .await;
            }
        }
        let guard = self.guard();
        guard.terminate();
        let status = guard.wait(PATIENCE).await;
        assert!(status.success(), "{}: {victim:?} ended with {status}", run.intent());
    }

    fn guard(&mut self) -> &mut ProcessGuard {
        self.apart.as_mut().expect("a process of its own")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // The proxy closes its connections, so that what still runs of it reaches nobody.
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

fn controller(mesh: Mesh) -> Controller {
    let config = ControllerConfig {
        sweep_interval: Duration::from_secs(1),
        sweep_slack: Duration::from_secs(3),
        breaker: BreakerConfig {
            open_for: OPEN_FOR,
            ..BreakerConfig::default()
        },
        ..ControllerConfig::default()
    };
    Controller::new(mesh, config)
}

/// What a process of the operating system is in a run.
#[derive(Debug, Serialize, Deserialize)]
pub struct Part {
    url: String,
    pattern: String,
    tag: String,
    log: PathBuf,
    victim: Victim,
}

impl Part {
    /// What this process is, if it is a part of a run.
    ///
    /// # Panics
    /// When it was started in another way than by this harness.
    #[must_use]
    pub fn here() -> Option<Self> {
        let part = std::env::var(PART).ok()?;
        Some(serde_json::from_str(&part).expect("a part of a run"))
    }

    /// Plays it, if the run is one of this pattern, until somebody ends this process.
    ///
    /// # Panics
    /// When it cannot.
    pub async fn play<P: Pattern>(&self, pattern: P) {
        if self.pattern != P::NAME {
            return;
        }
        let run = Run::apart(P::NAME, &self.tag, &self.log);
        let mesh = connect(&self.url).await;
        let mut terminated = signal(SignalKind::terminate()).expect("a signal");
        let stop = async {
            terminated.recv().await;
        };
        match self.victim {
            Victim::Client => {
                pattern.drive(&mesh, &run).await;
                run.tell(Fact::Stopped);
            }
            Victim::Worker(place) => {
                let role = P::ROLES.get(place).expect("a role");
                // With one slot it holds no pull open beside its hop, for which the server would keep the next ticket.
                let worker = pattern.agent(&run, role).concurrency(1);
                let worker = worker.bind(&mesh).await.expect("bind");
                worker.run_until(stop).await.expect("worker");
            }
            Victim::Controller => controller(mesh).run_until(stop).await.expect("controller"),
        }
    }
}

/// A server with a controller, for one run or for several.
#[derive(Debug)]
pub(super) struct Stage {
    pub(super) mesh: TestMesh,
    /// The one in this process.
    pub(super) controller: Option<Process>,
}

impl Stage {
    pub(super) async fn start() -> Self {
        let mesh = TestMesh::start_without_controller().await;
        let controller = Some(Process::controller(mesh.server.url()).await);
        Self { mesh, controller }
    }

    /// One whose controller is a part of a run, and that controller.
    pub(super) async fn start_apart<P: Pattern>(run: &Run) -> (Self, Process) {
        let mesh = TestMesh::start_without_controller().await;
        let mut apart = Process::place(mesh.server.url()).await;
        apart.start_apart::<P>(run, Victim::Controller);
        let controller = None;
        (Self { mesh, controller }, apart)
    }

    pub(super) fn url(&self) -> &str {
        self.mesh.server.url()
    }
}
