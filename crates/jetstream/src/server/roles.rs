//! What only one kind of process may do, as types of its own: a worker has no [`ControllerMesh`], so it cannot change a
//! route, pause a version or purge a record, whatever somebody writes into it one day.
//!
//! Both begin with what every process may do, the methods of [`Mesh`]: read the ledger, submit, advance an intent that
//! one holds, follow routes, ask a controller. The server's grants say the same by subject.

use std::ops::Deref;

use super::mesh::Mesh;

/// A mesh as a worker sees it: it also announces itself, pulls tickets and answers replays. Cheap to clone.
#[derive(Debug, Clone)]
pub struct WorkerMesh(Mesh);

/// A mesh as a controller sees it: it also routes, decides on versions, pauses them, sweeps, moves work and archives.
/// Cheap to clone.
#[derive(Debug, Clone)]
pub struct ControllerMesh(Mesh);

impl WorkerMesh {
    /// This mesh, for a worker.
    pub fn of(mesh: &Mesh) -> Self {
        Self(mesh.clone())
    }
}

impl ControllerMesh {
    /// This mesh, for a controller.
    pub fn of(mesh: &Mesh) -> Self {
        Self(mesh.clone())
    }
}

impl From<Mesh> for ControllerMesh {
    fn from(mesh: Mesh) -> Self {
        Self(mesh)
    }
}

impl Deref for WorkerMesh {
    type Target = Mesh;

    fn deref(&self) -> &Mesh {
        &self.0
    }
}

impl Deref for ControllerMesh {
    type Target = Mesh;

    fn deref(&self) -> &Mesh {
        &self.0
    }
}
