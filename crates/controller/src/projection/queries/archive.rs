//! What the rest of the controller asks of the index of the archive, and tells it.

use baton_envelope::{AgentName, IntentId, Timestamp};
use baton_jetstream::Head;

use crate::projection::tables::archive::{self, Closed, Handled, Life, Standing};
use crate::projection::{Error, Projection};

impl Projection {
    /// Where the bundles of an id stand, the newest first. Other ids may be among them.
    pub(crate) async fn find_archived(&self, intent: &IntentId) -> Result<Vec<u64>, Error> {
        let intent = intent.clone();
        self.ask(move |db| archive::find(db, &intent)).await
    }

    /// Which of these lives the archive seems to hold, and where.
    pub(crate) async fn returned(&self, lives: Vec<Life>) -> Result<Vec<(usize, u64)>, Error> {
        self.ask(move |db| archive::returned(db, &lives)).await
    }

    /// A page of the archive.
    pub(crate) async fn list_archived(
        &self,
        statuses: Vec<String>,
        agent: Option<AgentName>,
        before: u64,
        limit: usize,
    ) -> Result<(u64, Vec<u64>), Error> {
        self.ask(move |db| archive::list(db, &statuses, agent.as_ref(), before, limit))
            .await
    }

    /// How the archive stands.
    pub(crate) async fn archive_standing(&self, due_until: Timestamp) -> Result<Standing, Error> {
        self.ask(move |db| archive::standing(db, due_until)).await
    }

    /// Closed intents that are to be archived.
    pub(crate) async fn due_for_archive(&self, until: Timestamp, limit: usize) -> Result<Vec<Closed>, Error> {
        self.ask(move |db| archive::due(db, until, limit)).await
    }

    /// Archived intents that are to be purged.
    pub(crate) async fn over_in_ledger(
        &self,
        generated: Timestamp,
        chosen: Timestamp,
        limit: usize,
    ) -> Result<Vec<Closed>, Error> {
        self.ask(move |db| archive::over(db, generated, chosen, limit)).await
    }

    /// Takes note of what was done with closed intents.
    pub(crate) async fn handled(&self, done: Vec<Handled>) -> Result<(), Error> {
        let now = self.inner.mesh.now();
        self.change(move |store| store.transact(|db| archive::handled(db, &done, now)))
            .await
    }

    /// Takes note of terminal records that were found in the ledger: those that came back after a crash were not told.
    pub(crate) async fn adopt(&self, heads: Vec<Head>) -> Result<(), Error> {
        self.change(move |store| {
            store.transact(|db| {
                for Head { record, seq, .. } in &heads {
                    archive::adopt(db, &record.intent, *seq, &record.snapshot)?;
                }
                Ok(())
            })
        })
        .await
    }

    /// Forgets bundles that the archive dropped for their age.
    pub(crate) async fn prune_archived(&self, first_seq: u64) -> Result<usize, Error> {
        self.ask(move |db| archive::prune(db, first_seq)).await
    }
}
