//! Raising the streams of a mesh to the newest topology: finding out what is left, and doing it.

use std::time::Duration;

use async_nats::jetstream::stream::Config;
use baton_envelope::AgentName;
use serde::Deserialize;
use serde_json::Value;

use super::migrations::{Change, MIGRATIONS, Migration, Plan, plan, topology_of};
use super::settings::{self, KEY_TOPOLOGY};
use super::{TAIL_DESCRIPTION, TOPOLOGY};
use crate::error::Error;
use crate::server::limits::Limits;
use crate::server::mesh::Mesh;
use crate::server::roles::ControllerMesh;

/// What a raise came to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Raised {
    /// The streams that were changed, each with what was changed.
    pub changed: Vec<String>,
    /// What waits until controllers of an earlier build have ended.
    pub waiting: Vec<String>,
    /// What the server refused, each with its reason.
    pub refused: Vec<String>,
}

/// What is left of one stream, in words.
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
    format!("from topology {} to {}: {}", plan.from, plan.to, parts.join("; "))
}

impl ControllerMesh {
    /// Raises every stream of the mesh to the newest topology. Only what the newest topology added changes; what an
    /// operator set stays. Anyone may repeat it; `may` is asked before each write. `grace` is how long this leader leaves a
    /// closed intent in the ledger, which it tells the others.
    ///
    /// # Errors
    /// When the server does not answer. What it refuses is in the answer.
    pub async fn raise(&self, limits: Limits, grace: Duration, may: impl Fn() -> bool) -> Result<Raised, Error> {
        let mut raised = Raised::default();
        let (plans, older) = self.plans(limits, Some(grace), MIGRATIONS, TOPOLOGY).await?;
        for plan in plans {
            if plan.waits.is_some() {
                raised
                    .waiting
                    .push(format!("{}: {}", plan.stream, left(&plan, older.len())));
            }
            if (plan.to == plan.from && plan.changes.is_empty()) || !may() {
                continue;
            }
            let what = format!("STREAM.UPDATE.{}", plan.stream);
            match self.ask::<serde::de::IgnoredAny>(&what, &plan.config).await? {
                Ok(_) => raised
                    .changed
                    .push(format!("{}: {}", plan.stream, left(&plan, older.len()))),
                Err(refusal) => raised.refused.push(format!("{}: {refusal}", plan.stream)),
            }
        }
        Ok(raised)
    }
}

impl Mesh {
    /// What is left to raise, and the controllers of earlier topologies that answer.
    ///
    /// # Errors
    /// When the server does not answer.
    pub(crate) async fn left_to_raise(&self, limits: Limits) -> Result<(Vec<Plan>, Vec<String>), Error> {
        self.plans(limits, None, MIGRATIONS, TOPOLOGY).await
    }

    /// What is left to raise by these migrations, of which `newest` is the last number, and the consumers of the controllers
    /// that know less. Those are looked for only where they decide something.
    pub(super) async fn plans(
        &self,
        limits: Limits,
        grace: Option<Duration>,
        migrations: &[Migration],
        newest: u32,
    ) -> Result<(Vec<Plan>, Vec<String>), Error> {
        let mut found = Vec::new();
        for config in self.stream_configs().await? {
            if let Some(wanted) = self.wanted(&config, limits, grace)? {
                found.push((wanted, config));
            }
        }
        let blocks = |config: &Value| {
            let from = topology_of(config);
            let mut left = migrations.iter().filter(|migration| migration.since > from);
            left.any(|migration| migration.needs_no_older_controller)
        };
        let (oldest, older) = if found.iter().any(|(_, config)| blocks(config)) {
            self.older_controllers(newest).await?
        } else {
            (newest, Vec::new())
        };
        let plans = found
            .iter()
            .filter_map(|(wanted, config)| plan(wanted, config, migrations, oldest))
            .collect();
        Ok((plans, older))
    }

    /// The configuration that this build would give a stream of the mesh; `None` for one that is not Baton's.
    fn wanted(&self, found: &Value, limits: Limits, grace: Option<Duration>) -> Result<Option<Value>, Error> {
        let name = found.get("name").and_then(Value::as_str).unwrap_or_default();
        let base = self.base_streams(limits).into_iter().find(|config| config.name == name);
        let wanted = match (base, self.agent_of_work_stream(name)) {
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
        #[derive(Deserialize)]
        struct Info {
            name: String,
            config: Value,
        }
        let what = format!("CONSUMER.LIST.{}", self.subjects().ledger_stream());
        let consumers: Vec<Info> = self.ask_list(&what, "consumers").await??;
        let (mut oldest, mut older) = (newest, Vec::new());
        for Info { name, config } in consumers {
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

/// The metadata of what this build makes.
pub(crate) fn mark() -> std::collections::HashMap<String, String> {
    [(KEY_TOPOLOGY.to_owned(), TOPOLOGY.to_string())].into()
}
