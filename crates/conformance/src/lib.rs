//! Judges an agent or a submitter of any language by the protocol.
//!
//! For an agent the judge plays the mesh: it writes the records and tickets of intents whose payloads tell the agent what to do
//! (`docs/conformance.md`), plays accidents, and reads what the agent wrote, as bytes. It uses none of the runtime's
//! acts: where it plays another worker, it writes that worker's records itself. For a submitter it plays the router, the
//! agent and their accidents, and reads what arrives.

mod acks;
mod children;
mod commands;
mod court;
mod error;
mod fault;
mod hands;
mod record;
mod report;
mod routes;
mod rules;
mod script;
mod shares;
mod stage;
mod submitter;

pub use court::Options;
pub use error::ConformanceError;
pub use report::{Report, SubmitterReport, Verdict};
pub use stage::Stage;
pub use submitter::{NOT_HAD, SubmitterOptions, judge_submitter, submitter_rules};

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
