//! `[security]`: whether accounts keep the roles of the mesh apart.

use serde::{Deserialize, Serialize};

/// `[security]`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct SecurityConfig {
    /// Whether controllers take who asks for a change from the server alone.
    pub(crate) secured: bool,
}
