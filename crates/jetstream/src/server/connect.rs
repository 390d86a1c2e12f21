//! Making a connection: where to, as whom, and whether the server there will do.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_nats::{ConnectOptions, Event};
use baton_envelope::{Namespace, Subjects};
use tokio::sync::watch;

use super::clock::{Clock, SystemClock};
use super::dial::Dial;
use super::limits::TicketPersistence;
use super::mesh::Mesh;
use super::nats_context::NatsContext;
use super::screen::Screen;
use crate::error::Error;

/// The oldest server that Baton is tested with; single-message compare-and-set with all that is used here.
const OLDEST_SERVER: (i64, i64, i64) = (2, 11, 0);
const OLDEST_SERVER_TEXT: &str = "2.11.0";
/// How long one attempt to connect may take. A server to which all clients come back at once takes its time for each, and
/// those that give up only come again.
const CONNECT_PATIENCE: Duration = Duration::from_secs(10);
/// The longest pause between two attempts to reconnect, before half of it is added or taken away.
const LONGEST_DELAY: Duration = Duration::from_secs(2);
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
    /// When no server answers, when it is too old, or when it runs without JetStream.
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
        let (connected, connections) = watch::channel(0_u64);
        let connected = Arc::new(connected);
        let started = tokio::time::Instant::now();
        let unreachable = |source| Error::Unreachable {
            url: url.clone(),
            source,
        };
        let dial = if self.screened {
            let screen = Screen::new(&url, context.tls())
                .await
                .map_err(|error| unreachable(Box::new(error)))?;
            Dial::screened(self.options(&context, &connected)?, &self.name, screen)
        } else {
            let urls = url.split(',').map(|url| url.trim().to_owned()).collect();
            Dial::new(tls(self.options(&context, &connected)?, &context), urls)
        };
        let client = loop {
            match dial.connect().await {
                Ok(client) => break client,
                Err(source) if started.elapsed() < self.patience => {
                    tracing::info!(%url, %source, "no nats-server yet, trying again");
                    tokio::time::sleep(Duration::from_millis(250)).await;
                }
                Err(source) => return Err(unreachable(source)),
            }
        };
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
            client,
            prefix,
            url.clone(),
            Subjects::new(self.namespace.clone()),
            clock,
            connections,
            (self.replicas.unwrap_or(1), self.tickets, dial),
        );
        match mesh.ask::<serde_json::Value>("INFO", &serde_json::json!({})).await {
            Ok(Ok(_)) => Ok(mesh),
            Ok(Err(_)) | Err(Error::NoAnswer { .. }) => Err(Error::NoJetStream { url }),
            Err(other) => Err(other),
        }
    }

    fn options(&self, context: &NatsContext, connected: &Arc<watch::Sender<u64>>) -> Result<ConnectOptions, Error> {
        let unusable = |problem: String| Error::BadContext {
            name: self.context.clone().unwrap_or_else(|| "(flags)".to_owned()),
            problem,
        };
        let connected = Arc::clone(connected);
        let mut options = ConnectOptions::new()
            .name(&self.name)
            .connection_timeout(CONNECT_PATIENCE)
            .ping_interval(Duration::from_secs(15))
            .reconnect_delay_callback(reconnect_delay)
            .event_callback(move |event| {
                let connected = Arc::clone(&connected);
                async move {
                    match event {
                        Event::Connected => connected.send_modify(|count| *count += 1),
                        Event::Disconnected => tracing::warn!("connection to nats-server lost, reconnecting"),
                        Event::ServerError(error) => tracing::error!(%error, "nats-server reports an error"),
                        Event::SlowConsumer(id) => tracing::warn!(id, "slow consumer"),
                        Event::LameDuckMode | Event::Draining | Event::Closed | Event::ClientError(_) => {
                            tracing::debug!(%event, "connection event");
                        }
                    }
                }
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

/// How long to wait before an attempt to reconnect. Ten thousand that lost one server come back at the same moment: the
/// longer it was away, the more they spread.
fn reconnect_delay(attempts: usize) -> Duration {
    let doublings = u32::try_from(attempts / 4).unwrap_or(u32::MAX).min(4);
    let base = match attempts {
        0 | 1 => Duration::from_millis(10),
        _ => (Duration::from_millis(200) * 2_u32.pow(doublings)).min(LONGEST_DELAY),
    };
    base / 2 + base * u32::from(rand::random::<u8>()) / u32::from(u8::MAX)
}

fn text(value: &str) -> Option<String> {
    (!value.is_empty()).then(|| value.to_owned())
}
