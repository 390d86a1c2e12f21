//! Raising the streams and consumers of a mesh to the newest topology: finding out what is left, and doing it.

use std::time::Duration;

use async_nats::jetstream::stream::Config;
use baton_envelope::AgentName;
use serde::Deserialize;
use serde_json::{Value, json};

use super::TOPOLOGY;
use super::consumers::TAIL_DESCRIPTION;
use super::migrations::{ALL, Change, Migrations, Plan, plan, topology_of};
use super::settings::{self, KEY_TOPOLOGY};
use crate::error::{CONSUMER_NOT_FOUND, Error, STREAM_NOT_FOUND};
use crate::server::limits::Limits;
use crate::server::mesh::Mesh;
use crate::server::roles::ControllerMesh;

/// The server's code for an update of a consumer that does not exist.
const NOTHING_TO_UPDATE: u64 = 10149;

/// What a raise came to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Raised {
    /// The streams and consumers that were changed, each with what was changed.
    pub changed: Vec<String>,
    /// What waits until controllers of an earlier build have ended.
    pub waiting: Vec<String>,
    /// What the server refused, each with its reason.
    pub refused: Vec<String>,
}

/// What is left of one stream or consumer, in words.
pub(crate) fn left(plan: &Plan, older: usize) -> String {
    let becomes = |change: &Change| {
        let text = format!("{} becomes {}", change.field, change.to);
        if change.from.is_null() {
            text
        } else {
            format!("{text}, from {}", change.from)
        }
    };
    let mut parts: Vec<String> = plan.changes.iter().map(becomes).collect();
    if let Some(migration) = plan.waits {
        parts.push(format!(
            "{:?} waits until no controller of an earlier build follows the ledger ({older} do)",
            migration.name
        ));
    }
    if parts.is_empty() {
        parts.push("nothing but the number".to_owned());
    }
    let parts = parts.join("; ");
    match plan.from == plan.to {
        true => format!("at topology {}: {parts}", plan.to),
        false => format!("from topology {} to {}: {parts}", plan.from, plan.to),
    }
}

impl ControllerMesh {
    /// Raises every stream and every durable consumer of the mesh to the newest topology. Only what the newest topology added
    /// changes; what an operator set stays. Anyone may repeat it; `may` is asked before each write. `grace` is how long this
    /// leader leaves a closed intent in the ledger, which it tells the others.
    ///
    /// # Errors
    /// When the server does not answer. What it refuses is in the answer.
    pub async fn raise(&self, limits: Limits, grace: Duration, may: impl Fn() -> bool) -> Result<Raised, Error> {
        self.raise_by(ALL, limits, grace, may).await
    }

    /// As [`ControllerMesh::raise`], by these migrations.
    pub(super) async fn raise_by(
        &self,
        migrations: Migrations<'_>,
        limits: Limits,
        grace: Duration,
        may: impl Fn() -> bool,
    ) -> Result<Raised, Error> {
        let mut raised = Raised::default();
        let (plans, older) = self.plans(limits, Some(grace), migrations).await?;
        for plan in plans {
            let said = format!("{}: {}", plan.subject(), left(&plan, older.len()));
            if plan.waits.is_some() {
                raised.waiting.push(said.clone());
            }
            if (plan.to == plan.from && plan.changes.is_empty()) || !may() {
                continue;
            }
            if self.has_changed(&plan).await? {
                // Somebody changes it now, such as its copies: the next raise looks again.
                continue;
            }
            let (what, body) = plan.request();
            match self.ask::<serde::de::IgnoredAny>(&what, &body).await? {
                Ok(_) => raised.changed.push(said),
                // Its version was retired meanwhile, or somebody removed it.
                Err(refusal) if [CONSUMER_NOT_FOUND, NOTHING_TO_UPDATE].contains(&refusal.code) => {}
                Err(refusal) => raised.refused.push(format!("{}: {refusal}", plan.subject())),
            }
        }
        Ok(raised)
    }
}

impl ControllerMesh {
    /// Whether a stream is not as it was when the plan was made. The server has no compare-and-set for configurations; this
    /// leaves it a moment.
    async fn has_changed(&self, plan: &Plan) -> Result<bool, Error> {
        #[derive(Deserialize)]
        struct Info {
            config: Value,
        }
        let what = match &plan.consumer {
            Some(consumer) => format!("CONSUMER.INFO.{}.{consumer}", plan.stream),
            None => format!("STREAM.INFO.{}", plan.stream),
        };
        let info = self.ask::<Info>(&what, &json!({})).await?;
        Ok(info.is_ok_and(|info| without_servers_own(info.config) != without_servers_own(plan.found.clone())))
    }
}

impl Plan {
    /// The request that carries it out. It changes what is there and makes nothing: the server goes on from what it knows.
    fn request(&self) -> (String, Value) {
        match &self.consumer {
            Some(consumer) => (
                format!("CONSUMER.CREATE.{}.{consumer}", self.stream),
                json!({ "stream_name": self.stream, "config": self.config, "action": "update" }),
            ),
            None => (format!("STREAM.UPDATE.{}", self.stream), self.config.clone()),
        }
    }
}

/// A stream, or a consumer of one, as it is and as this build would make it.
struct Found {
    stream: String,
    consumer: Option<String>,
    wanted: Value,
    config: Value,
}

impl Mesh {
    /// What is left to raise, and the controllers of earlier topologies that answer.
    ///
    /// # Errors
    /// When the server does not answer.
    pub(crate) async fn left_to_raise(&self, limits: Limits) -> Result<(Vec<Plan>, Vec<String>), Error> {
        self.plans(limits, None, ALL).await
    }

    /// What is left to raise by these migrations, and the consumers of the controllers that know less. Those are looked for
    /// only where they decide something.
    pub(super) async fn plans(
        &self,
        limits: Limits,
        grace: Option<Duration>,
        migrations: Migrations<'_>,
    ) -> Result<(Vec<Plan>, Vec<String>), Error> {
        let mut found = Vec::new();
        for config in self.stream_configs().await? {
            if let Some(wanted) = self.wanted(&config, limits, grace)? {
                let stream = name_of(&config);
                let consumer = None;
                found.push(Found {
                    stream,
                    consumer,
                    wanted,
                    config,
                });
            }
        }
        let streams: Vec<String> = found.iter().map(|one| one.stream.clone()).collect();
        for stream in streams {
            found.extend(self.durable_consumers(&stream).await?);
        }
        let of = |one: &Found| match one.consumer {
            Some(_) => migrations.consumers,
            None => migrations.streams,
        };
        let blocks = |one: &Found| {
            let from = topology_of(&one.config);
            let mut left = of(one).iter().filter(|migration| migration.since > from);
            left.any(|migration| migration.needs_no_older_controller)
        };
        let (oldest, older) = if found.iter().any(blocks) {
            self.older_controllers(migrations.newest).await?
        } else {
            (migrations.newest, Vec::new())
        };
        let plans = found.iter().filter_map(|one| {
            Some(Plan {
                stream: one.stream.clone(),
                consumer: one.consumer.clone(),
                ..plan(&one.wanted, &one.config, of(one), oldest)?
            })
        });
        Ok((plans.collect(), older))
    }

    /// The durable consumers of a stream that are Baton's. Those that follow a stream each controller makes anew.
    async fn durable_consumers(&self, stream: &str) -> Result<Vec<Found>, Error> {
        let is_shared = stream == self.subjects().intake_stream() || self.agent_of_work_stream(stream).is_some();
        if !is_shared {
            return Ok(Vec::new());
        }
        let mut durable = Vec::new();
        for (name, config) in self.consumer_configs(stream).await? {
            let read = |error| Error::api(format!("CONSUMER.LIST.{stream}"), error);
            let typed = serde_json::from_value(config.clone()).map_err(read)?;
            if let Some(wanted) = self.wanted_consumer(stream, &name, &typed) {
                durable.push(Found {
                    stream: stream.to_owned(),
                    consumer: Some(name),
                    wanted: serde_json::to_value(&wanted).map_err(|error| Error::api("encoding a consumer", error))?,
                    config,
                });
            }
        }
        Ok(durable)
    }

    /// Each consumer of a stream with its configuration, as the server writes it; none when the stream is gone.
    async fn consumer_configs(&self, stream: &str) -> Result<Vec<(String, Value)>, Error> {
        #[derive(Deserialize)]
        struct Info {
            name: String,
            config: Value,
        }
        let what = format!("CONSUMER.LIST.{stream}");
        match self.ask_list::<Info>(&what, "consumers").await? {
            Ok(consumers) => Ok(consumers.into_iter().map(|one| (one.name, one.config)).collect()),
            Err(refusal) if refusal.code == STREAM_NOT_FOUND => Ok(Vec::new()),
            Err(refusal) => Err(refusal.into()),
        }
    }

    /// The configuration that this build would give a stream of the mesh; `None` for one that is not Baton's.
    fn wanted(&self, found: &Value, limits: Limits, grace: Option<Duration>) -> Result<Option<Value>, Error> {
        let name = name_of(found);
        let base = self
            .named_streams(limits)
            .into_iter()
            .find(|config| config.name == name);
        let wanted = match (base, self.agent_of_work_stream(&name)) {
            (Some(config), _) => config,
            // A bound is for new streams: one that is there may have more consumers.
            (None, Some(agent)) => Config {
                max_consumers: -1,
                ..self.work_stream_config(&agent, limits)
            },
            (None, None) => return Ok(None),
        };
        let mut wanted = serde_json::to_value(&wanted).map_err(|error| Error::api("encoding a stream", error))?;
        if name == self.subjects().ledger_stream()
            && let Some(metadata) = wanted.get_mut("metadata").and_then(Value::as_object_mut)
        {
            // The stream itself says how many copies it has; the metadata only repeat it.
            let copies = found.get("num_replicas").and_then(Value::as_u64).unwrap_or(1);
            metadata.remove(settings::KEY_UNDECIDED);
            metadata.insert(settings::KEY_REPLICAS.to_owned(), copies.to_string().into());
            if let Some(grace) = grace {
                let (key, value) = settings::grace(grace);
                metadata.insert(key, value.into());
            }
        }
        Ok(Some(wanted))
    }

    /// The agent whose work stream this is.
    pub(crate) fn agent_of_work_stream(&self, stream: &str) -> Option<AgentName> {
        let ledger = self.subjects().ledger_stream();
        let agent = stream
            .strip_prefix(ledger.strip_suffix("LEDGER")?)?
            .strip_prefix("WORK_")?;
        let agent: AgentName = agent.parse().ok()?;
        (self.subjects().work_stream(&agent) == stream).then_some(agent)
    }

    /// The configurations of all streams of the account, as the server writes them.
    async fn stream_configs(&self) -> Result<Vec<Value>, Error> {
        #[derive(Deserialize)]
        struct Info {
            config: Value,
        }
        let streams: Vec<Info> = self.ask_list("STREAM.LIST", "streams").await??;
        Ok(streams.into_iter().map(|info| info.config).collect())
    }

    /// The oldest topology of a controller that follows the ledger, and the consumers of those below the newest. A
    /// controller that died is counted for ten seconds more.
    async fn older_controllers(&self, newest: u32) -> Result<(u32, Vec<String>), Error> {
        let (mut oldest, mut older) = (newest, Vec::new());
        for (name, config) in self.consumer_configs(&self.subjects().ledger_stream()).await? {
            let is_controller = config.get("description").and_then(Value::as_str) == Some(TAIL_DESCRIPTION);
            let topology = topology_of(&config);
            if is_controller && topology < newest {
                oldest = oldest.min(topology);
                older.push(name);
            }
        }
        Ok((oldest, older))
    }
}

/// A configuration without the metadata that the server adds: a list has fewer of it.
fn without_servers_own(mut config: Value) -> Value {
    if let Some(metadata) = config.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.retain(|key, _| !key.starts_with("_nats."));
    }
    config
}

fn name_of(config: &Value) -> String {
    config
        .get("name")
        .and_then(Value::as_str)
        .unwrap_or_default()
        .to_owned()
}

/// The metadata of what this build makes.
pub(crate) fn mark() -> std::collections::HashMap<String, String> {
    [(KEY_TOPOLOGY.to_owned(), TOPOLOGY.to_string())].into()
}
