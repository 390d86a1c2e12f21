//! The stage of a run: servers, proxies, controllers and workers, all of them real processes.

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result};
use baton_envelope::Signatures;
use baton_jetstream::{Signing, TicketPersistence};
use baton_testkit::{Acks, Client, Cluster, Keys, PowerDisk, ProcessGuard, Proxy, SmallDisk, TestServer, nats_server};
use tokio::sync::Mutex;

use crate::journal::now_ms;
use crate::patterns::CHANNELS;
use crate::schedule::Cast;
use crate::work::{AGENTS, LINE, LISTENERS};

/// The versions of every agent, and how many worker processes each has.
pub const VERSIONS: [(&str, usize); 2] = [("1.0.0", 2), ("2.0.0", 1)];
/// How many controllers run.
pub const CONTROLLERS: usize = 2;
/// How many hops a worker runs at once.
const SLOTS: u32 = 16;
/// Size of the small disk, in megabytes.
const DISK_MB: u32 = 512;

/// The servers.
#[derive(Debug)]
pub enum Servers {
    /// A single server.
    Single(TestServer),
    /// A cluster of three.
    Cluster(Cluster),
}

impl Servers {
    /// The server with this number.
    #[must_use]
    pub fn get(&self, index: usize) -> &TestServer {
        match self {
            Self::Single(server) => server,
            Self::Cluster(cluster) => cluster.server(index),
        }
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        match self {
            Self::Single(_) => 1,
            Self::Cluster(cluster) => cluster.size(),
        }
    }

    /// The addresses of all servers, separated by commas.
    #[must_use]
    pub fn urls(&self) -> String {
        match self {
            Self::Single(server) => server.url().to_owned(),
            Self::Cluster(cluster) => cluster.urls(),
        }
    }
}

/// A process that is restarted again and again.
#[derive(Debug)]
pub struct Member {
    /// What it is, such as `beta-1.0.0-0`.
    pub name: String,
    /// The process; `None` while it is down.
    pub process: Option<ProcessGuard>,
    /// How often it was started.
    pub starts: u32,
    /// The name of the current process, for a worker.
    pub instance: String,
}

/// A worker: its process, and the proxies between it and the servers.
pub struct WorkerSeat {
    /// The process. A disturbance holds the lock for as long as it lasts.
    pub member: Arc<Mutex<Member>>,
    /// A proxy for each server.
    pub proxies: Vec<Proxy>,
    /// What the names of its processes begin with.
    pub token: String,
    /// The agent.
    pub agent: String,
    /// The version.
    pub version: String,
    /// The file that sets how far its clock is off.
    pub clock: PathBuf,
    /// When its network, its clock or its process was last in trouble.
    pub trouble_ms: AtomicI64,
}

impl fmt::Debug for WorkerSeat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WorkerSeat")
            .field("agent", &self.agent)
            .finish_non_exhaustive()
    }
}

/// The disk under the only server.
#[derive(Debug)]
pub enum Disk {
    /// A disk that can be filled.
    Small(SmallDisk),
    /// A disk whose power can be cut.
    Power(PowerDisk),
}

/// How a stage is set up.
#[derive(Debug, Clone)]
pub struct Setting {
    /// How many hops a worker runs at once.
    pub slots: u32,
    /// The grace of the archive; `None` for the product's default.
    pub grace: Option<&'static str>,
    /// Whether to record everything that the server acknowledges, to any process.
    pub listens: bool,
    /// When the server writes tickets to disk.
    pub tickets: TicketPersistence,
    /// The keys, where every process signs.
    pub keys: Option<Arc<Keys>>,
    /// Whether there are channels, and agents that get their messages alone.
    pub listeners: bool,
}

impl Setting {
    /// With which key a process signs: that of an agent, of `controller` or of `operator`.
    pub(crate) fn signing(&self, whose: &str) -> Signing {
        self.keys.as_ref().map_or_else(Signing::default, |keys| Signing {
            signatures: Signatures::Require,
            key: Some(keys.file(whose)),
            trust: Some(keys.trust()),
        })
    }
}

impl Default for Setting {
    fn default() -> Self {
        Self {
            slots: SLOTS,
            // Long enough that no submission is still being repeated, and short enough that most intents of a
            // one-minute run are archived in it.
            grace: Some("15s"),
            listens: false,
            tickets: TicketPersistence::Default,
            keys: None,
            listeners: false,
        }
    }
}

/// The agents that have a key.
pub(crate) fn signers() -> Vec<&'static str> {
    AGENTS.into_iter().chain(LISTENERS).chain([LINE]).collect()
}

/// All running parts.
#[derive(Debug)]
pub struct Stage {
    /// The folder of a run: logs and evidence.
    pub dir: PathBuf,
    /// The servers; before the disk, which must outlive them.
    pub servers: Servers,
    /// The disk, if it is not the platform's.
    pub disk: Option<Disk>,
    /// How it is set up.
    pub setting: Setting,
    /// What the server acknowledged, if that is recorded.
    pub acks: Acks,
    /// The way to the server for everything without its own proxy, if acknowledgements are recorded.
    front: Option<Proxy>,
    /// A bare connection, made while all is well; it reconnects by itself.
    pub client: Client,
    /// One lock for each server.
    pub server_locks: Vec<Arc<Mutex<()>>>,
    /// The workers.
    pub workers: Vec<Arc<WorkerSeat>>,
    /// The controllers.
    pub controllers: Vec<Arc<Mutex<Member>>>,
    /// When a server was last in trouble.
    pub trouble_ms: AtomicI64,
}

/// A command that runs this very program.
///
/// # Errors
/// When the program cannot be found.
pub(crate) fn own(args: &[&str]) -> Result<Command> {
    let mut command = Command::new(std::env::current_exe().context("this program")?);
    command.args(args).env_clear();
    for name in ["PATH", "HOME"] {
        if let Some(value) = std::env::var_os(name) {
            command.env(name, value);
        }
    }
    command.env("BATON_LOG", "error,baton=info");
    command.env("RUST_LOG", "error,baton=info");
    Ok(command)
}

impl Stage {
    /// Starts servers, then everything else.
    ///
    /// # Errors
    /// When something does not start.
    pub async fn start(dir: &Path, cast: Cast) -> Result<Self> {
        let mut disk = None;
        let servers = if cast.servers > 1 {
            Servers::Cluster(Cluster::start(cast.servers).await)
        } else if cast.small_disk {
            let small = SmallDisk::new(&nats_server().await, DISK_MB)
                .await
                .context("a small disk")?;
            let server = TestServer::builder().binary(small.binary()).start().await;
            disk = Some(Disk::Small(small));
            Servers::Single(server)
        } else {
            Servers::Single(TestServer::start().await)
        };
        let setting = Setting {
            tickets: cast.tickets,
            keys: cast.signed.then(|| Arc::new(Keys::of_agents(&signers()))),
            listeners: cast.listeners,
            ..Setting::default()
        };
        Self::on(dir, servers, disk, setting).await
    }

    /// Starts proxies, controllers and workers around running servers.
    ///
    /// # Errors
    /// When something does not start.
    pub async fn on(dir: &Path, servers: Servers, disk: Option<Disk>, setting: Setting) -> Result<Self> {
        let client = match &servers {
            Servers::Single(server) => server.client().await,
            Servers::Cluster(cluster) => cluster.client().await,
        };
        let acks = Acks::default();
        let front = match setting.listens {
            true => Some(Proxy::listening(servers.get(0).url(), &acks).await),
            false => None,
        };
        let mut stage = Self {
            client,
            dir: dir.to_owned(),
            server_locks: (0..servers.count()).map(|_| Arc::default()).collect(),
            servers,
            disk,
            setting,
            acks,
            front,
            workers: Vec::new(),
            controllers: Vec::new(),
            trouble_ms: AtomicI64::new(0),
        };
        for index in 0..CONTROLLERS {
            let mut member = Member::new(format!("controller-{index}"));
            stage.launch_controller(&mut member)?;
            stage.controllers.push(Arc::new(Mutex::new(member)));
        }
        let agents = AGENTS.into_iter().flat_map(|agent| VERSIONS.map(|of| (agent, of)));
        let listeners = LISTENERS.into_iter().filter(|_| stage.setting.listeners);
        let listeners = listeners.map(|agent| (agent, ("1.0.0", 1)));
        let all: Vec<_> = agents.chain(listeners).collect();
        for (agent, (version, count)) in all {
            for index in 0..count {
                let seat = stage.seat(agent, version, index).await?;
                stage.launch_worker(&seat, &mut *seat.member.lock().await)?;
                stage.workers.push(Arc::new(seat));
            }
        }
        Ok(stage)
    }

    /// The addresses of the servers for everything without its own proxy.
    #[must_use]
    pub fn urls(&self) -> String {
        match &self.front {
            Some(proxy) => proxy.url().to_owned(),
            None => self.servers.urls(),
        }
    }

    /// How many copies streams keep.
    #[must_use]
    pub fn replicas(&self) -> usize {
        self.servers.count()
    }

    /// A seat for a worker that is not launched yet.
    ///
    /// # Errors
    /// When its files cannot be written.
    pub async fn seat(&self, agent: &str, version: &str, index: usize) -> Result<WorkerSeat> {
        let mut proxies = Vec::new();
        for server in 0..self.servers.count() {
            let url = self.servers.get(server).url();
            proxies.push(match self.setting.listens {
                true => Proxy::listening(url, &self.acks).await,
                false => Proxy::start(url).await,
            });
        }
        let name = format!("{agent}-{version}-{index}");
        let clock = self.dir.join(format!("{name}.clock"));
        std::fs::write(&clock, "0")?;
        Ok(WorkerSeat {
            // A token of a subject contains no dots.
            token: format!("{}-", name.replace('.', "_")),
            member: Arc::new(Mutex::new(Member::new(name))),
            proxies,
            agent: agent.to_owned(),
            version: version.to_owned(),
            clock,
            trouble_ms: AtomicI64::new(0),
        })
    }

    /// Starts the process of a seat, under a new name each time.
    ///
    /// # Errors
    /// When it does not start.
    pub fn launch_worker(&self, seat: &WorkerSeat, member: &mut Member) -> Result<()> {
        self.launch_worker_with(seat, member, self.setting.slots)
    }

    /// As [`Stage::launch_worker`], with this many slots.
    ///
    /// # Errors
    /// When it does not start.
    pub fn launch_worker_with(&self, seat: &WorkerSeat, member: &mut Member, slots: u32) -> Result<()> {
        member.starts += 1;
        member.instance = format!("{}{}", seat.token, member.starts);
        let mut urls: Vec<&str> = seat.proxies.iter().map(Proxy::url).collect();
        // Workers start with different servers.
        let count = urls.len();
        urls.rotate_left(member.name.len() % count);
        let mut command = own(&["worker", "--server", &urls.join(",")])?;
        command
            .args(["--agent", &seat.agent, "--version", &seat.version])
            .args(["--instance", &member.instance, "--slots", &slots.to_string()])
            .args(["--replicas", &self.replicas().to_string()])
            .args(["--tickets", self.setting.tickets.name()])
            .arg("--clock")
            .arg(&seat.clock)
            .arg("--effects")
            .arg(self.dir.join("effects.jsonl"));
        let channels = CHANNELS.iter().filter(|_| self.setting.listeners);
        for (channel, _) in channels.filter(|(_, agents)| agents.contains(&seat.agent.as_str())) {
            command.args(["--channel", channel]);
        }
        if let Signing {
            key: Some(key),
            trust: Some(trust),
            ..
        } = self.setting.signing(&seat.agent)
        {
            command.arg("--signing-key").arg(key).arg("--trust").arg(trust);
        }
        member.process = Some(ProcessGuard::spawn(&member.name, command, &self.dir));
        Ok(())
    }

    /// Starts a controller.
    ///
    /// # Errors
    /// When it does not start.
    pub fn launch_controller(&self, member: &mut Member) -> Result<()> {
        member.starts += 1;
        let mut command = own(&["controller", "--sweep-interval", "3s", "--sweep-slack", "8s"])?;
        self.environment(&mut command);
        member.process = Some(ProcessGuard::spawn(&member.name, command, &self.dir));
        Ok(())
    }

    /// Configures a command of Baton for this mesh.
    pub(crate) fn environment(&self, command: &mut Command) {
        command
            .env("BATON_SERVER", self.urls())
            .env("BATON_REPLICAS", self.replicas().to_string())
            .env("BATON_CONNECTION__TICKETS", self.setting.tickets.name())
            // Hops of the load use up their attempts on purpose. That opens breakers, and what waits behind one for a minute
            // looks like work that no fault should have stopped.
            .env("BATON_CONTROLLER__BREAKER_OPEN_FOR", "5s");
        if let Signing {
            key: Some(key),
            trust: Some(trust),
            ..
        } = self.setting.signing("controller")
        {
            command
                .env("BATON_CONNECTION__SIGNATURES", "require")
                .env("BATON_CONNECTION__SIGNING_KEY", key)
                .env("BATON_CONNECTION__TRUST", trust)
                // Nothing is archived before a checkpoint covers it.
                .env("BATON_CONTROLLER__CHECKPOINT_INTERVAL", "2s");
        }
        if let Some(grace) = self.setting.grace {
            command.env("BATON_ARCHIVE__GRACE", grace);
        }
    }

    /// Notes that a server is, or was just now, in trouble.
    pub fn server_in_trouble(&self) {
        self.trouble_ms.store(now_ms(), Ordering::SeqCst);
    }

    /// Whether a worker and its servers were well for this long.
    #[must_use]
    pub fn was_calm(&self, seat: &WorkerSeat, since: Duration) -> bool {
        let before = now_ms() - i64::try_from(since.as_millis()).unwrap_or(i64::MAX);
        self.trouble_ms.load(Ordering::SeqCst) < before && seat.trouble_ms.load(Ordering::SeqCst) < before
    }
}

impl WorkerSeat {
    /// Notes that the worker is, or was just now, in trouble.
    pub fn in_trouble(&self) {
        self.trouble_ms.store(now_ms(), Ordering::SeqCst);
    }
}

impl Member {
    fn new(name: String) -> Self {
        Self {
            name,
            process: None,
            starts: 0,
            instance: String::new(),
        }
    }
}
