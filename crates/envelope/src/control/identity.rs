//! The question of who one is to the controllers.

use serde::{Deserialize, Serialize};

/// Asks as whom a controller takes whoever asks. Everybody may ask it, so an answer also shows that controllers are there.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct WhoAmI {
    /// Who asks. In a secured mesh a controller puts in here what the server says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
}

/// As whom a controller takes whoever asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdentityView {
    /// Who asked: by the server's word in a secured mesh, else as the question said. `None` where neither says it.
    pub by: Option<String>,
    /// Whether the mesh is secured: who asks is then what the server says, and never what a question says.
    pub secured: bool,
    /// The controller that answered.
    pub controller: String,
}
