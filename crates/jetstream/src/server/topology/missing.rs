//! What is missing on the server: what can be made again, and the ledger, which cannot.
//!
//! A ledger that existed holds the only record of every open intent. A new one in its place would look healthy, and nobody
//! would miss what is gone. So it is made only where nothing shows that there was one, or when a person says so.

use std::collections::HashSet;

use async_nats::jetstream::stream::Config;
use baton_envelope::Route;

use crate::error::{Error, STREAM_NOT_FOUND};
use crate::server::limits::Limits;
use crate::server::mesh::Mesh;
use crate::server::roles::ControllerMesh;

/// What one look at the streams of the mesh found, and did.
#[derive(Debug, Default)]
pub struct Upkept {
    /// The streams that were missing and are there again.
    pub made: Vec<String>,
    /// The ledger is lost: a person has to decide.
    pub ledger_lost: Option<Error>,
}

impl Mesh {
    /// Creates those of the streams that are missing, and tells which. A lost ledger is left alone.
    pub(super) async fn make_missing(&self, wanted: Vec<Config>) -> Result<Vec<String>, Error> {
        let ledger = self.subjects().ledger_stream();
        let (of_ledger, rest): (Vec<_>, Vec<_>) = wanted.into_iter().partition(|config| config.name == ledger);
        let mut made = Vec::new();
        // The ledger comes first. So whoever finds what others write, and no ledger, knows that there was one.
        let mut lost = None;
        for config in of_ledger {
            if !self.is_missing(&ledger).await? {
                self.see_ledger();
            } else if let Some(error) = self.lost_ledger().await? {
                lost = Some(error);
            } else if self.ensure_stream(config).await? {
                made.push(ledger.clone());
                self.see_ledger();
            }
        }
        for config in rest {
            let name = config.name.clone();
            if self.ensure_stream(config).await? {
                made.push(name);
            }
        }
        lost.map_or(Ok(made), Err)
    }

    /// Creates the ledger where it is missing, even if there was one: what that held is lost for good. Only a person
    /// decides this.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn make_ledger(&self, limits: Limits) -> Result<bool, Error> {
        let ledger = self.subjects().ledger_stream();
        let config = self.base_streams(limits).into_iter().find(|one| one.name == ledger);
        let config = config.ok_or(Error::NoStream(ledger))?;
        self.ensure_stream(config).await
    }

    /// [`Error::LedgerLost`] if the ledger is missing and was there before; `None` where nothing says that it was.
    ///
    /// # Errors
    /// When the server does not answer.
    pub async fn lost_ledger(&self) -> Result<Option<Error>, Error> {
        let s = self.subjects();
        if !self.is_missing(&s.ledger_stream()).await? {
            return Ok(None);
        }
        let lost = |evidence: String| {
            let stream = self.subjects().ledger_stream();
            Ok(Some(Error::LedgerLost { stream, evidence }))
        };
        if self.has_seen_ledger() {
            return lost("this process has used it".to_owned());
        }
        // Whoever wrote there had a ledger first.
        for name in [s.routes_bucket(), s.agents_bucket()].map(|bucket| format!("KV_{bucket}")) {
            match self.stream_end(&name).await {
                Ok(end) if end.last_seq > 0 => return lost(format!("{name} is in use")),
                Ok(_) => {}
                Err(Error::Refused(refusal)) if refusal.code == STREAM_NOT_FOUND => {}
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }

    pub(super) async fn is_missing(&self, stream: &str) -> Result<bool, Error> {
        Ok(self.stream_info::<serde::de::IgnoredAny>(stream).await?.is_none())
    }

    /// The names of all streams of the account.
    pub(crate) async fn stream_names(&self) -> Result<HashSet<String>, Error> {
        let names: Vec<String> = self.ask_list("STREAM.NAMES", "streams").await??;
        Ok(names.into_iter().collect())
    }
}

impl ControllerMesh {
    /// Looks which streams of the mesh are missing, with one request when none is, and makes again what can be: all but
    /// the ledger.
    ///
    /// # Errors
    /// When the server refuses or does not answer.
    pub async fn keep_up(&self, limits: Limits, routes: &[std::sync::Arc<Route>]) -> Result<Upkept, Error> {
        let names = self.stream_names().await?;
        let mut upkept = Upkept::default();
        let mut wanted = self.base_streams(limits);
        wanted.retain(|config| !names.contains(&config.name));
        if names.contains(&self.subjects().ledger_stream()) {
            self.see_ledger();
        }
        for config in wanted {
            match self.make_missing(vec![config]).await {
                Ok(made) => upkept.made.extend(made),
                Err(lost @ Error::LedgerLost { .. }) => upkept.ledger_lost = Some(lost),
                Err(error) => return Err(error),
            }
        }
        for route in routes {
            let stream = self.subjects().work_stream(&route.agent);
            if names.contains(&stream) {
                continue;
            }
            for (version, entry) in &route.versions {
                // A paused version has nothing to deliver, and its consumers would be made unpaused.
                if !entry.state.is_paused() {
                    self.ensure_agent(&route.agent, version, limits.bands).await?;
                }
            }
            self.ensure_stream(self.work_stream_config(&route.agent, limits))
                .await?;
            upkept.made.push(stream);
        }
        Ok(upkept)
    }
}
