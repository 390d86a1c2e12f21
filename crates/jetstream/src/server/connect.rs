//! Making a connection: where to, as whom, and whether the server there will do.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_nats::{Client, ConnectOptions};
use baton_envelope::{Namespace, Subjects};
use tokio::time::Instant;

use super::clock::{Clock, SystemClock};
use super::denials::Denials;
use super::dial::{Dial, shown};
use super::events::{self, Events};
use super::limits::TicketPersistence;
use super::link::Link;
use super::mesh::Mesh;
use super::nats_context::NatsContext;
use super::screen::Screen;
use super::signing::Signing;
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
/// How often to say that there is no server yet.
const SAY_AGAIN: Duration = Duration::from_secs(5);
const DEFAULT_URL: &str = "nats://127.0.0.1:4222";

/// Where the mesh is and how to get in. What is set here wins over the context, which wins over the default.
#[derive(Debug, Clone, Default)]
pub struct Target {
    /// The server's address; several are separated by commas.
    pub server: Option<String>,
    /// A context of the `nats` CLI.
    pub context: Option<String>,
    /// The folder that holds the `nats` folder with contexts (`$XDG_CONFIG_HOME`, or `~/.config`).
    pub config_dir: Option<PathBuf>,
    /// A credentials file.
    pub creds: Option<PathBuf>,
    /// A user name.
    pub user: Option<String>,
    /// Its password.
    pub password: Option<String>,
    /// The prefix of everything that this mesh owns on the server.
    pub namespace: Namespace,
    /// The name of this connection, which `nats server list connections` shows.
    pub name: String,
    /// How many copies streams keep; 1 where nothing is said.
    pub replicas: Option<usize>,
    /// When the server writes tickets to disk.
    pub tickets: TicketPersistence,
    /// With which keys records are signed and verified; by default they are not.
    pub signing: Signing,
    /// Whether a screen mends messages that the client cannot read: for a process that reads what anyone may publish, as a
    /// controller does. It costs a hop over loopback for each read and write.
    pub screened: bool,
    /// How long to keep trying when no server answers; zero gives up at once.
    pub patience: Duration,
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
        let proofs = self.signing.load()?;
        let denials = Denials::default();
        let (events, connections) = Events::new(denials.clone());
        let options = self.options(&context, events)?;
        let options = if self.screened { options } else { tls(options, &context) };
        let mut dial = Dial::new(options, &url, self.login(&context, &url))?;
        let servers = url;
        let url = shown(&servers);
        if self.screened {
            let screen = Screen::new(&servers, context.tls()).await;
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
        let prefix = if context.jetstream_domain.is_empty() {
            "$JS.API".to_owned()
        } else {
            format!("$JS.{}.API", context.jetstream_domain)
        };
        let mesh = Mesh::new(
            Link::new(client, denials),
            prefix,
            url.clone(),
            Subjects::new(self.namespace.clone()),
            clock,
            connections,
            (self.replicas.unwrap_or(1), self.tickets, dial, proofs),
        );
        has_jetstream(&mesh).await?;
        mesh.follow_signing().await?;
        Ok(mesh)
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

    /// As whom this connects, for a message to people: never with a secret.
    fn login(&self, context: &NatsContext, url: &str) -> String {
        let user = self.user.clone().or_else(|| text(&context.user));
        let creds = self.creds.clone().or_else(|| text(&context.creds).map(PathBuf::from));
        if let Some(user) = user {
            format!("user \"{user}\"")
        } else if let Some(path) = creds {
            format!("the credentials of {}", path.display())
        } else if let Some(path) = text(&context.nkey) {
            format!("the nkey of {path}")
        } else if text(&context.token).is_some() {
            "the token of the context".to_owned()
        } else if url.contains('@') {
            "the user of the address".to_owned()
        } else {
            "a client that names no user".to_owned()
        }
    }

    fn options(&self, context: &NatsContext, events: Arc<Events>) -> Result<ConnectOptions, Error> {
        let unusable = |problem: String| Error::BadContext {
            name: self.context.clone().unwrap_or_else(|| "(flags)".to_owned()),
            problem,
        };
        let mut options = ConnectOptions::new()
            .name(&self.name)
            .connection_timeout(CONNECT_PATIENCE)
            .ping_interval(Duration::from_secs(15))
            .reconnect_delay_callback(events::pause)
            .event_callback(move |event| {
                events.take(event);
                std::future::ready(())
            });
        let user = self.user.clone().or_else(|| text(&context.user));
        if let Some(user) = user {
            let password = self
                .password
                .clone()
                .or_else(|| text(&context.password))
                .unwrap_or_default();
            options = options.user_and_password(user, password);
        }
        if let Some(token) = text(&context.token) {
            options = options.token(token);
        }
        if let Some(path) = self.creds.clone().or_else(|| text(&context.creds).map(PathBuf::from)) {
            let creds = std::fs::read_to_string(&path)
                .map_err(|error| unusable(format!("credentials {}: {error}", path.display())))?;
            options = options
                .credentials(&creds)
                .map_err(|error| unusable(error.to_string()))?;
        }
        if let Some(path) = text(&context.nkey) {
            let seed = std::fs::read_to_string(&path).map_err(|error| unusable(format!("nkey {path}: {error}")))?;
            options = options.nkey(seed.trim().to_owned());
        }
        if let Some(prefix) = text(&context.inbox_prefix) {
            options = options.custom_inbox_prefix(prefix);
        }
        Ok(options)
    }
}

/// The options with what TLS needs. A screen does TLS itself.
fn tls(mut options: ConnectOptions, context: &NatsContext) -> ConnectOptions {
    if let Some(path) = text(&context.ca) {
        options = options.add_root_certificates(path.into());
    }
    if let (Some(cert), Some(key)) = (text(&context.cert), text(&context.key)) {
        options = options.add_client_certificate(cert.into(), key.into());
    }
    if context.tls_first {
        options = options.tls_first();
    }
    options
}

/// Whether the server has JetStream for this account, and whether it can answer. A cluster without a quorum is asked again
/// for the time of an election.
async fn has_jetstream(mesh: &Mesh) -> Result<(), Error> {
    let until = Instant::now() + ELECTION;
    loop {
        let url = mesh.url().to_owned();
        match mesh.ask::<serde::de::IgnoredAny>("INFO", &serde_json::json!({})).await {
            Ok(Ok(_)) => return Ok(()),
            Ok(Err(refusal)) if !refusal.is_leaderless() => return Err(Error::NoJetStream { url }),
            // Without JetStream nobody listens for the question, which the client hears at once.
            Err(Error::NoAnswer { .. }) if !mesh.client().server_info().jetstream => {
                return Err(Error::NoJetStream { url });
            }
            Ok(Err(_)) | Err(Error::NoAnswer { .. }) if Instant::now() < until => tokio::time::sleep(PAUSE).await,
            Ok(Err(_)) | Err(Error::NoAnswer { .. }) => return Err(Error::NoQuorum { url }),
            Err(other) => return Err(other),
        }
    }
}

fn text(value: &str) -> Option<String> {
    (!value.is_empty()).then(|| value.to_owned())
}
