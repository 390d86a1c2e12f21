//! A server of the benchmark's own, in a folder that is removed at the end.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use baton_baseline::Observer;
use baton_embedded::{RunningServer, ServerOptions};
use baton_envelope::{AgentName, Namespace, Signatures};
use baton_jetstream::{Error, Mesh, Signing, Target, TicketPersistence, new_signing_key};

use crate::accounts::{self, Rendered};
use crate::error::BenchError;
use crate::meter::Spent;
use crate::options::{Accounts, Only};

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
    /// Whether there is a server with accounts beside the open one.
    pub(crate) accounts: Option<Accounts>,
}

/// A server, and a connection that observes it.
#[derive(Debug)]
pub(crate) struct Site {
    server: RunningServer,
    observer: Observer,
    tickets: TicketPersistence,
    signing: Signing,
    /// Which accounts this server has, if any. The keys of their users are in the folder.
    accounts: Option<Accounts>,
    /// The server with accounts, where there are two.
    beside: Option<Box<Self>>,
    // After the server, so that the folder is removed once the server is gone.
    folder: Folder,
}

impl Site {
    /// Starts a server that syncs its store at this interval, and one with accounts where the setup asks for it.
    pub(crate) async fn start(
        setup: &ServerSetup,
        sync_interval: &str,
        tickets: TicketPersistence,
    ) -> Result<Self, BenchError> {
        let mut site = Self::one(setup, sync_interval, tickets, None).await?;
        if let Some(accounts) = setup.accounts {
            let beside = Self::one(setup, sync_interval, tickets, Some(accounts)).await?;
            site.beside = Some(Box::new(beside));
        }
        Ok(site)
    }

    async fn one(
        setup: &ServerSetup,
        sync_interval: &str,
        tickets: TicketPersistence,
        accounts: Option<Accounts>,
    ) -> Result<Self, BenchError> {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let folder = Folder(setup.dir.join(format!("baton-bench-{}-{number}", std::process::id())));
        let mut options = ServerOptions::new(setup.binary.clone(), folder.0.clone());
        options.sync_interval = sync_interval.to_owned();
        let rendered = accounts.map(|_| accounts::rendered()).transpose()?;
        options
            .extra
            .extend(rendered.iter().map(|rendered| rendered.lines.clone()));
        let server = RunningServer::start(options)?;
        let url = server.url();
        let seeds = rendered.map(|Rendered { seeds, .. }| seeds).unwrap_or_default();
        for (user, seed) in &seeds {
            fs::write(folder.key(user), seed).map_err(BenchError::io("writing a key"))?;
        }
        let observer = match seeds.get(accounts::CONTROLLER) {
            None => Observer::connect(&url).await?,
            Some(seed) => Observer::connect_with(&url, seed).await?,
        };
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
            accounts,
            beside: None,
            folder,
        })
    }

    /// The server of a side.
    pub(crate) fn of(&self, side: Only) -> &Self {
        match side {
            Only::Baton => self.beside.as_deref().unwrap_or(self),
            Only::Floor | Only::Open => self,
        }
    }

    /// Whether meshes on it are secured.
    pub(crate) fn is_secured(&self) -> bool {
        self.accounts == Some(Accounts::Secured)
    }

    /// Connects to a mesh on it, as somebody who may do everything. Accounts are for one namespace, which all sides take in
    /// turn.
    pub(crate) async fn connect(&self, namespace: &str) -> Result<Mesh, BenchError> {
        let namespace = match self.accounts {
            Some(_) => accounts::NAMESPACE,
            None => namespace,
        };
        connect(self.target(namespace)?).await
    }

    /// Connects as an agent, where agents have accounts; elsewhere it is the connection that there is.
    pub(crate) async fn connect_as(&self, agent: &AgentName, there_is: &Mesh) -> Result<Mesh, BenchError> {
        if self.accounts.is_none() {
            return Ok(there_is.clone());
        }
        let target = Target {
            nkey: Some(self.folder.key(agent.as_str())),
            inbox_prefix: Some(format!("_INBOX_{agent}")),
            ..self.target(accounts::NAMESPACE)?
        };
        connect(target).await
    }

    fn target(&self, namespace: &str) -> Result<Target, BenchError> {
        let namespace: Namespace = namespace.parse().map_err(Error::from)?;
        Ok(Target {
            namespace,
            nkey: self.accounts.map(|_| self.folder.key(accounts::CONTROLLER)),
            tickets: self.tickets,
            signing: self.signing.clone(),
            ..Target::at(self.server.url())
        })
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

async fn connect(target: Target) -> Result<Mesh, BenchError> {
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

impl Folder {
    /// The file with the key of a user.
    fn key(&self, user: &str) -> PathBuf {
        self.0.join(format!("{user}.nk"))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What cannot be removed stays in the temporary folder, for the system to clear.
        drop(fs::remove_dir_all(&self.0));
    }
}
