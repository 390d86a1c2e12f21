//! The three agents of the demo. Each step takes a moment and appends a line to a file, so that the file shows
//! afterwards what really ran, whatever the ledger says.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use baton_agent::{Agent, Fault, Handler, Hop, Outcome, RetryPolicy, shutdown_signal};
use baton_envelope::IntentId;
use baton_jetstream::Mesh;
use serde::{Deserialize, Serialize};

use crate::approval::{EDITOR, Editor};
use crate::context::{CIRCLE, Keeper};
use crate::error::DemoError;
use crate::fanout::{REPORTER, Reporter, SEARCHER, SPLITTER, Searcher, Splitter};
use crate::saga::{CLERK, Clerk, TRAVEL, Travel};

/// The agents, in the order of the handoffs.
pub const ROLES: [&str; 3] = ["research", "code", "qa"];

/// How long a step of the demo works, and how long a light one does.
const WORK: Duration = Duration::from_millis(40);
const LIGHT_WORK: Duration = Duration::from_millis(3);
/// When to retry a light attempt that failed: soon enough for a scenario, and often enough that none parks.
const LIGHT_RETRY: RetryPolicy = RetryPolicy {
    max_attempts: 8,
    unit: Duration::from_millis(100),
    longest: Duration::from_secs(1),
    attempt_timeout: None,
};

/// The agent that a process plays, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// One of [`ROLES`].
    pub role: String,
    /// The version.
    pub version: String,
    /// The percentage of its attempts that fail.
    pub fails: u8,
    /// Whether each hop has one short step, for scenarios with much work.
    pub light: bool,
}

impl Part {
    /// A role in the crash scenario.
    pub(crate) fn of(role: &str) -> Self {
        Self {
            role: role.to_owned(),
            version: "1.0.0".to_owned(),
            fails: 0,
            light: false,
        }
    }

    /// The same role for much work, in a version.
    pub(crate) fn light(role: &str, version: &str) -> Self {
        Self {
            version: version.to_owned(),
            light: true,
            ..Self::of(role)
        }
    }

    /// The name of its process and its log.
    pub(crate) fn name(&self) -> String {
        match self.light {
            true => format!("{}-{}", self.role, self.version),
            false => self.role.clone(),
        }
    }

    /// The arguments of `baton demo-agent` that play the part.
    pub(crate) fn args(&self, effects: &Path) -> Vec<String> {
        let mut args = vec![self.role.clone(), effects.display().to_string()];
        args.extend(["--version".to_owned(), self.version.clone()]);
        args.extend(["--fails".to_owned(), self.fails.to_string()]);
        args.extend(self.light.then(|| "--light".to_owned()));
        args
    }
}

/// The payload that goes from agent to agent.
#[derive(Debug, Serialize, Deserialize)]
struct Feature {
    topic: String,
    #[serde(default)]
    parts: Vec<String>,
}

struct Role {
    steps: &'static [&'static str],
    work: Duration,
    /// The percentage of attempts that fail.
    fails: u8,
    next: Option<&'static str>,
    effects: PathBuf,
    instance: String,
}

impl Handler for Role {
    type Input = Feature;

    async fn handle(&self, hop: &mut Hop, mut feature: Feature) -> Result<Outcome, Fault> {
        let place = format!("{} {}", hop.intent(), hop.number());
        for step in self.steps {
            let made = hop.step(step, || self.work(&place, step, &feature.topic)).await?;
            feature.parts.push(made);
        }
        // After its steps, so that the next attempt finds them recorded.
        if is_hit(hop.intent(), hop.attempt(), self.fails) {
            return Err(Fault::retry("this build loses its head now and then").with_code("FLAKY"));
        }
        match self.next {
            Some(next) => Outcome::hand_off(next, &feature),
            None => Outcome::complete(&feature),
        }
    }
}

impl Role {
    async fn work(&self, place: &str, step: &str, topic: &str) -> Result<String, Fault> {
        tokio::time::sleep(self.work).await;
        append(&self.effects, &format!("{place} {step} {}", self.instance))?;
        Ok(format!("{step} of {topic}"))
    }
}

/// Leaves a line. One write per line, so that lines of several processes do not mix.
pub(crate) fn append(effects: &Path, line: &str) -> std::io::Result<()> {
    let mut log = std::fs::OpenOptions::new().append(true).create(true).open(effects)?;
    log.write_all(format!("{line}\n").as_bytes())
}

/// Whether an attempt is one of the `fails` percent that fail. It depends on a hash, so the answer is always the same.
fn is_hit(intent: &IntentId, attempt: u32, fails: u8) -> bool {
    let mut hasher = DefaultHasher::new();
    (intent.as_str(), attempt).hash(&mut hasher);
    hasher.finish() % 100 < u64::from(fails)
}

/// Runs one agent of the demo until the process gets a signal to stop.
///
/// # Errors
/// When the role is unknown, or the mesh refuses.
pub async fn run_agent(mesh: &Mesh, part: &Part, effects: &Path) -> Result<(), DemoError> {
    let role = part.role.as_str();
    // The instance becomes a subject token, so it has no dots.
    let instance = format!("{}-{}", part.name().replace('.', "_"), std::process::id());
    if role == EDITOR {
        let effects = effects.to_owned();
        let handler = Editor {
            effects,
            instance: instance.clone(),
        };
        let agent = Agent::builder(role, &part.version)?.handler(handler).instance(instance);
        agent.bind(mesh).await?.run_until(shutdown_signal()).await?;
        return Ok(());
    }
    let (log, name) = (effects.to_owned(), instance.clone());
    let builder = || Ok::<_, DemoError>(Agent::builder(role, &part.version)?.instance(instance.clone()));
    let of_scenario = match role {
        SPLITTER => Some(builder()?.handler(Splitter {
            effects: log,
            instance: name,
        })),
        SEARCHER => Some(builder()?.handler(Searcher {
            effects: log,
            instance: name,
        })),
        REPORTER => Some(builder()?.handler(Reporter)),
        _ if CIRCLE.contains(&role) => Some(builder()?.handler(Keeper {
            effects: log,
            instance: name,
        })),
        _ => None,
    };
    if let Some(agent) = of_scenario {
        agent.bind(mesh).await?.run_until(shutdown_signal()).await?;
        return Ok(());
    }
    if role == TRAVEL || role == CLERK {
        let builder = Agent::builder(role, &part.version)?.instance(instance.clone());
        let effects = effects.to_owned();
        let agent = match role == TRAVEL {
            true => builder.handler(Travel { effects, instance }),
            false => builder.handler(Clerk { effects, instance }),
        };
        agent.bind(mesh).await?.run_until(shutdown_signal()).await?;
        return Ok(());
    }
    let (steps, next): (&[&str], _) = match (role, part.light) {
        ("research", _) => (&["gather"], Some("code")),
        ("code", false) => (&["plan", "write", "compile"], Some("qa")),
        ("code", true) => (&["write"], Some("qa")),
        ("qa", _) => (&["test"], None),
        (other, _) => return Err(DemoError::NoRole(other.to_owned())),
    };
    let handler = Role {
        steps,
        work: if part.light { LIGHT_WORK } else { WORK },
        fails: part.fails,
        next,
        effects: effects.to_owned(),
        instance: instance.clone(),
    };
    let mut agent = Agent::builder(role, &part.version)?.handler(handler).instance(instance);
    if part.light {
        agent = agent.retry(LIGHT_RETRY);
    }
    agent.bind(mesh).await?.run_until(shutdown_signal()).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn about_so_many_attempts_fail_and_always_the_same() {
        let hits = |fails| {
            let hit = |n: u32| is_hit(&format!("intent-{n}").parse().expect("id"), 1, fails);
            (0..2_000).filter(|n| hit(*n)).count()
        };
        assert_eq!((hits(0), hits(100)), (0, 2_000));
        assert!((320..=480).contains(&hits(20)), "{}", hits(20));
        assert_eq!(hits(20), hits(20));
    }
}
