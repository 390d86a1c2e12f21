//! The books of caps, written with compare-and-set, and what waits for room under one.

use std::time::Duration;

use async_nats::HeaderMap;
use async_nats::header::NATS_EXPECTED_LAST_SUBJECT_SEQUENCE;
use baton_envelope::budget::Amounts;
use baton_envelope::{AgentName, Author, CapBook, IntentId, Snapshot, Status, codes};

use crate::error::Error;
use crate::server::{BUCKET_PATIENCE, ControllerMesh, Published, publish_acked};

/// How often a change is made again when another controller came first.
const TRIES: u32 = 20;
const PAUSE: Duration = Duration::from_millis(5);

/// The first part of the keys.
const KEYS: &str = "cap.";

impl ControllerMesh {
    /// The book of an agent's cap and its revision, by the word of the bucket's leader: an empty one where there is none.
    ///
    /// # Errors
    /// When the bucket cannot be read, or what stands there cannot: then nobody may spend, and nothing is written over it.
    pub async fn cap_book(&self, agent: &AgentName) -> Result<(CapBook, u64), Error> {
        let bucket = self.subjects().control_bucket();
        let request = serde_json::json!({ "last_by_subj": self.cap_subject(agent) });
        let stream = format!("KV_{bucket}");
        let empty = || CapBook::new(agent.clone());
        let Some(stored) = self.leader_get_within(&stream, &request, BUCKET_PATIENCE).await? else {
            return Ok((empty(), 0));
        };
        if stored.is_removal() {
            return Ok((empty(), stored.seq));
        }
        let book = serde_json::from_slice::<CapBook>(&stored.body);
        let book = book.map_err(|error| Error::api(format!("reading what {agent} has spent today"), error))?;
        Ok((book, stored.seq))
    }

    /// Writes what `change` makes of the book of an agent's cap. It says whether it has changed anything, and what comes of
    /// it, and is called again on the newer book when another controller wrote at the same moment.
    ///
    /// # Errors
    /// When the bucket cannot be read or written.
    pub async fn change_cap_book<T: Send>(
        &self,
        agent: &AgentName,
        change: impl Fn(&mut CapBook) -> (bool, T) + Send + Sync,
    ) -> Result<(CapBook, T), Error> {
        for turn in 0..TRIES {
            if turn > 0 {
                tokio::time::sleep(PAUSE * turn).await;
            }
            let (mut book, revision) = self.cap_book(agent).await?;
            let (is_changed, came_to) = change(&mut book);
            if !is_changed {
                return Ok((book, came_to));
            }
            let value = serde_json::to_vec(&book).map_err(|error| Error::api("encoding a cap", error))?;
            let mut headers = HeaderMap::new();
            headers.insert(NATS_EXPECTED_LAST_SUBJECT_SEQUENCE, revision.to_string());
            let subject = self.cap_subject(agent);
            match publish_acked(self.link(), subject.into(), headers, value.into()).await? {
                Published::Stored { .. } => return Ok((book, came_to)),
                Published::Refused(refusal) => return Err(refusal.into()),
                // One that is not answered may stand: every change finds by its id that it was made.
                Published::WrongSequence | Published::Unheard | Published::Unknown => {}
            }
        }
        Err(Error::no_answer(
            "writing what an agent has spent",
            "others write it all the time, or nobody says that it is stored",
        ))
    }

    /// Where the book of an agent stands.
    fn cap_subject(&self, agent: &AgentName) -> String {
        format!("$KV.{}.{KEYS}{agent}", self.subjects().control_bucket())
    }

    /// What an intent needs that waits for room under the cap of its agent; `None` where it does not wait for that.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub async fn needs_room(&self, intent: &IntentId) -> Result<Option<Amounts>, Error> {
        let head = self.head(intent).await?;
        Ok(head.and_then(|head| need_of(&head.record.snapshot)))
    }

    /// Puts an intent back that waits for room under the cap of its agent. `false` where it does not wait for that any more, and
    /// where its agent cannot get it now.
    ///
    /// # Errors
    /// When the server does not answer, or the ticket could not be written.
    pub async fn redrive_capped(&self, intent: &IntentId, by: &Author) -> Result<bool, Error> {
        let is_waiting = |snapshot: &Snapshot| need_of(snapshot).is_some();
        self.redrive_where(intent, by, is_waiting, "there is room under the cap of its agent")
            .await
    }
}

/// What an intent needs that is parked because its agent has spent what it may.
fn need_of(snapshot: &Snapshot) -> Option<Amounts> {
    let is_capped = matches!(&snapshot.status, Status::Parked { code } if code == codes::CAP_REACHED);
    if !is_capped || snapshot.is_undoing() {
        return None;
    }
    let need = snapshot.error.as_ref().and_then(|error| error.need.as_deref().cloned());
    Some(need.unwrap_or(Amounts::NONE))
}
