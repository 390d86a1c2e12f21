//! What a connection remembers of the mesh beside the routes: the last load report.

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, RwLock};

use baton_envelope::control::LoadReport;
use tokio::sync::Notify;
use tokio::time::Instant;

/// The last report that this process heard, and when.
#[derive(Debug, Default)]
pub(crate) struct LoadCache {
    pub(crate) last: RwLock<Option<(Arc<LoadReport>, Instant)>>,
    /// Wakes the follower that is to listen: reports are large, and most processes have no use for them.
    pub(crate) wanted: Notify,
    /// Whether somebody has waited for the first report.
    pub(crate) has_waited: AtomicBool,
}
