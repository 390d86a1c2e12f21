//! What every command has at hand: the configuration with all of its layers, the way to the mesh, the output.

use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::Duration;

use baton_envelope::codes;
use baton_jetstream::{Error, Limits, Mesh, Signing, Target};
use tokio::time::Instant;

use crate::config::{Config, Environment, GlobalArgs, load};
use crate::error::CliError;
use crate::output::Output;

/// How long a process that stays waits for a server that is not there yet: both may be starting with the machine.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long it waits between two tries.
const PAUSE: Duration = Duration::from_millis(500);
/// What the variables of `[connection]` begin with.
const CONNECTION: &str = "BATON_CONNECTION__";

/// What every command has at hand.
#[derive(Debug)]
pub(crate) struct App {
    /// The configuration: defaults, file, environment, flags.
    pub(crate) config: Config,
    /// Where to print.
    pub(crate) output: Output,
    target: Target,
    /// The configuration file, and the variables that set something in `[connection]`.
    file: Option<PathBuf>,
    variables: Vec<String>,
    /// The mesh that the command looks at.
    mesh: OnceLock<Mesh>,
}

impl App {
    /// Puts the layers together.
    pub(crate) fn new(global: GlobalArgs, output: Output, environment: Environment) -> Result<Self, CliError> {
        let mut config = load(global.config.as_deref(), &environment)?;
        let connection = &mut config.connection;
        if let Some(namespace) = global.namespace {
            connection.namespace = namespace;
        }
        if let Some(replicas) = global.replicas {
            connection.replicas = replicas;
        }
        // Server and context come from one layer: a flag must not send the secrets of a context in the file to
        // another server. The variables of the `nats` CLI are the last layer before its selected context.
        let named = |name: &str| environment.get(name).filter(|value| !value.is_empty()).cloned();
        (connection.server, connection.context) = [
            (filled(global.server), filled(global.context)),
            (connection.server.take(), connection.context.take()),
            (named("NATS_URL"), named("NATS_CONTEXT")),
        ]
        .into_iter()
        .find(|(server, context)| server.is_some() || context.is_some())
        .unwrap_or_default();
        connection.creds = global.creds.or(connection.creds.take());
        connection.user = filled(global.user).or(connection.user.take());
        connection.password = filled(global.password).or(connection.password.take());
        connection.nkey = global.nkey.or(connection.nkey.take());
        connection.inbox_prefix = filled(global.inbox_prefix).or(connection.inbox_prefix.take());
        connection.tls_ca = global.tls_ca.or(connection.tls_ca.take());
        connection.tls_cert = global.tls_cert.or(connection.tls_cert.take());
        connection.tls_key = global.tls_key.or(connection.tls_key.take());
        let folder = named("XDG_CONFIG_HOME")
            .map(PathBuf::from)
            .or_else(|| named("HOME").map(|home| PathBuf::from(home).join(".config")));
        let target = Target {
            server: connection.server.clone(),
            context: connection.context.clone(),
            config_dir: folder,
            creds: connection.creds.clone(),
            nkey: connection.nkey.clone(),
            user: connection.user.clone(),
            password: connection.password.clone(),
            inbox_prefix: connection.inbox_prefix.clone(),
            tls: connection.tls()?,
            namespace: connection.namespace.clone(),
            name: "baton".to_owned(),
            replicas: Some(usize::from(connection.replicas)),
            tickets: connection.tickets,
            bounds: config.controller.bounds(),
            signing: Signing {
                signatures: connection.signatures,
                key: connection.signing_key.clone(),
                trust: connection.trust.clone(),
            },
            screened: connection.screen,
            patience: Duration::ZERO,
        };
        let variables = environment
            .keys()
            .filter(|name| name.starts_with(CONNECTION))
            .cloned()
            .collect();
        Ok(Self {
            config,
            output,
            target,
            file: global.config,
            variables,
            mesh: OnceLock::new(),
        })
    }

    /// With which keys this process signs and verifies.
    pub(crate) fn signing(&self) -> Signing {
        self.target.signing.clone()
    }

    /// The limits of the streams that every mesh has, as they are configured.
    pub(crate) fn limits(&self) -> Limits {
        Limits {
            replicas: usize::from(self.config.connection.replicas),
            tickets: self.config.connection.tickets,
            bands: self.config.connection.bands.into(),
            signatures: self.config.connection.signatures,
            archive_max_age: self.config.archive.max_age.0,
            secured: self.config.security.secured,
            bounds: self.config.controller.bounds(),
            ..Limits::default()
        }
    }

    /// Connects, and compares the settings that a mesh shares; gives up at once when no server answers.
    pub(crate) async fn connect(&self) -> Result<Mesh, CliError> {
        let mesh = self.connect_to_look().await?;
        mesh.agree_soon(self.limits(), |setting| self.source(setting)).await?;
        Ok(mesh)
    }

    /// Connects without comparing anything.
    pub(crate) async fn connect_to_look(&self) -> Result<Mesh, CliError> {
        let mesh = self.target.connect().await?;
        drop(self.mesh.set(mesh.clone()));
        Ok(mesh)
    }

    /// What is behind a failure: where the command found no mesh, the ledger may be lost.
    pub(crate) async fn explained(&self, error: CliError) -> CliError {
        if error.code != codes::NO_MESH {
            return error;
        }
        match self.mesh.get() {
            Some(mesh) => mesh.lost_ledger().await.ok().flatten().map_or(error, CliError::from),
            None => error,
        }
    }

    /// Where this process has a setting of `[connection]` from.
    fn source(&self, setting: &str) -> String {
        let variable = format!("{CONNECTION}{}", setting.to_uppercase());
        match &self.file {
            _ if self.variables.contains(&variable) => format!("environment variable {variable}"),
            Some(file) => format!("`connection.{setting}` of {}, or its default", file.display()),
            None => format!("the default of `connection.{setting}`"),
        }
    }

    /// Connects for a process that stays, under a name that `nats server report connections` shows.
    pub(crate) async fn connect_to_stay(&self, name: String) -> Result<Mesh, CliError> {
        self.stay(Target {
            name,
            ..self.target.clone()
        })
        .await
    }

    /// As [`App::connect_to_stay`], for a process that reads what anyone may publish.
    pub(crate) async fn connect_to_serve(&self, name: String) -> Result<Mesh, CliError> {
        self.stay(Target {
            name,
            screened: true,
            ..self.target.clone()
        })
        .await
    }

    async fn stay(&self, target: Target) -> Result<Mesh, CliError> {
        let target = Target {
            patience: PATIENCE,
            ..target
        };
        let started = Instant::now();
        let mesh = target.connect().await?;
        loop {
            match mesh.agree(self.limits(), |setting| self.source(setting)).await {
                // A cluster that elects a leader is as good as starting.
                Err(error @ Error::NoAnswer { .. }) if started.elapsed() < PATIENCE => {
                    tracing::warn!(%error, "the shared settings cannot be read, trying again");
                    tokio::time::sleep(PAUSE).await;
                }
                agreed => break agreed?,
            }
        }
        Ok(mesh)
    }
}

fn filled(value: Option<String>) -> Option<String> {
    value.filter(|text| !text.is_empty())
}
