//! Running the binary.

use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use baton_testkit::{ProcessGuard, TestServer, eventually};
use serde_json::Value;
use tempfile::TempDir;

/// How long anything here may take on a busy machine.
pub(crate) const LONG: Duration = Duration::from_secs(60);

/// The result of a run.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Run {
    /// The one JSON document on stdout.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The JSON error on stderr.
    pub(crate) fn error(&self) -> Value {
        serde_json::from_str(&self.stderr).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// Checks the exit code.
    pub(crate) fn exits(self, code: i32) -> Self {
        assert_eq!(self.code, code, "{self:#?}");
        self
    }

    /// Checks that stderr says all of this.
    pub(crate) fn says(self, parts: &[&str]) -> Self {
        for part in parts {
            assert!(self.stderr.contains(part), "\"{part}\" is not said: {self:#?}");
        }
        self
    }
}

/// A command in an environment that holds nothing of the machine's.
pub(crate) fn command(home: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_baton"));
    command
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("HOME", home);
    command
}

/// Runs a command to its end.
pub(crate) fn finish(mut command: Command, stdin: &[u8]) -> Run {
    use std::io::Write as _;
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A command that refuses its arguments does not read its input.
    drop(child.stdin.take().unwrap().write_all(stdin));
    let Output { status, stdout, stderr } = child.wait_with_output().unwrap();
    Run {
        code: status.code().expect("no signal"),
        stdout: String::from_utf8(stdout).unwrap(),
        stderr: String::from_utf8(stderr).unwrap(),
    }
}

/// Runs without any server.
pub(crate) fn baton(arguments: &[&str]) -> Run {
    let home = TempDir::new().unwrap();
    let mut command = command(home.path());
    command.args(arguments);
    finish(command, b"")
}

/// A server, and a home folder.
pub(crate) struct Bench {
    pub(crate) server: TestServer,
    pub(crate) home: TempDir,
    controller: Option<ProcessGuard>,
}

impl Bench {
    /// A server without a mesh.
    pub(crate) async fn bare() -> Self {
        Self::without_mesh(TestServer::start().await)
    }

    fn without_mesh(server: TestServer) -> Self {
        Self {
            server,
            home: TempDir::new().unwrap(),
            controller: None,
        }
    }

    /// A server with a controller.
    pub(crate) async fn start() -> Self {
        Self::on(TestServer::start().await).await
    }

    /// A controller on this server.
    pub(crate) async fn on(server: TestServer) -> Self {
        let mut bench = Self::without_mesh(server);
        bench.controller = Some(bench.spawn("controller", &["controller"]));
        eventually("a mesh", LONG, async || {
            match bench.run(&["route", "list"]).await.code {
                0 => Ok(()),
                code => Err(format!("exit {code}")),
            }
        })
        .await;
        bench
    }

    /// Stops the controller.
    pub(crate) async fn stop_controller(&mut self) {
        if let Some(mut controller) = self.controller.take() {
            controller.terminate();
            controller.wait(LONG).await;
        }
    }

    /// The command against this server.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = command(self.home.path());
        command.env("BATON_SERVER", self.server.url()).args(arguments);
        command
    }

    /// Runs the command to its end.
    pub(crate) async fn run(&self, arguments: &[&str]) -> Run {
        self.run_with(arguments, Vec::new()).await
    }

    /// Runs the command to its end with something on stdin.
    pub(crate) async fn run_with(&self, arguments: &[&str], stdin: Vec<u8>) -> Run {
        let command = self.command(arguments);
        tokio::task::spawn_blocking(move || finish(command, &stdin))
            .await
            .unwrap()
    }

    /// Runs the command in the background.
    pub(crate) fn spawn(&self, name: &str, arguments: &[&str]) -> ProcessGuard {
        ProcessGuard::spawn(name, self.command(arguments), self.home.path())
    }

    /// Starts a worker and waits until its agent has a route.
    pub(crate) async fn worker(&self, agent: &str, more: &[&str]) -> ProcessGuard {
        let mut arguments = vec!["worker", "--agent", agent, "--version", "1.0.0"];
        arguments.extend(more);
        let worker = self.spawn(agent, &arguments);
        eventually("a route", LONG, async || {
            let routes = self.run(&["route", "list", "--output", "json"]).await.json();
            let known = routes["routes"].as_array().unwrap();
            if known.iter().any(|route| route["agent"] == agent) {
                Ok(())
            } else {
                Err(routes.to_string())
            }
        })
        .await;
        worker
    }
}
