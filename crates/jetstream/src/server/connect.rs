//! Making a connection: where to, as whom, and whether the server there will do.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_nats::{Client, ConnectOptions, Event};
use baton_envelope::{Namespace, Subjects};
use tokio::sync::watch;

use super::clock::{Clock, SystemClock};
use super::limits::TicketPersistence;
use super::mesh::Mesh;
use super::nats_context::NatsContext;
use super::screen::Screen;
use crate::error::Error;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The oldest server that Baton is tested with; single-message compare-and-set with all that is used here.
const OLDEST_SERVER: (i64, i64, i64) = (2, 11, 0);
const OLDEST_SERVER_TEXT: &str = "2.11.0";
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
        let screen = Screen::new(&url, context.tls())
            .await
            .map_err(|error| unreachable(Box::new(error)))?;
        let screen = Arc::new(screen);
        let client = loop {
            match self.connect_once(&context, &connected, &screen).await? {
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
            (self.replicas.unwrap_or(1), self.tickets),
        );
        match mesh.ask::<serde_json::Value>("INFO", &serde_json::json!({})).await {
            Ok(Ok(_)) => Ok(mesh),
            Ok(Err(_)) | Err(Error::NoAnswer { .. }) => Err(Error::NoJetStream { url }),
            Err(other) => Err(other),
        }
    }

    /// One try to reach a server and to be let in.
    async fn connect_once(
        &self,
        context: &NatsContext,
        connected: &Arc<watch::Sender<u64>>,
        screen: &Arc<Screen>,
    ) -> Result<Result<Client, BoxError>, Error> {
        let options = self.options(context, connected, screen)?;
        // Why no server can be reached is known to the screen alone; the client would only see its connection end.
        if let Err(error) = screen.reach().await {
            return Ok(Err(Box::new(error)));
        }
        Ok(options
            .connect(screen.url())
            .await
            .map_err(|error| Box::new(error) as BoxError))
    }

    fn options(
        &self,
        context: &NatsContext,
        connected: &Arc<watch::Sender<u64>>,
        screen: &Arc<Screen>,
    ) -> Result<ConnectOptions, Error> {
        let unusable = |problem: String| Error::BadContext {
            name: self.context.clone().unwrap_or_else(|| "(flags)".to_owned()),
            problem,
        };
        let connected = Arc::clone(connected);
        let held = Arc::clone(screen);
        let mut options = ConnectOptions::new()
            .name(screen.name(&self.name))
            .connection_timeout(Duration::from_secs(5))
            .ping_interval(Duration::from_secs(15))
            .reconnect_delay_callback(|attempts| Duration::from_millis(if attempts < 2 { 10 } else { 200 }))
            .event_callback(move |event| {
                // The client holds its screen for as long as it lives.
                let _: &Arc<Screen> = &held;
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

fn text(value: &str) -> Option<String> {
    (!value.is_empty()).then(|| value.to_owned())
}
