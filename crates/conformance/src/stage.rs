//! A server for one judgement.

use baton_embedded::{Finder, RunningServer, ServerOptions};
use baton_envelope::Namespace;
use baton_jetstream::{Mesh, Target};
use tempfile::TempDir;

use crate::error::ConformanceError;

/// A server in a temporary folder. The fields are dropped in this order, so that no client outlives the server.
#[derive(Debug)]
pub struct Stage {
    mesh: Mesh,
    server: RunningServer,
    _folder: TempDir,
}

impl Stage {
    /// Starts a server on a free port. `say` hears it when the server has to be fetched first.
    ///
    /// # Errors
    /// When there is no server to start, or it does not start.
    pub async fn open(namespace: Namespace, say: &(dyn Fn(&str) + Sync)) -> Result<Self, ConformanceError> {
        let binary = Finder::from_process().nats_server(&|line| say(line))?;
        let folder = tempfile::Builder::new().prefix("baton-conformance-").tempdir();
        let folder = folder.map_err(|source| ConformanceError::Io {
            what: "a temporary folder cannot be made".to_owned(),
            source,
        })?;
        let server = RunningServer::start(ServerOptions::new(binary.path, folder.path().join("server")))?;
        let target = Target {
            name: "baton conformance".to_owned(),
            // What is judged may write anything, heads that the client cannot read included.
            screened: true,
            namespace,
            ..Target::at(server.url())
        };
        let mesh = target.connect().await?;
        Ok(Self {
            mesh,
            server,
            _folder: folder,
        })
    }

    /// The connection of the judge.
    pub const fn mesh(&self) -> &Mesh {
        &self.mesh
    }

    /// Where the program under judgement connects to.
    pub fn url(&self) -> String {
        self.server.url()
    }

    /// The process of the server, while it runs.
    pub fn pid(&self) -> Option<u32> {
        self.server.pid()
    }
}
