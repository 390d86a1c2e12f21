//! Which version of an agent takes new work, and what workers say of themselves.

use crate::names::{AgentName, AgentVersion};
use crate::protocol::ProtocolRange;
use crate::timestamp::Timestamp;
use crate::wire::wire_object;

wire_object! {
    /// The route of one agent, kept under the agent's name in the routes bucket; only controllers write it.
    pub struct Route {
        /// The agent.
        req agent: AgentName,
        /// The version that takes new work.
        req active: AgentVersion,
        /// When this was written.
        req updated_at: Timestamp,
        /// Who or what decided it.
        req updated_by: String,
    }
}

wire_object! {
    /// What a worker says of its agent version: in its heartbeats, and kept in the agents bucket.
    pub struct Declaration {
        /// The agent.
        req agent: AgentName,
        /// The version.
        req version: AgentVersion,
        /// The worker process that says so.
        req instance: String,
        /// What the agent can do.
        def capabilities: Vec<String>,
        /// The kinds that it takes; empty for all.
        def kinds: Vec<String>,
        /// The protocol versions that it reads.
        def protocol: ProtocolRange,
        /// How many hops it runs at a time.
        def concurrency: u32,
        /// How many it runs now.
        def busy: u32,
        /// Whether it is stopping.
        def stopping: bool,
        /// When it said so.
        req at: Timestamp,
    }
}
