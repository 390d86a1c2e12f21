//! `[worker]`: what `baton worker` runs, and how.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::time::Duration;

use baton_agent::RetryPolicy;
use baton_envelope::{AgentName, AgentVersion, PersonName, SpaceName};
use serde::{Deserialize, Serialize};

use super::unset;
use crate::parse::{Range, Span, TokenFactor};

/// `[worker]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct WorkerConfig {
    /// The agent.
    #[serde(with = "unset")]
    pub(crate) agent: Option<AgentName>,
    /// Its version.
    #[serde(with = "unset")]
    pub(crate) version: Option<AgentVersion>,
    /// The command line to run for each hop.
    #[serde(with = "unset")]
    pub(crate) exec: Option<String>,
    /// Whether the program speaks JSON objects.
    pub(crate) json: bool,
    /// Whether the program inherits no variables but `PATH` and those of `pass_env`.
    pub(crate) clean_env: bool,
    /// Variables that the program inherits in any case.
    pub(crate) pass_env: Vec<String>,
    /// What the agent can do.
    pub(crate) capabilities: Vec<String>,
    /// The kinds of work that it takes; none for all.
    pub(crate) kinds: Vec<String>,
    /// The channels that it listens to.
    pub(crate) channels: Vec<String>,
    /// The spaces whose pinned memories are in the views of its hops.
    pub(crate) spaces: Vec<SpaceName>,
    /// The groups of people that an approval of its may name, each with its members.
    pub(crate) groups: BTreeMap<String, Vec<PersonName>>,
    /// The protocol versions that it reads.
    #[serde(with = "unset")]
    pub(crate) protocol: Option<Range>,
    /// The most tokens of a view; 0 for as many as a handoff asks for.
    pub(crate) view_tokens: u64,
    /// How many tokens its model makes of one of `o200k_base`.
    #[serde(with = "unset")]
    pub(crate) token_factor: Option<TokenFactor>,
    /// How many hops run at a time.
    pub(crate) concurrency: NonZeroU32,
    /// How long running hops may finish after the worker was told to stop.
    pub(crate) drain_timeout: Span,
    /// How many attempts a hop gets before it is parked.
    pub(crate) max_attempts: NonZeroU32,
    /// The unit of the backoff.
    pub(crate) backoff_unit: Span,
    /// The longest delay between two attempts.
    pub(crate) backoff_longest: Span,
    /// How long one attempt may run; 0s for as long as it takes.
    pub(crate) attempt_timeout: Span,
}

/// The default of `concurrency`; each hop of `--exec` is a process, so it is the same as an agent in Rust has.
const CONCURRENCY: NonZeroU32 = NonZeroU32::MIN.saturating_add(7);

impl Default for WorkerConfig {
    fn default() -> Self {
        let retry = RetryPolicy::default();
        Self {
            agent: None,
            version: None,
            exec: None,
            json: false,
            clean_env: false,
            pass_env: Vec::new(),
            capabilities: Vec::new(),
            kinds: Vec::new(),
            channels: Vec::new(),
            spaces: Vec::new(),
            groups: BTreeMap::new(),
            protocol: None,
            view_tokens: 0,
            token_factor: None,
            concurrency: CONCURRENCY,
            drain_timeout: Span(Duration::from_secs(20)),
            max_attempts: NonZeroU32::new(retry.max_attempts).unwrap_or(NonZeroU32::MIN),
            backoff_unit: Span(retry.unit),
            backoff_longest: Span(retry.longest),
            attempt_timeout: Span(retry.attempt_timeout.unwrap_or_default()),
        }
    }
}

impl WorkerConfig {
    /// When a failed attempt is tried again.
    pub(crate) fn retry(&self) -> RetryPolicy {
        RetryPolicy {
            max_attempts: self.max_attempts.get(),
            unit: self.backoff_unit.0,
            longest: self.backoff_longest.0,
            attempt_timeout: Some(self.attempt_timeout.0).filter(|timeout| !timeout.is_zero()),
        }
    }
}
