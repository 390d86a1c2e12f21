//! Judges an agent of any language by the protocol.
//!
//! The judge plays the mesh: it writes the records and tickets of intents whose payloads tell the agent what to do
//! (`docs/conformance.md`), plays accidents, and reads what the agent wrote, as bytes. It uses none of the runtime's
//! acts: where it plays another worker, it writes that worker's records itself.

mod acks;
mod court;
mod error;
mod record;
mod report;
mod rules;
mod script;
mod stage;

pub use court::Options;
pub use error::ConformanceError;
pub use report::{Report, Verdict};
pub use stage::Stage;

use baton_envelope::AgentName;
use baton_jetstream::Mesh;

/// The names of the rules for agents, in the order in which they are tried.
pub fn agent_rules() -> Vec<&'static str> {
    rules::names().collect()
}

/// Judges the agent of this name, whose worker runs or is about to be started against this mesh. No controller runs on
/// it: the judge writes the routes. `say` hears each verdict as it is found.
///
/// # Errors
/// When the mesh holds anything, does not answer, or no worker of the agent appears in time.
pub async fn judge_agent(
    mesh: &Mesh,
    agent: &AgentName,
    options: &Options,
    say: &(dyn Fn(&Verdict) + Sync),
) -> Result<Report, ConformanceError> {
    let court = court::Court::open(mesh, agent, options).await?;
    rules::judge(&court, say).await
}
