//! Keys of a signed mesh, in files as an operator would have them.
#![expect(clippy::expect_used, reason = "test support: a failure here is a test failure")]

use std::fmt::Write as _;
use std::path::PathBuf;

use baton_envelope::{Link, SecretKey};
use tempfile::TempDir;

/// Files with the keys of a controller, a client and some agents, and the file that trusts them. Removed on drop.
#[derive(Debug)]
pub struct Keys {
    folder: TempDir,
}

impl Keys {
    /// Writes them.
    pub fn of_agents(agents: &[&str]) -> Self {
        let keys = Self {
            folder: tempfile::tempdir().expect("a folder"),
        };
        let mut trust = String::new();
        let roles = [
            ("controller", "controller"),
            ("client", "client"),
            ("operator", "operator"),
        ];
        for (name, role) in roles.into_iter().chain(agents.iter().map(|agent| (*agent, "worker"))) {
            let key = Self::secret(name);
            std::fs::write(keys.file(name), key.seed()).expect("a key");
            writeln!(trust, "[[grant]]\nkey = \"{}\"\nrole = \"{role}\"", key.public()).expect("text");
            if role == "worker" {
                writeln!(trust, "agent = \"{name}\"").expect("text");
            }
        }
        std::fs::write(keys.trust(), trust).expect("the trusted keys");
        keys
    }

    /// The key of somebody; the same each time.
    pub fn secret(name: &str) -> SecretKey {
        SecretKey::of(*Link::of_bytes(name.as_bytes()).bytes())
    }

    /// The file with the key of an agent, of `controller`, of `operator` or of `client`.
    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(format!("{name}.key"))
    }

    /// The file with the trusted keys.
    pub fn trust(&self) -> PathBuf {
        self.folder.path().join("trust.toml")
    }
}
