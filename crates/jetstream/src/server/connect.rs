//! Making a connection: where to, as whom, and whether the server there will do.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_nats::{Client, ConnectOptions};
use baton_envelope::{Namespace, Subjects};
use tokio::sync::watch;
use tokio::time::Instant;

use super::clock::{Clock, SystemClock};
use super::denials::Denials;
use super::dial::Dial;
use super::events::{self, Events};
use super::limits::{Bounds, TicketPersistence};
use super::link::Link;
use super::login::{Login, part};
use super::mesh::Mesh;
use super::nats_context::NatsContext;
use super::screen::{Screen, Tls};
use super::signing::Signing;
use super::unheard::not_imported;
use crate::error::Error;

/// The oldest server that Baton is tested with; single-message compare-and-set with all that is used here.
const OLDEST_SERVER: (i64, i64, i64) = (2, 11, 0);
const OLDEST_SERVER_TEXT: &str = "2.11.0";
/// How long one attempt to connect may take. A server to which all clients come back at once takes its time for each, and
/// those that give up only come again.
const CONNECT_PATIENCE: Duration = Duration::from_secs(10);
/// How long a cluster may take to elect a leader before it counts as one without a quorum.
const ELECTION: Duration = Duration::from_secs(12);
const PAUSE: Duration = Duration::from_millis(250);
/// The server's code for an account without JetStream.
const NOT_FOR_ACCOUNT: u64 = 10039;
/// How often to say that there is no server yet.
const SAY_AGAIN: Duration = Duration::from_secs(5);
const DEFAULT_URL: &str = "nats://127.0.0.1:4222";

/// Where the mesh is and how to get in. What is set here wins over the context, which wins over the default.
#[derive(Clone, Default)]
pub struct Target {
    /// The server's address; several are separated by commas. A user and a password may stand before an `@`.
    pub server: Option<String>,
    /// A context of the `nats` CLI.
    pub context: Option<String>,
    /// The folder that holds the `nats` folder with contexts (`$XDG_CONFIG_HOME`, or `~/.config`).
    pub config_dir: Option<PathBuf>,
    /// A credentials file.
    pub creds: Option<PathBuf>,
    /// A file with the seed of a key.
    pub nkey: Option<PathBuf>,
    /// A user name.
    pub user: Option<String>,
    /// Its password.
    pub password: Option<String>,
    /// What the subjects of answers begin with; `_INBOX` where neither this nor the context says it.
    pub inbox_prefix: Option<String>,
    /// Certificates, and how TLS begins.
    pub tls: Tls,
    /// The prefix of everything that this mesh owns on the server.
    pub namespace: Namespace,
    /// The name of this connection, which `nats server list connections` shows.
    pub name: String,
    /// How many copies streams keep; 1 where nothing is said.
    pub replicas: Option<usize>,
    /// When the server writes tickets to disk.
    pub tickets: TicketPersistence,
    /// The bounds of the streams that this process makes.
    pub bounds: Bounds,
    /// With which keys records are signed and verified; by default they are not.
    pub signing: Signing,
    /// Whether a screen mends messages that the client cannot read: for a process that reads what anyone may publish, as a
    /// controller does. It costs a hop over loopback for each read and write.
    pub screened: bool,
    /// How long to keep trying when no server answers; zero gives up at once.
    pub patience: Duration,
}

impl std::fmt::Debug for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Addresses and passwords are secret.
        f.debug_struct("Target")
            .field("name", &self.name)
            .field("namespace", &self.namespace)
            .finish_non_exhaustive()
    }
}

impl Target {
    /// A server by its address.
    pub fn at(server: impl Into<String>) -> Self {
        Self {
            server: Some(server.into()),
            name: "baton".to_owned(),
            ..Self::default()
        }
    }

    /// Connects, and checks that the server is one that Baton can run on.
    ///
    /// # Errors
    /// When no server answers or it refuses this user, when it is too old, or when it runs without JetStream or without a
    /// quorum.
    pub async fn connect(&self) -> Result<Mesh, Error> {
        self.connect_with(Arc::new(SystemClock)).await
    }

    /// Connects with a clock of the caller's.
    ///
    /// # Errors
    /// As [`Target::connect`].
    pub async fn connect_with(&self, clock: Arc<dyn Clock>) -> Result<Mesh, Error> {
        let proofs = self.signing.load()?;
        let Prepared {
            mut dial,
            url,
            login,
            denials,
            connections,
            domain,
        } = self.prepare()?;
        if self.screened {
            let screen = Screen::new(&url, login.tls).await;
            let screened = screen.and_then(|screen| dial.read_through(screen, &self.name));
            screened.map_err(|source| dial.failed(&url, source.into()))?;
        }
        let client = self.dial(&dial, &url).await?;
        let info = client.server_info();
        let (major, minor, patch) = OLDEST_SERVER;
        if !client.is_server_compatible(major, minor, patch) {
            return Err(Error::TooOld {
                url,
                found: info.version,
                needed: OLDEST_SERVER_TEXT,
            });
        }
        let prefix = if domain.is_empty() {
            "$JS.API".to_owned()
        } else {
            format!("$JS.{domain}.API")
        };
        let mesh = Mesh::new(
            Link::new(client, denials),
            prefix,
            url.clone(),
            Subjects::new(self.namespace.clone()),
            (clock, Arc::default()),
            connections,
            (self.replicas.unwrap_or(1), (self.tickets, self.bounds), dial, proofs),
        );
        has_jetstream(&mesh).await?;
        mesh.follow_signing().await?;
        Ok(mesh)
    }

    /// Connects without asking for JetStream, as the server's own account does, which has none.
    pub(super) async fn connect_bare(&self) -> Result<Link, Error> {
        let Prepared { dial, url, denials, .. } = self.prepare()?;
        Ok(Link::new(self.dial(&dial, &url).await?, denials))
    }

    /// Where to, and as whom.
    fn prepare(&self) -> Result<Prepared, Error> {
        let context = match (&self.context, &self.server) {
            (Some(name), _) => NatsContext::load(Some(name), self.config_dir.as_deref())?,
            (None, Some(_)) => None,
            (None, None) => NatsContext::load(None, self.config_dir.as_deref())?,
        }
        .unwrap_or_default();
        let url = self.server.clone().filter(|url| !url.is_empty()).unwrap_or_else(|| {
            if context.url.is_empty() {
                DEFAULT_URL.to_owned()
            } else {
                context.url.clone()
            }
        });
        // From here on nothing holds the secrets of an address but the login.
        let (url, secret) = part(&url);
        let login = Login::of(self, secret, &context)?;
        let denials = Denials::default();
        let (events, connections) = Events::new(denials.clone());
        let options = login.apply(self.options(events))?;
        let options = if self.screened {
            options
        } else {
            login.with_tls(options)
        };
        Ok(Prepared {
            dial: Dial::new(options, &url, login.to_string())?,
            url,
            login,
            denials,
            connections,
            domain: context.jetstream_domain,
        })
    }

    /// Connects, and goes on trying for as long as it has patience with a server that does not answer. One that says no is
    /// not asked again.
    async fn dial(&self, dial: &Dial, url: &str) -> Result<Client, Error> {
        let started = Instant::now();
        let mut say_at = started;
        loop {
            let source = match dial.connect().await {
                Ok(client) => return Ok(client),
                Err(source) => source,
            };
            if source.is_no() || started.elapsed() >= self.patience {
                return Err(dial.failed(url, source));
            }
            if Instant::now() >= say_at {
                tracing::info!(%url, %source, "no nats-server yet, trying again");
                say_at = Instant::now() + SAY_AGAIN;
            }
            tokio::time::sleep(Duration::from_millis(250)).await;
        }
    }

    fn options(&self, events: Arc<Events>) -> ConnectOptions {
        ConnectOptions::new()
            .name(&self.name)
            .connection_timeout(CONNECT_PATIENCE)
            .ping_interval(Duration::from_secs(15))
            .reconnect_delay_callback(events::pause)
            .event_callback(move |event| {
                events.take(event);
                std::future::ready(())
            })
    }
}

/// A connection that is about to be made.
struct Prepared {
    dial: Dial,
    /// The addresses, without secrets.
    url: String,
    login: Login,
    denials: Denials,
    connections: watch::Receiver<u64>,
    /// The JetStream domain; empty for none.
    domain: String,
}

/// Whether the server has JetStream for this account, and whether it can answer. A cluster without a quorum is asked again
/// for the time of an election.
async fn has_jetstream(mesh: &Mesh) -> Result<(), Error> {
    let until = Instant::now() + ELECTION;
    loop {
        let url = mesh.url().to_owned();
        match mesh.ask::<serde::de::IgnoredAny>("INFO", &serde_json::json!({})).await {
            Ok(Ok(_)) => return Ok(()),
            Ok(Err(refusal)) if refusal.code == NOT_FOR_ACCOUNT && mesh.client().server_info().jetstream => {
                let subject = format!("{}.INFO", mesh.api_prefix());
                let what = format!("use JetStream: its account does not have it, and does not import {subject} either");
                return Err(Error::Denied { what });
            }
            Ok(Err(refusal)) if !refusal.is_leaderless() => return Err(Error::NoJetStream { url }),
            // Without JetStream nobody listens for the question, which the client hears at once.
            Err(Error::NoAnswer { .. }) if !mesh.client().server_info().jetstream => {
                return Err(Error::NoJetStream { url });
            }
            // The server has it, and this account may not ask.
            Err(Error::NoAnswer { .. }) if mesh.is_api_unheard().await => {
                return Err(not_imported(&format!("{}.INFO", mesh.api_prefix())));
            }
            Ok(Err(_)) | Err(Error::NoAnswer { .. }) if Instant::now() < until => tokio::time::sleep(PAUSE).await,
            Ok(Err(_)) | Err(Error::NoAnswer { .. }) => return Err(Error::NoQuorum { url }),
            Err(other) => return Err(other),
        }
    }
}
