//! The streams, buckets and consumers of a mesh, described in one place, created idempotently, checked, and never
//! repaired in silence. What a newer build adds to them, a leader raises once ([`migrations`]).

mod consumers;
mod copies;
mod drift;
mod edits;
mod migrations;
mod missing;
mod raise;
mod restore;
mod settings;
#[cfg(test)]
mod tests;

use std::time::Duration;

use async_nats::jetstream::stream::{
    Compression, Config, DiscardPolicy, PersistenceMode, Republish, RetentionPolicy, StorageType,
};
use baton_envelope::{AgentName, Mutant};
use tokio::time::Instant;

use super::limits::{Bounds, Limits};
use super::mesh::Mesh;
use crate::error::{Error, Refusal, TOO_MANY_CONSUMERS};
pub use consumers::ACK_WAIT;
pub use consumers::Intake;
pub(crate) use consumers::{CHANNELS_SINCE, WAITS_SINCE, tail_config, version_of};
pub(crate) use drift::Drifted;
pub use drift::Mended;
pub(crate) use edits::drift;
pub(crate) use migrations::{Plan, TOPOLOGY};
pub use missing::Upkept;
pub use raise::Raised;
pub(crate) use raise::left;
pub(crate) use raise::mark;
pub(crate) use restore::put_back;
pub use settings::SharedSettings;

/// The window in which the server drops a repeated message id.
pub(crate) const DUPLICATE_WINDOW: Duration = Duration::from_secs(120);
/// The server's code for a stream of that name which is there already.
const NAME_IN_USE: u64 = 10058;
/// The server's codes for an account, or a server, without the room that a stream wants kept.
const NO_ROOM: [u64; 2] = [10002, 10047];
/// For how long a stream without a bound is tried again that the server has no room for, and how far apart.
const ROOM_PATIENCE: Duration = Duration::from_secs(2);
const ROOM_PAUSE: Duration = Duration::from_millis(50);
/// How long the making of a stream may take: a cluster places its copies first.
const CREATION: Duration = Duration::from_secs(10);
/// The largest message of the context stream: a piece and its headers.
const LARGEST_OBJECT_MESSAGE: i32 = 300 << 10;
/// The largest message of the memory stream: a content as JSON, and what is known of it.
const LARGEST_MEMORY_MESSAGE: i32 = 600 << 10;
/// How many revisions of each memory of a space are kept.
const MEMORY_REVISIONS: i64 = 64;
/// The shortest window for message ids that the server takes.
const NO_WINDOW: Duration = Duration::from_millis(100);
/// How many consumers the routes bucket may have, for the followers of older releases.
const ROUTES_CONSUMERS: i32 = 20_000;

impl Mesh {
    /// Creates what every mesh has: intake, ledger, archive, context, memory, routes, agents, control, schedules and breakers. Anything that exists is left as it is; `doctor`
    /// shows where that differs. A ledger that is lost is not created again.
    ///
    /// # Errors
    /// [`Error::LedgerLost`], after all else was created, or when the server refuses.
    pub async fn ensure_topology(&self, limits: Limits) -> Result<(), Error> {
        self.make_missing(self.base_streams(limits)).await.map(drop)
    }

    /// Creates what every mesh has, but for the archive, the schedules and the breakers: how long the archive keeps bundles is
    /// a setting of the controllers, and a worker may have no business with any of them.
    ///
    /// # Errors
    /// As [`Mesh::ensure_topology`].
    pub async fn ensure_topology_of_workers(&self, limits: Limits) -> Result<(), Error> {
        let s = self.subjects();
        let not_theirs = [
            s.archive_stream(),
            format!("KV_{}", s.schedules_bucket()),
            format!("KV_{}", s.breakers_bucket()),
        ];
        let mut wanted = self.base_streams(limits);
        wanted.retain(|config| !not_theirs.contains(&config.name));
        self.make_missing(wanted).await.map(drop)
    }

    /// The streams that every mesh has, as they should be.
    pub(crate) fn base_streams(&self, limits: Limits) -> Vec<Config> {
        let s = self.subjects();
        let common = |name: String| common(name, limits);
        let bucket = |name: String, history: i64| bucket(name, history, limits);
        vec![
            Config {
                subjects: s.intake_subjects(),
                retention: RetentionPolicy::WorkQueue,
                description: Some("Baton: what anyone may publish".to_owned()),
                max_bytes: Bounds::bytes(limits.bounds.intake_bytes).unwrap_or(limits.max_bytes),
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
                metadata: mark().into_iter().chain(settings::metadata(limits)).collect(),
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
            self.context_stream_config(limits),
            self.memory_stream_config(limits),
            self.routes_stream_config(limits),
            Config {
                description: Some("Baton: agent versions".to_owned()),
                ..bucket(s.agents_bucket(), 8)
            },
            Config {
                description: Some("Baton: which controller leads".to_owned()),
                ..bucket(s.control_bucket(), 1)
            },
            Config {
                description: Some("Baton: schedules".to_owned()),
                ..bucket(s.schedules_bucket(), 8)
            },
            Config {
                description: Some("Baton: breakers".to_owned()),
                ..bucket(s.breakers_bucket(), 64)
            },
        ]
    }

    /// All streams with a name of their own: those that every mesh has, and what a leader makes when it needs it first.
    pub(crate) fn named_streams(&self, limits: Limits) -> Vec<Config> {
        let mut named = self.base_streams(limits);
        named.push(self.context_archive_stream_config(limits));
        named
    }

    /// The stream of the archived objects, as it should be. The name of a bundle says all of its bytes: a repeat takes its place, and
    /// begins its age anew.
    pub(crate) fn context_archive_stream_config(&self, limits: Limits) -> Config {
        let s = self.subjects();
        Config {
            subjects: vec![s.object_bundles_all()],
            retention: RetentionPolicy::Limits,
            max_messages_per_subject: 1,
            max_age: limits.archive_max_age,
            compression: Some(Compression::S2),
            description: Some("Baton: objects of closed trees, many in each message".to_owned()),
            ..common(s.context_archive_stream(), limits)
        }
    }

    /// The stream of the objects, as it should be. The server itself refuses a second message on a subject, and nobody but who
    /// may purge can take one away.
    fn context_stream_config(&self, limits: Limits) -> Config {
        let s = self.subjects();
        Config {
            subjects: vec![s.objects_all()],
            retention: RetentionPolicy::Limits,
            max_messages_per_subject: 1,
            discard_new_per_subject: true,
            max_message_size: LARGEST_OBJECT_MESSAGE,
            // Nobody who writes objects sends message ids; the server takes 0 for two minutes.
            duplicate_window: NO_WINDOW,
            deny_delete: true,
            // A view is a scattered read, and with compression the server reads a whole block for each.
            compression: Some(Compression::None),
            max_bytes: Bounds::bytes(limits.bounds.context_bytes).unwrap_or(limits.max_bytes),
            description: Some("Baton: objects, which are payloads and results that are large".to_owned()),
            ..common(s.context_stream(), limits)
        }
    }

    /// The stream of the memories of spaces, as it should be. A write says which revision it goes over; the oldest of many
    /// revisions goes, and nobody but who may purge can take away another.
    fn memory_stream_config(&self, limits: Limits) -> Config {
        let s = self.subjects();
        Config {
            subjects: vec![s.memories_all()],
            retention: RetentionPolicy::Limits,
            max_messages_per_subject: MEMORY_REVISIONS,
            max_message_size: LARGEST_MEMORY_MESSAGE,
            deny_delete: true,
            // A list is a scattered read, as a view of objects is.
            compression: Some(Compression::None),
            max_bytes: Bounds::bytes(limits.bounds.memory_bytes).unwrap_or(limits.max_bytes),
            description: Some("Baton: memories of spaces, which outlive intents".to_owned()),
            ..common(s.memory_stream(), limits)
        }
    }

    /// The stream of the routes bucket, as it should be: new ones are made so, and older ones lack `republish` and
    /// `max_consumers`. The server sends each change on to a plain subject, which takes no consumer; followers of older
    /// releases have one each.
    pub(crate) fn routes_stream_config(&self, limits: Limits) -> Config {
        let s = self.subjects();
        Config {
            description: Some("Baton: routes".to_owned()),
            max_consumers: ROUTES_CONSUMERS,
            republish: Some(Republish {
                source: format!("$KV.{}.>", s.routes_bucket()),
                destination: s.route_rule(),
                headers_only: false,
            }),
            ..bucket(s.routes_bucket(), 1024, limits)
        }
    }

    pub(crate) fn work_stream_config(&self, agent: &AgentName, limits: Limits) -> Config {
        Config {
            subjects: vec![self.subjects().work_all(agent)],
            retention: RetentionPolicy::WorkQueue,
            allow_atomic_publish: self.work_takes_batches(limits),
            persist_mode: limits.is_async().then_some(PersistenceMode::Async),
            description: Some(format!("Baton: tickets for agent {agent}")),
            max_bytes: Bounds::bytes(limits.bounds.work_bytes).unwrap_or(limits.max_bytes),
            max_consumers: i32::try_from(limits.bounds.work_consumers).unwrap_or(i32::MAX),
            ..common(self.subjects().work_stream(agent), limits)
        }
    }

    /// Creates a stream if it is missing, and tells whether it did.
    pub(crate) async fn ensure_stream(&self, config: Config) -> Result<bool, Error> {
        let name = config.name.clone();
        match self.is_missing(&name).await {
            Ok(true) => {}
            Ok(false) => return Ok(false),
            // It is not this user's to look after.
            Err(Error::Denied { .. }) => return Ok(false),
            // An election looks the same.
            Err(error) => tracing::debug!(%error, stream = name, "whether the stream is there is not known"),
        }
        let mut config = config;
        let mut created = self.create_stream(&config).await?;
        // The account allows fewer consumers than that: then its own limit is the stream's.
        if config.max_consumers > 0 && matches!(&created, Err(refusal) if refusal.code == TOO_MANY_CONSUMERS) {
            config.max_consumers = -1;
            created = self.create_stream(&config).await?;
        }
        // The server keeps room for a bound, and has less than that.
        if config.max_bytes > 0 && matches!(&created, Err(refusal) if NO_ROOM.contains(&refusal.code)) {
            tracing::warn!(
                stream = name,
                max_bytes = config.max_bytes,
                "the server cannot keep so much room for the stream: it has no bound of its own"
            );
            config.max_bytes = -1;
            created = self.create_stream(&config).await?;
        }
        // For a moment the server counts the room that others were refused.
        let until = Instant::now() + ROOM_PATIENCE;
        while matches!(&created, Err(refusal) if NO_ROOM.contains(&refusal.code)) && Instant::now() < until {
            tokio::time::sleep(ROOM_PAUSE).await;
            created = self.create_stream(&config).await?;
        }
        match created {
            Ok(()) => Ok(true),
            // Someone else created it at the same moment, or it exists with other settings: `doctor` compares.
            Err(refusal) if refusal.code == NAME_IN_USE => Ok(false),
            Err(refusal) => Err(Error::api(format!("creating stream {name}"), refusal)),
        }
    }

    async fn create_stream(&self, config: &Config) -> Result<Result<(), Refusal>, Error> {
        let what = format!("STREAM.CREATE.{}", config.name);
        let config = serde_json::to_value(config).map_err(|error| Error::api("encoding a stream", error))?;
        match self.ask_within::<serde::de::IgnoredAny>(&what, &config, CREATION).await {
            Ok(created) => Ok(created.map(drop)),
            Err(Error::Denied { .. }) => Err(Error::Unmade {
                what: format!("stream {}", what.trim_start_matches("STREAM.CREATE.")),
            }),
            Err(error) => Err(error),
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

/// What all streams have in common.
fn common(name: String, limits: Limits) -> Config {
    Config {
        name,
        storage: StorageType::File,
        discard: when_full(),
        max_bytes: limits.max_bytes,
        num_replicas: limits.replicas,
        duplicate_window: DUPLICATE_WINDOW,
        allow_direct: true,
        metadata: mark(),
        ..Config::default()
    }
}

/// The stream of a key-value bucket.
fn bucket(name: String, history: i64, limits: Limits) -> Config {
    Config {
        subjects: vec![format!("$KV.{name}.>")],
        max_messages_per_subject: history,
        allow_rollup: true,
        deny_delete: true,
        ..common(format!("KV_{name}"), limits)
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
