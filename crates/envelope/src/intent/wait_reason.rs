//! What a waiting intent waits for.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// What a waiting intent waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WaitReason {
    /// A person's decision.
    Human,
    /// Another agent.
    Agent,
    /// A point in time.
    Time,
    /// A tool outside.
    Tool,
    /// Its child intents.
    Children,
    /// A reason of a newer minor version.
    Unknown(String),
}

impl WaitReason {
    /// The name on the wire.
    pub fn name(&self) -> &str {
        match self {
            Self::Human => "human",
            Self::Agent => "agent",
            Self::Time => "time",
            Self::Tool => "tool",
            Self::Children => "children",
            Self::Unknown(name) => name,
        }
    }
}

impl Serialize for WaitReason {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl<'de> Deserialize<'de> for WaitReason {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        Ok(match name.as_str() {
            "human" => Self::Human,
            "agent" => Self::Agent,
            "time" => Self::Time,
            "tool" => Self::Tool,
            "children" => Self::Children,
            _ => Self::Unknown(name),
        })
    }
}
