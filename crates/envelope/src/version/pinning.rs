//! How long the choice of a version holds for an intent.

use crate::base::wire_enum::wire_enum;

wire_enum! {
    /// By which routes the hops of an intent find the versions of their agents.
    #[derive(Default)]
    pub enum Pinning {
        /// Each hop takes the route of its moment; an agent that had a turn before keeps its version.
        #[default]
        Hop = "hop",
        /// All hops take the routes as they were when the intent was submitted.
        Chain = "chain",
    }
}
