//! How long the choice of a version holds for an intent.

use crate::base::wire_enum::wire_enum;

wire_enum! {
    /// How the hops of an intent choose the versions of their agents.
    #[derive(Default)]
    pub enum Pinning {
        /// Each hop follows the current route; an agent that had a turn before keeps its version.
        #[default]
        Hop = "hop",
        /// All hops follow the routes as they were when the intent was submitted.
        Chain = "chain",
    }
}
