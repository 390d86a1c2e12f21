//! Choosing an agent by what it can do.

use baton_envelope::{AgentName, CapabilityCandidate, Choice, IntentId, Picked, pick};

use crate::error::Error;
use crate::mesh::Mesh;

impl Mesh {
    /// The agent that can do all that is needed and is the least loaded, its version, and everyone who was considered,
    /// the best first.
    ///
    /// # Errors
    /// `NoneCapable` with what each agent lacks; or when the routes cannot be read.
    pub async fn choose_capable(
        &self,
        needed: &[String],
        root: &IntentId,
        kind: Option<&str>,
    ) -> Result<(AgentName, Choice, Vec<CapabilityCandidate>), Error> {
        let routes = self.known_routes().await?;
        let report = self.load();
        let load = |agent: &AgentName, version: &_| report.as_ref()?.of(agent, version);
        let Picked { best, candidates } = pick(&routes, needed, root, kind, &load);
        if let Some((agent, choice)) = best {
            return Ok((agent, choice, candidates));
        }
        let reason = if candidates.is_empty() {
            "no agent is known".to_owned()
        } else {
            let each = candidates
                .iter()
                .map(|one| format!("{} {}: {}", one.agent, one.version, one.reason));
            each.collect::<Vec<_>>().join("; ")
        };
        Err(Error::NoneCapable {
            needed: needed.to_vec(),
            reason,
        })
    }
}
