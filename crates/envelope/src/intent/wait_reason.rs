//! What a waiting intent waits for.

use crate::base::wire_enum::wire_enum;

wire_enum! {
    /// What a waiting intent waits for.
    pub enum WaitReason {
        /// A person's decision.
        Human = "human",
        /// Another agent.
        Agent = "agent",
        /// A point in time.
        Time = "time",
        /// A tool outside.
        Tool = "tool",
        /// Its child intents.
        Children = "children",
    }
}
