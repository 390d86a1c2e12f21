//! Reads and updates the index of the archive for the rest of the controller.

use baton_envelope::{AgentName, IntentId, Timestamp};
use baton_jetstream::Head;

use crate::projection::tables::archive::{self, Closed, Handled, Life, Standing};
use crate::projection::{Error, Projection};

impl Projection {
    /// The archive sequences of an id's bundles, newest first. Bundles of other ids may be among them.
    pub(crate) async fn find_archived(&self, intent: &IntentId) -> Result<Vec<u64>, Error> {
        let intent = intent.clone();
        self.ask(move |db| archive::find(db, &intent)).await
    }

    /// Whether a closed intent of this id is known. A no holds where nothing was archived while [`Projection::archive_caught_up`] was
    /// waited for: what leaves the ledger is in the archive before.
    pub(crate) async fn is_closed_known(&self, intent: &IntentId) -> Result<bool, Error> {
        let intent = intent.clone();
        self.ask(move |db| archive::is_known(db, &intent)).await
    }

    /// Which of these lives the archive seems to hold: their indices, with the archive sequences.
    pub(crate) async fn returned(&self, lives: Vec<Life>) -> Result<Vec<(usize, u64)>, Error> {
        self.ask(move |db| archive::returned(db, &lives)).await
    }

    /// A page of the archive, newest first, and how many bundles match in total.
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

    /// How much is archived, and how much waits.
    pub(crate) async fn archive_standing(&self, due_until: Timestamp) -> Result<Standing, Error> {
        self.ask(move |db| archive::standing(db, due_until)).await
    }

    /// Closed intents to archive.
    pub(crate) async fn due_for_archive(&self, until: Timestamp, limit: usize) -> Result<Vec<Closed>, Error> {
        self.ask(move |db| archive::due(db, until, limit)).await
    }

    /// Archived intents to purge.
    pub(crate) async fn over_in_ledger(
        &self,
        generated: Timestamp,
        chosen: Timestamp,
        limit: usize,
    ) -> Result<Vec<Closed>, Error> {
        self.ask(move |db| archive::over(db, generated, chosen, limit)).await
    }

    /// Records what was done with closed intents.
    pub(crate) async fn handled(&self, done: Vec<Handled>) -> Result<(), Error> {
        let now = self.inner.mesh.now();
        self.change(move |store| store.transact(|db| archive::handled(db, &done, now)))
            .await
    }

    /// Records terminal records that the sweep found in the ledger: after a crash some return without being announced.
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

    /// Forgets the bundles that the archive dropped because of their age.
    pub(crate) async fn prune_archived(&self, first_seq: u64) -> Result<usize, Error> {
        self.ask(move |db| archive::prune(db, first_seq)).await
    }
}
