//! The pinned binaries, looked up once per test process.

use std::env;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::thread;

use baton_embedded::{Error, Finder};
use tokio::sync::OnceCell;
use tokio::task::spawn_blocking;

/// The `nats-server` that tests run: from `BATON_NATS_SERVER`, PATH, the cache, or fetched.
///
/// # Panics
/// When there is none and none could be fetched; the message says how to install it.
pub async fn nats_server() -> PathBuf {
    static FOUND: OnceCell<PathBuf> = OnceCell::const_new();
    let find = || async {
        let found = spawn_blocking(|| Finder::from_process().nats_server(&|line| eprintln!("{line}")))
            .await
            .unwrap();
        found.unwrap_or_else(|error| panic!("{error}")).path
    };
    FOUND.get_or_init(find).await.clone()
}

/// The real `nats` command line tool.
#[derive(Debug, Clone)]
pub struct NatsCli {
    path: PathBuf,
}

/// Provides the real `nats`, building it the first time.
///
/// Without it and without Go the answer is `None`: the test ends early, and this function has written
/// `SKIPPED <test name>: …` to stderr, past the test runner's capture.
///
/// # Panics
/// When a fetch was possible and failed, and whenever there is none under CI (`CI=true`): there a skipped test would
/// be a hole nobody sees.
pub async fn nats_cli() -> Option<NatsCli> {
    let test = thread::current().name().unwrap_or("a test").to_owned();
    let found = spawn_blocking(|| Finder::from_process().nats_cli(&|line| eprintln!("{line}")))
        .await
        .unwrap();
    match found {
        Ok(binary) => Some(NatsCli { path: binary.path }),
        Err(error @ Error::Missing { .. }) if env::var("CI").is_ok_and(|value| value == "true") => panic!("{error}"),
        Err(Error::Missing { .. }) => {
            // Not a print macro: the test runner hides what those print in a test that passes.
            let line = format!("SKIPPED {test}: no Go and no nats\n");
            std::io::stderr().write_all(line.as_bytes()).unwrap();
            None
        }
        Err(error) => panic!("{error}"),
    }
}

impl NatsCli {
    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A command that talks to the server at `url`; the user's own contexts and variables play no part.
    #[must_use]
    pub fn command(&self, url: &str) -> Command {
        let mut command = Command::new(&self.path);
        let inherited = env::vars_os().map(|(name, _)| name);
        for name in inherited.filter(|name| name.to_string_lossy().starts_with("NATS_")) {
            command.env_remove(name);
        }
        // An empty configuration folder: a selected context would override the server.
        command.env("XDG_CONFIG_HOME", env::temp_dir().join("baton-testkit-no-config"));
        command.args(["--server", url]);
        command
    }

    /// Runs it to the end.
    ///
    /// # Panics
    /// When it cannot be started.
    pub async fn run(&self, url: &str, arguments: &[&str]) -> Output {
        let mut command = self.command(url);
        command.args(arguments);
        spawn_blocking(move || command.output())
            .await
            .unwrap()
            .expect("nats should start")
    }
}
