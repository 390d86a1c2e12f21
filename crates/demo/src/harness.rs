//! What every scenario needs: a folder, a server, a connection, and a way to start processes.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use baton_agent::{Guard, Watch};
use baton_embedded::{Finder, RunningServer, ServerOptions};
use baton_envelope::{AgentName, Author, Envelope, IntentId, Json, Policy, Role};
use baton_jetstream::{Head, Mesh, Target, WaitEnd};
use tempfile::TempDir;
use tokio::time::Instant;

use crate::agents::{Part, ROLES};
use crate::error::DemoError;
use crate::player::Player;

/// How long the agents may take until their first heartbeat arrives. A cold machine may first have to page in its
/// binaries.
pub(crate) const START: Duration = Duration::from_secs(60);
/// How often to check for things that no event announces.
pub(crate) const LOOK: Duration = Duration::from_millis(50);

/// The records of each of some intents.
pub(crate) type Histories = Vec<(IntentId, Vec<Head>)>;

/// What a scenario runs on. The fields are dropped in this order, so that no client outlives the server.
#[derive(Debug)]
pub(crate) struct Harness {
    pub(crate) mesh: Mesh,
    server: RunningServer,
    folder: TempDir,
    exe: PathBuf,
    /// Or a demo that is killed would leave its processes behind.
    guard: Guard,
    watch: Option<Watch>,
}

impl Harness {
    /// Starts a server in a folder of its own.
    pub(crate) async fn open(exe: &Path, say: &(dyn Fn(&str) + Sync)) -> Result<Self, DemoError> {
        let binary = Finder::from_process().nats_server(&|line| say(line))?;
        let folder = tempfile::Builder::new()
            .prefix("baton-demo-")
            .tempdir()
            .map_err(|error| DemoError::io("a temporary folder cannot be made", error))?;
        let server = RunningServer::start(ServerOptions::new(binary.path, folder.path().join("server")))?;
        let guard = Guard::default();
        let watched = server.pid().map(|id| guard.watch_process(id)).transpose();
        let watch = watched.map_err(|error| DemoError::io("the server cannot be watched", error))?;
        let target = Target {
            name: "baton demo".to_owned(),
            ..Target::at(server.url())
        };
        let mesh = target.connect().await?;
        say(&format!(
            "nats-server at {}, data in {}",
            server.url(),
            folder.path().display()
        ));
        Ok(Self {
            mesh,
            server,
            folder,
            exe: exe.to_owned(),
            guard,
            watch,
        })
    }

    /// Stops the server; keeps the folder if `keep` is set.
    pub(crate) fn close(self, keep: bool) -> Option<PathBuf> {
        let Self {
            mesh,
            server,
            folder,
            watch,
            ..
        } = self;
        drop(mesh);
        drop(server);
        if let Some(watch) = watch {
            watch.gone();
        }
        keep.then(|| folder.keep())
    }

    /// The lines that the effects of all agents appended.
    pub(crate) fn effects(&self) -> Result<String, DemoError> {
        match std::fs::read_to_string(self.effects_log()) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(String::new()),
            read => read.map_err(|error| DemoError::io("effects.log", error)),
        }
    }

    fn effects_log(&self) -> PathBuf {
        self.folder.path().join("effects.log")
    }

    /// Starts an agent of the demo.
    pub(crate) fn agent(&self, part: &Part) -> Result<Player, DemoError> {
        let mut args = vec!["demo-agent".to_owned()];
        args.extend(part.args(&self.effects_log()));
        self.start(&part.name(), &args)
    }

    /// Starts a controller.
    pub(crate) fn controller(&self, name: &str) -> Result<Player, DemoError> {
        self.start(name, &["controller".to_owned()])
    }

    fn start(&self, name: &str, args: &[String]) -> Result<Player, DemoError> {
        let failed = |error| DemoError::io(format!("{name} cannot be started"), error);
        let log = std::fs::OpenOptions::new()
            .append(true)
            .create(true)
            .open(self.folder.path().join(format!("{name}.log")))
            .map_err(failed)?;
        let mut command = Command::new(&self.exe);
        command
            .args(args)
            // Use only this server, even if the user's environment names other meshes.
            .env_remove("BATON_CONTEXT")
            .env_remove("BATON_NAMESPACE")
            .env_remove("BATON_CONFIG")
            .env("BATON_SERVER", self.server.url())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log);
        Player::start(&mut command, &self.guard).map_err(failed)
    }

    /// The address of the server.
    pub(crate) fn url(&self) -> String {
        self.server.url()
    }

    /// Kills the server and starts it again, on the same port and data.
    pub(crate) async fn restart_server(&mut self) -> Result<(), DemoError> {
        if let Some(watch) = self.watch.take() {
            watch.gone();
        }
        self.server.kill()?;
        self.server.restart()?;
        let watched = self.server.pid().map(|id| self.guard.watch_process(id)).transpose();
        self.watch = watched.map_err(|error| DemoError::io("the server cannot be watched", error))?;
        // The client reconnects by itself, and says so by an answer.
        let until = Instant::now() + START;
        while let Err(error) = self.mesh.all_routes().await {
            if Instant::now() > until {
                return Err(error.into());
            }
            tokio::time::sleep(LOOK).await;
        }
        Ok(())
    }

    /// Submits work for an agent, in this order.
    pub(crate) async fn submit(
        &self,
        to: &str,
        work: impl IntoIterator<Item = (IntentId, Json)>,
    ) -> Result<Vec<IntentId>, DemoError> {
        self.submit_with(to, work, None).await
    }

    /// As [`Harness::submit`], with a failure policy of its own.
    pub(crate) async fn submit_with(
        &self,
        to: &str,
        work: impl IntoIterator<Item = (IntentId, Json)>,
        policy: Option<&Policy>,
    ) -> Result<Vec<IntentId>, DemoError> {
        let to: AgentName = to.parse().map_err(baton_jetstream::Error::from)?;
        let mut intents = Vec::new();
        for (intent, payload) in work {
            let id = self.mesh.clock().envelope_id();
            let mut envelope = Envelope::first(id, intent.clone(), to.clone(), payload);
            envelope.policy = policy.cloned().map(Box::new);
            self.mesh.submit(envelope, Author::of(Role::Client, "demo")).await?;
            intents.push(intent);
        }
        Ok(intents)
    }

    /// Waits until each intent has ended or is parked, or the time is over.
    pub(crate) async fn until_over(&self, intents: &[IntentId], until: Instant) -> Result<(), DemoError> {
        for intent in intents {
            let left = until.saturating_duration_since(Instant::now());
            match self.mesh.wait(intent, left).await? {
                WaitEnd::Ended(_) | WaitEnd::Parked(_) | WaitEnd::TimedOut(_) => {}
            }
        }
        Ok(())
    }

    /// The records of each intent.
    pub(crate) async fn histories(&self, intents: Vec<IntentId>) -> Result<Histories, DemoError> {
        let mut histories = Vec::with_capacity(intents.len());
        for intent in intents {
            let history = self.mesh.history(&intent, 1).await?;
            histories.push((intent, history));
        }
        Ok(histories)
    }

    /// Waits until every agent of the handoffs has a route.
    pub(crate) async fn wait_for_routes(&self) -> Result<(), DemoError> {
        self.wait_for_route_of(&ROLES).await
    }

    /// Waits until these agents have a route.
    pub(crate) async fn wait_for_route_of(&self, roles: &[&str]) -> Result<(), DemoError> {
        let until = Instant::now() + START;
        loop {
            let known = self.mesh.all_routes().await.unwrap_or_default();
            if roles
                .iter()
                .all(|role| known.iter().any(|route| route.agent.as_str() == *role))
            {
                return Ok(());
            }
            if Instant::now() > until {
                let known: Vec<String> = known.iter().map(|route| route.agent.to_string()).collect();
                let problem = format!("not all agents came up within {START:?} (known: {})", known.join(", "));
                return Err(DemoError::Stuck(problem));
            }
            tokio::time::sleep(LOOK).await;
        }
    }
}
