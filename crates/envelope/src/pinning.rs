//! How an intent keeps to versions.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// How an intent keeps to versions.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Pinning {
    /// Each hop takes the route of its moment; an agent met again keeps its version while that is alive.
    #[default]
    Hop,
    /// The routes as they were when the intent was submitted, for all hops.
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
