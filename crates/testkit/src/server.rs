//! One real server for one test.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use baton_embedded::{ClusterOptions, RunningServer, ServerError, ServerOptions};
use tempfile::TempDir;
use tokio::task::spawn_blocking;

use crate::binaries::nats_server;

/// Lines of the log shown when a test fails.
const SHOWN: usize = 40;
/// How many bytes a server takes: more than any test needs. Left to itself it goes by the disk, and streams keep room there.
const ROOM: u64 = 1 << 40;

/// A `nats-server` with its own store and port.
///
/// Dropped, it is killed and its store removed; when the test is failing, the end of the log is printed and the
/// store kept.
#[derive(Debug)]
pub struct TestServer {
    /// Behind a lock and shared, because the blocking calls run on another thread.
    server: Arc<Mutex<RunningServer>>,
    dir: Option<TempDir>,
    url: String,
}

/// Options of a [`TestServer`].
#[derive(Debug, Default)]
pub struct ServerBuilder {
    binary: Option<PathBuf>,
    name: Option<String>,
    port: Option<u16>,
    sync_interval: Option<String>,
    extra: Vec<String>,
    no_jetstream: bool,
    cluster: Option<ClusterOptions>,
    archive: Option<PathBuf>,
}

impl ServerBuilder {
    /// Starts on a copy of the store in an archive (`tar`, with a folder `jetstream`), unpacked into [`TestServer::dir`] with
    /// whatever else is in there.
    #[must_use]
    pub fn unpacked(mut self, archive: impl Into<PathBuf>) -> Self {
        self.archive = Some(archive.into());
        self
    }

    /// Runs this executable, whatever its version.
    #[must_use]
    pub fn binary(mut self, path: impl Into<PathBuf>) -> Self {
        self.binary = Some(path.into());
        self
    }

    /// Gives the server a name.
    #[must_use]
    pub fn name(mut self, name: &str) -> Self {
        self.name = Some(name.to_owned());
        self
    }

    /// Listens on this port instead of a free one.
    #[must_use]
    pub fn port(mut self, port: u16) -> Self {
        self.port = Some(port);
        self
    }

    /// Flushes the store this often: `1s` unless told otherwise, or `always`.
    #[must_use]
    pub fn sync_interval(mut self, interval: &str) -> Self {
        self.sync_interval = Some(interval.to_owned());
        self
    }

    /// Appends lines to the configuration file.
    #[must_use]
    pub fn config(mut self, lines: &str) -> Self {
        self.extra.push(lines.to_owned());
        self
    }

    /// Leaves JetStream off.
    #[must_use]
    pub fn without_jetstream(mut self) -> Self {
        self.no_jetstream = true;
        self
    }

    pub(crate) fn cluster(mut self, cluster: ClusterOptions) -> Self {
        self.cluster = Some(cluster);
        self
    }

    /// Starts the server and waits until it greets clients.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn start(self) -> TestServer {
        self.try_start().await.unwrap_or_else(|error| panic!("{error}"))
    }

    /// Starts the server, or tells why not.
    ///
    /// # Errors
    /// As for [`RunningServer::start`].
    pub async fn try_start(self) -> Result<TestServer, ServerError> {
        let binary = match self.binary {
            Some(path) => path,
            None => nats_server().await,
        };
        let dir = tempfile::Builder::new().prefix("baton-test-").tempdir().unwrap();
        let mut store = dir.path().to_owned();
        if let Some(archive) = self.archive {
            unpack(&archive, dir.path());
            store.push("jetstream");
        }
        let mut options = ServerOptions::new(binary, store);
        options.max_file_store = Some(ROOM);
        options.name = self.name;
        options.port = self.port;
        options.extra = self.extra;
        options.cluster = self.cluster;
        options.jetstream = !self.no_jetstream;
        if let Some(interval) = self.sync_interval {
            options.sync_interval = interval;
        }
        let server = spawn_blocking(move || RunningServer::start(options)).await.unwrap()?;
        let url = server.url();
        Ok(TestServer {
            server: Arc::new(Mutex::new(server)),
            dir: Some(dir),
            url,
        })
    }
}

impl TestServer {
    /// Starts a server with JetStream.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn start() -> Self {
        Self::builder().start().await
    }

    /// Starts a server with options.
    #[must_use]
    pub fn builder() -> ServerBuilder {
        ServerBuilder::default()
    }

    /// URL for clients; the same after a restart.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Client port; the same after a restart.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.lock().port()
    }

    /// Process id; `None` when it is not running.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.lock().pid()
    }

    /// Folder with the configuration, the log, and the JetStream store below `jetstream/`.
    #[must_use]
    pub fn dir(&self) -> &Path {
        self.dir.as_ref().expect("invariant: only drop takes the folder").path()
    }

    /// The last lines of the server's log.
    #[must_use]
    pub fn log_tail(&self, lines: usize) -> String {
        self.lock().log_tail(lines)
    }

    /// A connected client that reconnects for ever and quickly.
    ///
    /// # Panics
    /// When no connection comes about.
    pub async fn client(&self) -> async_nats::Client {
        connect(&self.url).await
    }

    /// Asks the JetStream API, as an operator does with the `nats` CLI.
    ///
    /// # Panics
    /// When the server refuses or does not answer.
    pub async fn api(&self, what: &str, body: &serde_json::Value) -> serde_json::Value {
        let client = self.client().await;
        let reply = client.request(format!("$JS.API.{what}"), body.to_string().into()).await;
        let reply = reply.unwrap_or_else(|error| panic!("{what}: {error}"));
        let answer: serde_json::Value =
            serde_json::from_slice(&reply.payload).unwrap_or_else(|error| panic!("{what}: {error}"));
        assert!(answer.get("error").is_none(), "{what}: {answer}");
        answer
    }

    /// Whether there is a stream of this name.
    ///
    /// # Panics
    /// When the server refuses or does not answer.
    pub async fn has_stream(&self, name: &str) -> bool {
        let names = self.api("STREAM.NAMES", &serde_json::json!({})).await;
        let mut names = names
            .get("streams")
            .and_then(serde_json::Value::as_array)
            .into_iter()
            .flatten();
        names.any(|found| found == name)
    }

    /// As [`TestServer::client`], for a user of the server. Its password is its name.
    ///
    /// # Panics
    /// When no connection comes about.
    pub async fn client_as(&self, user: &str) -> async_nats::Client {
        let options = async_nats::ConnectOptions::with_user_and_password(user.to_owned(), user.to_owned())
            .custom_inbox_prefix(format!("_INBOX_{user}"));
        let connected = options.connect(&self.url).await;
        connected.unwrap_or_else(|error| panic!("{user} should connect to {}: {error}", self.url))
    }

    /// Kills the server (`kill -9`).
    ///
    /// # Panics
    /// When the operating system refuses.
    pub async fn kill(&self) {
        self.blocking(RunningServer::kill).await;
    }

    /// Ends the server in good order.
    ///
    /// # Panics
    /// When the operating system refuses.
    pub async fn terminate(&self) {
        self.blocking(RunningServer::terminate).await;
    }

    /// Starts the server again on the same store and port, ending it first when it still runs.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn restart(&self) {
        self.blocking(RunningServer::restart).await;
    }

    /// Freezes the server: connections stay open and nothing answers.
    ///
    /// # Panics
    /// When it is not running.
    pub fn pause(&self) {
        self.lock().pause().unwrap_or_else(|error| panic!("{error}"));
    }

    /// Thaws the server.
    ///
    /// # Panics
    /// When it is not running.
    pub fn resume(&self) {
        self.lock().resume().unwrap_or_else(|error| panic!("{error}"));
    }

    async fn blocking(&self, action: fn(&mut RunningServer) -> Result<(), ServerError>) {
        let server = Arc::clone(&self.server);
        let done = spawn_blocking(move || action(&mut server.lock().unwrap_or_else(PoisonError::into_inner)));
        done.await.unwrap().unwrap_or_else(|error| panic!("{error}"));
    }

    fn lock(&self) -> MutexGuard<'_, RunningServer> {
        self.server.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        let mut server = self.lock();
        // Before the folder goes: a running server would write into it again.
        let killed = server.kill();
        let tail = server.log_tail(SHOWN);
        drop(server);
        if thread::panicking()
            && let Some(dir) = self.dir.take()
        {
            eprintln!(
                "--- {}, store kept in {}; end of the log:\n{tail}",
                self.url,
                dir.keep().display()
            );
        } else if let Err(error) = killed {
            eprintln!("{error}");
        }
    }
}

/// Unpacks an archive into a folder.
fn unpack(archive: &Path, dir: &Path) {
    let mut command = std::process::Command::new("tar");
    command.arg("-xf").arg(archive).arg("-C").arg(dir);
    let done = command.status().expect("tar should start");
    assert!(done.success(), "tar cannot unpack {}: {done}", archive.display());
}

/// Connects for a test: reconnects for ever, with short pauses, and stays on the server it was given.
pub(crate) async fn connect(urls: &str) -> async_nats::Client {
    let options = async_nats::ConnectOptions::new()
        .reconnect_delay_callback(|attempt| Duration::from_millis(50 * attempt.min(5) as u64))
        // In a cluster a client would learn of the other members and walk around a proxy or a killed server.
        .ignore_discovered_servers()
        .retain_servers_order();
    let servers: Vec<&str> = urls.split(',').collect();
    options
        .connect(servers)
        .await
        .unwrap_or_else(|error| panic!("a client should connect to {urls}: {error}"))
}
