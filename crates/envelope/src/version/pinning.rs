//! How long the choice of a version holds for an intent.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// By which routes the hops of an intent find the versions of their agents.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Pinning {
    /// Each hop takes the route of its moment; an agent that had a turn before keeps its version.
    #[default]
    Hop,
    /// All hops take the routes as they were when the intent was submitted.
    Chain,
    /// A way of a newer minor version, kept as it was named.
    Unknown(String),
}

impl Pinning {
    /// The name on the wire.
    pub fn name(&self) -> &str {
        match self {
            Self::Hop => "hop",
            Self::Chain => "chain",
            Self::Unknown(name) => name,
        }
    }
}

impl Serialize for Pinning {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl<'de> Deserialize<'de> for Pinning {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        Ok(match name.as_str() {
            "hop" => Self::Hop,
            "chain" => Self::Chain,
            _ => Self::Unknown(name),
        })
    }
}
