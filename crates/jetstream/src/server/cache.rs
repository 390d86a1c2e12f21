//! What a connection remembers of the mesh beside the routes: the last load report.

use std::sync::{Arc, RwLock};

use baton_envelope::control::LoadReport;
use tokio::time::Instant;

/// The last report that this process heard, and when.
#[derive(Debug, Default)]
pub(crate) struct LoadBoard {
    pub(crate) last: RwLock<Option<(Arc<LoadReport>, Instant)>>,
}
