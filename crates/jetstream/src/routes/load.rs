//! How loaded each version is, as the leading controller tells everyone who follows the routes.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use baton_envelope::control::LoadReport;
use futures::StreamExt as _;
use tokio::time::Instant;

use crate::error::Error;
use crate::server::{ControllerMesh, Mesh};

/// How long a report counts. It is told every second; after this time nobody tells it any more.
const CURRENT: Duration = Duration::from_secs(10);
/// How long the first report is waited for; the leader tells two a second.
const FIRST: Duration = Duration::from_millis(1500);

impl Mesh {
    /// The last report that came while routes were followed; `None` when it is older than 10 s, or none came. A process
    /// that follows routes listens to reports from the first call on.
    pub fn load(&self) -> Option<Arc<LoadReport>> {
        self.load_cache().wanted.notify_one();
        // By this process's own clock, not by the report's: the two may differ.
        let last = self.load_cache().last.read().ok()?;
        let (report, heard) = last.as_ref()?;
        (heard.elapsed() < CURRENT).then(|| Arc::clone(report))
    }

    /// The last report. The first one that a follower needs is waited for, once: it has not listened before.
    pub(crate) async fn load_when_needed(&self) -> Option<Arc<LoadReport>> {
        let report = self.load();
        let waits = report.is_none() && self.routes().is_followed();
        if !waits || self.load_cache().has_waited.swap(true, Ordering::AcqRel) {
            return report;
        }
        if let Err(error) = self.receive_load(FIRST).await {
            tracing::debug!(%error, "load reports cannot be heard");
        }
        self.load()
    }

    /// Waits for one report, for a process that does not stay long enough to follow them. When none comes within `max`,
    /// nobody leads, and all count as equally loaded.
    ///
    /// # Errors
    /// When the connection was closed.
    pub async fn receive_load(&self, max: Duration) -> Result<(), Error> {
        let subscribed = self.client().subscribe(self.subjects().load()).await;
        let mut reports = subscribed.map_err(|error| Error::api("subscribe", error))?;
        let heard = async {
            while let Some(message) = reports.next().await {
                if let Ok(report) = serde_json::from_slice(&message.payload) {
                    self.learn_load(report);
                    return;
                }
            }
        };
        if tokio::time::timeout(max, heard).await.is_err() {
            tracing::debug!("nobody tells how loaded the agents are");
        }
        Ok(())
    }

    /// Keeps the last report, for as long as it is polled, once somebody has asked for it.
    pub(crate) async fn follow_load(&self) {
        self.load_cache().wanted.notified().await;
        loop {
            match self.client().subscribe(self.subjects().load()).await {
                Ok(mut reports) => {
                    while let Some(message) = reports.next().await {
                        match serde_json::from_slice(&message.payload) {
                            Ok(report) => self.learn_load(report),
                            Err(error) => tracing::warn!(%error, "a load report cannot be read"),
                        }
                    }
                }
                Err(error) => tracing::debug!(%error, "load reports cannot be followed yet"),
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    }

    fn learn_load(&self, report: LoadReport) {
        if let Ok(mut last) = self.load_cache().last.write() {
            *last = Some((Arc::new(report), Instant::now()));
        }
    }
}

impl ControllerMesh {
    /// Tells everyone who follows the routes how loaded the versions are; for the leading controller. Core NATS: nobody
    /// may be listening.
    ///
    /// # Errors
    /// When the connection was closed.
    pub async fn publish_load(&self, report: &LoadReport) -> Result<(), Error> {
        let body = serde_json::to_vec(report).map_err(|error| Error::api("encoding a load report", error))?;
        self.publish_plain(self.subjects().load(), body.into()).await
    }
}
