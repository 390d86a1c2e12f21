//! The reasons for an intent to wait.

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
        /// An external tool.
        Tool = "tool",
        /// Its child intents.
        Children = "children",
        /// A signal.
        Signal = "signal",
        /// Its turn: in the order of its key, or among the submitters of its agent.
        Order = "order",
    }
}
