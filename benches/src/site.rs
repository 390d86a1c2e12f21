//! A server of the benchmark's own, in a folder that is removed at the end.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use baton_baseline::Observer;
use baton_embedded::{RunningServer, ServerOptions};
use baton_envelope::{Namespace, Signatures};
use baton_jetstream::{Error, Mesh, Signing, Target, TicketPersistence, new_signing_key};

use crate::error::BenchError;
use crate::meter::Spent;

/// How long submitted work may take to end after the last submission.
const PATIENCE: Duration = Duration::from_secs(300);

/// Where servers come from and keep their data.
#[derive(Debug, Clone)]
pub(crate) struct ServerSetup {
    /// The `nats-server` executable.
    pub(crate) binary: PathBuf,
    /// Where to create the folders.
    pub(crate) dir: PathBuf,
    /// Whether Baton signs and verifies its records.
    pub(crate) signed: bool,
}

/// A server, and a connection that observes it.
#[derive(Debug)]
pub(crate) struct Site {
    server: RunningServer,
    observer: Observer,
    tickets: TicketPersistence,
    signing: Signing,
    // After the server, so that the folder is removed once the server is gone.
    _folder: Folder,
}

impl Site {
    /// Starts a server that syncs its store at this interval.
    pub(crate) async fn start(
        setup: &ServerSetup,
        sync_interval: &str,
        tickets: TicketPersistence,
    ) -> Result<Self, BenchError> {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let folder = Folder(setup.dir.join(format!("baton-bench-{}-{number}", std::process::id())));
        let mut options = ServerOptions::new(setup.binary.clone(), folder.0.clone());
        options.sync_interval = sync_interval.to_owned();
        let server = RunningServer::start(options)?;
        let observer = Observer::connect(&server.url()).await?;
        let signing = if setup.signed {
            keys(&folder.0)?
        } else {
            Signing::default()
        };
        Ok(Self {
            server,
            observer,
            tickets,
            signing,
            _folder: folder,
        })
    }

    /// Connects to a mesh on it.
    pub(crate) async fn connect(&self, namespace: &str) -> Result<Mesh, BenchError> {
        connect(&self.server, namespace, self.tickets, &self.signing).await
    }

    /// Its address.
    pub(crate) fn url(&self) -> String {
        self.server.url()
    }

    /// Kills the server, and starts it on the same store.
    pub(crate) fn restart(&mut self) -> Result<(), BenchError> {
        self.server.kill()?;
        Ok(self.server.restart()?)
    }

    /// The process id of the server.
    pub(crate) fn pid(&self) -> Option<u32> {
        self.server.pid()
    }

    /// The CPU time that this process and the server have spent.
    pub(crate) fn spent(&self) -> Spent {
        Spent::until_now(self.pid())
    }

    /// Waits until work queues are empty, in the order in which intents pass them.
    pub(crate) async fn until_empty(&self, streams: &[String]) -> Result<(), BenchError> {
        Ok(self.observer.until_empty(streams, PATIENCE).await?)
    }

    /// How many messages a stream holds.
    pub(crate) async fn held_in(&self, stream: &str) -> Result<u64, BenchError> {
        Ok(self.observer.held_in(stream).await?)
    }

    /// How many messages some streams have stored so far.
    pub(crate) async fn stored_in(&self, streams: &[String]) -> Result<u64, BenchError> {
        let mut stored = 0;
        for stream in streams {
            stored += self.observer.stored_in(stream).await?;
        }
        Ok(stored)
    }
}

async fn connect(
    server: &RunningServer,
    namespace: &str,
    tickets: TicketPersistence,
    signing: &Signing,
) -> Result<Mesh, BenchError> {
    let namespace: Namespace = namespace.parse().map_err(Error::from)?;
    let target = Target {
        namespace,
        tickets,
        signing: signing.clone(),
        ..Target::at(server.url())
    };
    Ok(target.connect().await?)
}

/// One key for all, which may sign everything.
fn keys(folder: &Path) -> Result<Signing, BenchError> {
    let (key, trust) = (folder.join("bench.key"), folder.join("trust.toml"));
    let secret = new_signing_key();
    let grant = format!("[[grant]]\nkey = \"{}\"\nrole = \"controller\"\n", secret.public());
    fs::write(&key, secret.seed()).map_err(BenchError::io("writing a key"))?;
    fs::write(&trust, grant).map_err(BenchError::io("writing the trusted keys"))?;
    Ok(Signing {
        signatures: Signatures::Accept,
        key: Some(key),
        trust: Some(trust),
    })
}

/// A folder that is removed on drop.
#[derive(Debug)]
struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        // What cannot be removed stays in the temporary folder, for the system to clear.
        drop(fs::remove_dir_all(&self.0));
    }
}
