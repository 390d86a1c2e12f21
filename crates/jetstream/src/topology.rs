//! The streams, buckets and consumers of a mesh, described in one place, created idempotently, checked, and never
//! repaired in silence.

use std::str::FromStr;
use std::time::Duration;

use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy, pull};
use async_nats::jetstream::stream::{
    Compression, Config, DiscardPolicy, PersistenceMode, Republish, RetentionPolicy, StorageType,
};
use async_nats::jetstream::{ErrorCode, context::CreateStreamErrorKind};
use baton_envelope::{AgentName, AgentVersion, Bands, Mutant};
use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::mesh::Mesh;

/// How long the broker waits for a sign of life before it delivers a ticket to another worker.
pub const ACK_WAIT: Duration = Duration::from_secs(10);

/// The window in which the server drops a repeated message id.
pub(crate) const DUPLICATE_WINDOW: Duration = Duration::from_secs(120);

/// How many tickets of one consumer may be out at once. Wide, because slots bound the flow and delayed retries count
/// too; the broker would stop delivering at this number.
const MAX_ACK_PENDING: i64 = 100_000;

/// When the server writes tickets to disk.
///
/// The ledger says what is open, so a ticket that is lost is written again, after the sweep's slack. That is why tickets,
/// and they alone, may wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TicketPersistence {
    /// Before it acknowledges them; with `sync_interval: always` it also syncs each ticket and each ack of one.
    #[default]
    Default,
    /// Soon after. The death of the server's process can lose those of the last milliseconds, a power cut those since
    /// the last sync.
    Async,
}

impl TicketPersistence {
    /// Its word in a configuration.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Default => "default",
            Self::Async => "async",
        }
    }
}

impl FromStr for TicketPersistence {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let all = [Self::Default, Self::Async];
        let found = all.into_iter().find(|one| one.name() == text);
        found.ok_or_else(|| format!("{text:?} is neither `default` nor `async`"))
    }
}

/// Limits of the streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// How many copies streams keep.
    pub replicas: usize,
    /// The largest size of a stream in bytes; -1 for no limit of its own. A full stream refuses, it never discards.
    pub max_bytes: i64,
    /// How long the archive keeps a closed intent; zero for ever. Default 30 days.
    pub archive_max_age: Duration,
    /// When tickets are written. Streams with several copies are as with `Default`, whatever this says.
    pub tickets: TicketPersistence,
}

impl Limits {
    /// Whether work streams are written when the server finds the time. It takes that for neither a replicated stream nor one
    /// with atomic batches.
    pub(crate) fn is_async(self) -> bool {
        self.tickets == TicketPersistence::Async && self.replicas == 1
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            replicas: 1,
            max_bytes: -1,
            archive_max_age: Duration::from_secs(30 * 24 * 60 * 60),
            tickets: TicketPersistence::Default,
        }
    }
}

impl Mesh {
    /// Creates what every mesh has: intake, ledger, archive, routes, agents and control. Anything that exists is left as it is; `doctor`
    /// shows where that differs.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn ensure_topology(&self, limits: Limits) -> Result<(), Error> {
        for config in self.base_streams(limits) {
            self.ensure_stream(config).await?;
        }
        Ok(())
    }

    /// Creates what every mesh has, but for the archive: how long that keeps bundles is a setting of the controllers, and a
    /// worker may have no business with it.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn ensure_topology_of_workers(&self, limits: Limits) -> Result<(), Error> {
        let archive = self.subjects().archive_stream();
        for config in self.base_streams(limits) {
            if config.name != archive {
                self.ensure_stream(config).await?;
            }
        }
        Ok(())
    }

    /// Creates the work stream of an agent and the consumers of one of its versions. Consumers that exist are left as
    /// they are, and one that is made beside consumers that are shut is made shut: a version that was shut stays so.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn ensure_agent(&self, agent: &AgentName, version: &AgentVersion, bands: Bands) -> Result<(), Error> {
        self.ensure_stream(self.work_stream_config(agent, self.limits()))
            .await?;
        let stream = self.subjects().work_stream(agent);
        let mut pause_until = None;
        for band in bands.list() {
            let name = self.subjects().work_consumer(version, band);
            let found = self
                .context()
                .get_consumer_from_stream::<pull::Config, _, _>(&name, &stream)
                .await;
            if found.is_ok() {
                continue;
            }
            if pause_until.is_none() {
                pause_until = Some(self.shut_until(agent, version, bands).await);
            }
            let config = pull::Config {
                durable_name: Some(name.clone()),
                filter_subjects: self.subjects().work_band(agent, version, band),
                ack_policy: AckPolicy::Explicit,
                deliver_policy: DeliverPolicy::All,
                ack_wait: ACK_WAIT,
                max_deliver: -1,
                max_ack_pending: MAX_ACK_PENDING,
                // Idle workers keep one pull waiting for each band: the limit must not be what bounds a fleet.
                max_waiting: 8192,
                pause_until: pause_until.flatten(),
                ..pull::Config::default()
            };
            self.context()
                .create_consumer_on_stream(config, &stream)
                .await
                .map_err(|error| Error::api(format!("creating consumer {name} on {stream}"), error))?;
        }
        Ok(())
    }

    /// The streams that every mesh has, as they should be.
    pub(crate) fn base_streams(&self, limits: Limits) -> Vec<Config> {
        let s = self.subjects();
        let common = |name: String| Config {
            name,
            storage: StorageType::File,
            discard: when_full(),
            max_bytes: limits.max_bytes,
            num_replicas: limits.replicas,
            duplicate_window: DUPLICATE_WINDOW,
            allow_direct: true,
            ..Config::default()
        };
        let bucket = |name: String, history: i64| Config {
            name: format!("KV_{name}"),
            subjects: vec![format!("$KV.{name}.>")],
            max_messages_per_subject: history,
            allow_rollup: true,
            deny_delete: true,
            ..common(String::new())
        };
        vec![
            Config {
                subjects: s.intake_subjects(),
                retention: RetentionPolicy::WorkQueue,
                description: Some("Baton: what anyone may publish".to_owned()),
                ..common(s.intake_stream())
            },
            Config {
                subjects: vec![s.ledger_all()],
                retention: RetentionPolicy::Limits,
                republish: Some(Republish {
                    source: s.ledger_all(),
                    destination: s.event_rule(),
                    headers_only: false,
                }),
                compression: Some(Compression::None),
                allow_atomic_publish: self.takes_batches(),
                description: Some("Baton: the append-only record of every intent".to_owned()),
                ..common(s.ledger_stream())
            },
            Config {
                subjects: vec![s.archive_all()],
                retention: RetentionPolicy::Limits,
                max_age: limits.archive_max_age,
                compression: Some(Compression::S2),
                description: Some("Baton: closed intents, one bundle each".to_owned()),
                ..common(s.archive_stream())
            },
            Config {
                description: Some("Baton: routes".to_owned()),
                ..bucket(s.routes_bucket(), 1024)
            },
            Config {
                description: Some("Baton: agent versions".to_owned()),
                ..bucket(s.agents_bucket(), 8)
            },
            Config {
                description: Some("Baton: which controller leads".to_owned()),
                ..bucket(s.control_bucket(), 1)
            },
        ]
    }

    pub(crate) fn work_stream_config(&self, agent: &AgentName, limits: Limits) -> Config {
        Config {
            name: self.subjects().work_stream(agent),
            subjects: vec![self.subjects().work_all(agent)],
            retention: RetentionPolicy::WorkQueue,
            storage: StorageType::File,
            discard: when_full(),
            max_bytes: limits.max_bytes,
            num_replicas: limits.replicas,
            duplicate_window: DUPLICATE_WINDOW,
            allow_direct: true,
            allow_atomic_publish: self.work_takes_batches(limits),
            persist_mode: limits.is_async().then_some(PersistenceMode::Async),
            description: Some(format!("Baton: tickets for agent {agent}")),
            ..Config::default()
        }
    }

    async fn ensure_stream(&self, config: Config) -> Result<(), Error> {
        let name = config.name.clone();
        if self.context().get_stream(&name).await.is_ok() {
            return Ok(());
        }
        match self.context().create_stream(config).await {
            Ok(_) => Ok(()),
            // Someone else created it at the same moment, or it exists with other settings: `doctor` compares.
            Err(error)
                if matches!(error.kind(), CreateStreamErrorKind::JetStream(ref e)
                    if e.error_code() == ErrorCode::STREAM_NAME_EXIST) =>
            {
                Ok(())
            }
            Err(error) => Err(Error::api(format!("creating stream {name}"), error)),
        }
    }
}

impl Mesh {
    /// Deletes every stream and bucket of this namespace: for benchmarks and tests, which make namespaces of their own.
    ///
    /// # Errors
    /// When the server does not answer.
    pub async fn remove_everything(&self) -> Result<(), Error> {
        use futures::StreamExt as _;
        let own = self.subjects().ledger_stream().trim_end_matches("LEDGER").to_owned();
        let mut names = self.context().stream_names();
        let mut doomed = Vec::new();
        while let Some(name) = names.next().await {
            let name = name.map_err(|error| Error::api("listing streams", error))?;
            if name.starts_with(&own) || name.starts_with(&format!("KV_{own}")) {
                doomed.push(name);
            }
        }
        for name in doomed {
            self.context()
                .delete_stream(&name)
                .await
                .map_err(|error| Error::api("deleting a stream", error))?;
        }
        Ok(())
    }
}

/// What a full stream does: it refuses.
fn when_full() -> DiscardPolicy {
    if Mutant::I16Discards.is_on() {
        DiscardPolicy::Old
    } else {
        DiscardPolicy::New
    }
}
