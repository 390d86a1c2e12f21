//! The processes of the upgrade: two controllers, and the agents by version.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::sync::watch;

use crate::agents::{Part, ROLES};
use crate::error::DemoError;
use crate::harness::Harness;
use crate::player::Player;

/// The number of controllers.
const CONTROLLERS: usize = 2;
/// How long a worker may take to stop.
const STOP: Duration = Duration::from_secs(10);

/// The workers, by name.
#[derive(Debug)]
pub(super) struct Agents<'a> {
    harness: &'a Harness,
    agents: BTreeMap<String, Player>,
}

impl<'a> Agents<'a> {
    /// Starts the agents, all in version `from`.
    pub(super) fn start(harness: &'a Harness, from: &str) -> Result<Self, DemoError> {
        let mut agents = Self {
            harness,
            agents: BTreeMap::new(),
        };
        for role in ROLES {
            agents.join(&Part::light(role, from))?;
        }
        Ok(agents)
    }

    /// Starts another agent.
    pub(super) fn join(&mut self, part: &Part) -> Result<(), DemoError> {
        self.agents.insert(part.name(), self.harness.agent(part)?);
        Ok(())
    }

    /// Stops an agent gracefully.
    pub(super) async fn leave(&mut self, part: &Part) -> Result<(), DemoError> {
        let Some(mut child) = self.agents.remove(&part.name()) else {
            return Ok(());
        };
        let failed = |error| DemoError::io(format!("{} cannot be stopped", part.name()), error);
        // `terminate` blocks its thread until the process is gone.
        match tokio::task::spawn_blocking(move || child.terminate(STOP)).await {
            Ok(stopped) => stopped.map(drop).map_err(failed),
            Err(source) => Err(DemoError::Task {
                what: format!("{} cannot be stopped", part.name()),
                source,
            }),
        }
    }
}

/// The controllers, which the scenario kills from time to time.
#[derive(Debug)]
pub(super) struct Controllers<'a> {
    harness: &'a Harness,
    living: Vec<Player>,
}

impl<'a> Controllers<'a> {
    pub(super) fn start(harness: &'a Harness) -> Result<Self, DemoError> {
        let mut controllers = Self {
            harness,
            living: Vec::new(),
        };
        controllers.replace()?;
        Ok(controllers)
    }

    /// Kills and replaces all controllers after each of these waits, the first from the start of the rollout; then
    /// waits forever.
    pub(super) async fn suffer(
        &mut self,
        after: &[Duration],
        mut begun: watch::Receiver<bool>,
        kills: &mut usize,
        say: &(dyn Fn(&str) + Sync),
    ) -> Result<(), DemoError> {
        if begun.wait_for(|begun| *begun).await.is_err() {
            return std::future::pending().await;
        }
        for wait in after {
            tokio::time::sleep(*wait).await;
            self.replace()?;
            *kills += 1;
            say(&format!(
                "all {CONTROLLERS} controllers killed with SIGKILL, as many new ones started"
            ));
        }
        std::future::pending().await
    }

    fn replace(&mut self) -> Result<(), DemoError> {
        for old in &mut self.living {
            old.kill()
                .map_err(|error| DemoError::io("a controller cannot be killed", error))?;
        }
        self.living.clear();
        for n in 1..=CONTROLLERS {
            self.living.push(self.harness.controller(&format!("controller-{n}"))?);
        }
        Ok(())
    }
}
