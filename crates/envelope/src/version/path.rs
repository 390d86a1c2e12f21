//! The path that an intent took.

use crate::base::names::{AgentName, AgentVersion};
use crate::base::wire::wire_object;

wire_object! {
    /// One hop of the path that an intent took.
    pub struct PathEntry {
        /// The agent.
        req agent: AgentName,
        /// The version.
        req version: AgentVersion,
    }
}
