//! Building an agent.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use baton_envelope::people::Approval;
use baton_envelope::{
    AgentName, AgentVersion, BadName, BadVersion, Bands, Json, OnExhausted, Policy, ProtocolRange, SpaceName, ViewSize,
};
use baton_jetstream::Error;

use crate::handler::{AnyHandler, Handler};
use crate::hop::Groups;
use crate::retry::RetryPolicy;

/// Why an agent cannot be built.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// The name may not become a subject token.
    #[error(transparent)]
    Name(#[from] BadName),
    /// The version is not a full semantic version.
    #[error(transparent)]
    Version(#[from] BadVersion),
    /// The instance cannot become a subject token: nobody would hear its heartbeats.
    #[error("instance \"{0}\" may not be empty, and may hold neither white space nor any of . * >")]
    Instance(String),
    /// No handler was given.
    #[error("agent \"{0}\" has no handler")]
    NoHandler(AgentName),
    /// The mesh refused or did not answer.
    #[error("agent cannot be bound to the mesh")]
    Mesh(#[from] Error),
}

/// The entry point for building an agent: [`Agent::builder`].
#[derive(Debug)]
pub struct Agent;

impl Agent {
    /// Starts building an agent with this name and version.
    ///
    /// # Errors
    /// When the name or the version is not valid.
    pub fn builder(name: &str, version: &str) -> Result<AgentBuilder, BuildError> {
        Ok(AgentBuilder {
            name: name.parse()?,
            version: version.parse()?,
            handler: None,
            capabilities: Vec::new(),
            channels: Vec::new(),
            spaces: Vec::new(),
            kinds: Vec::new(),
            schemas: BTreeMap::new(),
            protocol: ProtocolRange::of_build(),
            concurrency: 8,
            view_size: ViewSize::default(),
            drain_timeout: Duration::from_secs(20),
            retry: RetryPolicy::default(),
            compensates: false,
            bands: Bands::default(),
            instance: None,
            groups: BTreeMap::new(),
            gate: None,
        })
    }
}

/// The settings of an agent.
pub struct AgentBuilder {
    pub(crate) name: AgentName,
    pub(crate) version: AgentVersion,
    pub(crate) handler: Option<Arc<dyn AnyHandler>>,
    pub(crate) capabilities: Vec<String>,
    pub(crate) channels: Vec<String>,
    pub(crate) spaces: Vec<SpaceName>,
    pub(crate) kinds: Vec<String>,
    pub(crate) schemas: BTreeMap<String, Json>,
    pub(crate) protocol: ProtocolRange,
    pub(crate) concurrency: u32,
    pub(crate) view_size: ViewSize,
    pub(crate) drain_timeout: Duration,
    pub(crate) retry: RetryPolicy,
    pub(crate) compensates: bool,
    pub(crate) bands: Bands,
    pub(crate) instance: Option<String>,
    pub(crate) groups: Groups,
    pub(crate) gate: Option<Approval>,
}

impl std::fmt::Debug for AgentBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AgentBuilder")
            .field("name", &self.name)
            .field("version", &self.version)
            .finish_non_exhaustive()
    }
}

impl AgentBuilder {
    /// The code that the agent runs; required.
    #[must_use]
    pub fn handler(mut self, handler: impl Handler) -> Self {
        self.handler = Some(Arc::new(handler));
        self
    }

    /// Something that this agent can do.
    #[must_use]
    pub fn capability(mut self, capability: impl Into<String>) -> Self {
        self.capabilities.push(capability.into());
        self
    }

    /// A kind of work that this agent takes; none means all.
    #[must_use]
    pub fn kind(mut self, kind: impl Into<String>) -> Self {
        self.kinds.push(kind.into());
        self
    }

    /// A channel that this agent subscribes to: it gets a copy of each message, as work of its own.
    #[must_use]
    pub fn channel(mut self, channel: impl Into<String>) -> Self {
        self.channels.push(channel.into());
        self
    }

    /// A space whose pinned memories are in the view of each hop that looks at its view ([`Hop::context`](crate::Hop::context)).
    /// The tree takes them over, as they are then; the views after it have them, too.
    #[must_use]
    pub fn space(mut self, space: SpaceName) -> Self {
        self.spaces.push(space);
        self
    }

    /// A kind of work that this agent takes, with the JSON schema of its payload. Baton shows the schema to people and
    /// does not enforce it.
    #[must_use]
    pub fn kind_with_schema(mut self, kind: impl Into<String>, schema: Json) -> Self {
        let kind = kind.into();
        self.schemas.insert(kind.clone(), schema);
        self.kinds.push(kind);
        self
    }

    /// The versions of the protocol that this agent reads, and therefore writes; by default those that this build of
    /// Baton knows.
    #[must_use]
    pub fn protocol(mut self, range: ProtocolRange) -> Self {
        self.protocol = range;
        self
    }

    /// The most tokens that a view of this agent has, as its model counts them; without this what a handoff asks for counts.
    #[must_use]
    pub const fn view_tokens(mut self, tokens: u64) -> Self {
        self.view_size.view_tokens = Some(tokens);
        self
    }

    /// How many thousandths of a token of `o200k_base` one of this agent's model is, for a model with another vocabulary: 1,600
    /// leaves room for one that has more tokens for the same text. By default 1,000.
    #[must_use]
    pub const fn token_factor(mut self, thousandths: u32) -> Self {
        self.view_size.factor = Some(thousandths);
        self
    }

    /// How many hops run at once, at least 1; default 8.
    #[must_use]
    pub fn concurrency(mut self, slots: u32) -> Self {
        self.concurrency = slots.max(1);
        self
    }

    /// How long running hops may take to finish after the worker was told to stop; default 20 s.
    #[must_use]
    pub fn drain_timeout(mut self, timeout: Duration) -> Self {
        self.drain_timeout = timeout;
        self
    }

    /// How often and when to retry a failed attempt, and how long one may run.
    #[must_use]
    pub fn retry(mut self, policy: RetryPolicy) -> Self {
        self.retry = policy;
        self
    }

    /// What an intent did is undone when its attempts at this agent are used up or one of them fails for good, and then it fails
    /// ([`Hop::step_undoable`](crate::Hop::step_undoable)). An operator may say otherwise (`baton agents policy`).
    #[must_use]
    pub fn compensates(mut self) -> Self {
        self.compensates = true;
        self
    }

    /// What workers declare of the failure policy.
    pub(crate) fn declared_policy(&self) -> Option<Policy> {
        let declared = self.retry.declared();
        match self.compensates {
            true => Some(self.compensating(declared.unwrap_or_default())),
            false => declared,
        }
    }

    /// The failure policy where no operator has set another.
    pub(crate) fn own_policy(&self) -> Policy {
        self.compensating(self.retry.policy())
    }

    fn compensating(&self, policy: Policy) -> Policy {
        let on_exhausted = self.compensates.then_some(OnExhausted::Compensate);
        Policy { on_exhausted, ..policy }
    }

    /// How priorities are grouped; the same for every worker of the agent.
    #[must_use]
    pub fn bands(mut self, bands: Bands) -> Self {
        self.bands = bands;
        self
    }

    /// The id of this worker process; by default a new one for each start. It becomes a token of subjects, so it may
    /// hold neither white space nor any of `.`, `*`, `>`.
    #[must_use]
    pub fn instance(mut self, instance: impl Into<String>) -> Self {
        self.instance = Some(instance.into());
        self
    }

    /// A group of people that an approval of this agent may name as `group:NAME`. Names that no person can have are left out.
    #[must_use]
    pub fn group<P: ToString>(mut self, name: impl Into<String>, people: impl IntoIterator<Item = P>) -> Self {
        let people = people.into_iter().filter_map(|person| person.to_string().parse().ok());
        self.groups.insert(name.into(), people.collect());
        self
    }

    /// Asks people before each hop of this agent begins; one that they do not let begin ends as `rejected` with
    /// `NOT_APPROVED`. An intent that has a gate of its own for this agent asks as that says.
    #[must_use]
    pub fn gate(mut self, approval: Approval) -> Self {
        self.gate = Some(approval);
        self
    }
}
