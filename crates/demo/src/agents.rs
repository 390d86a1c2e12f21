//! The three agents of the demo. What they do takes a moment and leaves a line in a file, so that it can be seen
//! afterwards what really ran, whatever the ledger says.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use baton_agent::{Agent, Fault, Handler, Hop, Outcome, shutdown_signal};
use baton_jetstream::Mesh;
use serde::{Deserialize, Serialize};

use crate::error::DemoError;

/// The agents, in the order in which they hand on.
pub const ROLES: [&str; 3] = ["research", "code", "qa"];

/// How long one step of the demo works.
const WORK: Duration = Duration::from_millis(40);

/// What goes from agent to agent.
#[derive(Debug, Serialize, Deserialize)]
struct Feature {
    topic: String,
    #[serde(default)]
    parts: Vec<String>,
}

struct Role {
    steps: &'static [&'static str],
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
        match self.next {
            Some(next) => Outcome::hand_off(next, &feature),
            None => Outcome::complete(&feature),
        }
    }
}

impl Role {
    async fn work(&self, place: &str, step: &str, topic: &str) -> Result<String, Fault> {
        tokio::time::sleep(WORK).await;
        let mut log = std::fs::OpenOptions::new()
            .append(true)
            .create(true)
            .open(&self.effects)?;
        // One write of one line: lines of several processes do not mix.
        log.write_all(format!("{place} {step} {}\n", self.instance).as_bytes())?;
        Ok(format!("{step} of {topic}"))
    }
}

/// Runs one agent of the demo until it is told to stop.
///
/// # Errors
/// When there is no such role, or the mesh refuses.
pub async fn run_agent(mesh: &Mesh, role: &str, effects: &Path) -> Result<(), DemoError> {
    let (steps, next): (&[&str], _) = match role {
        "research" => (&["gather"], Some("code")),
        "code" => (&["plan", "write", "compile"], Some("qa")),
        "qa" => (&["test"], None),
        other => return Err(DemoError::NoRole(other.to_owned())),
    };
    let instance = format!("{role}-{}", std::process::id());
    let handler = Role {
        steps,
        next,
        effects: effects.to_owned(),
        instance: instance.clone(),
    };
    let worker = Agent::builder(role, "1.0.0")?
        .handler(handler)
        .instance(instance)
        .bind(mesh)
        .await?;
    worker.run_until(shutdown_signal()).await?;
    Ok(())
}
