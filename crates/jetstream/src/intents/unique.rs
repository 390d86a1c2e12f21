//! Work that is to be the only one of its agent under a key. One guarded key in the control bucket decides who holds it.
//!
//! The key is written before the work, and holds the work. So whoever finds a key whose work was never submitted, because
//! its submitter died between the two writes, submits it: nothing is lost, and no key is stuck.

use std::time::Duration;

use baton_envelope::control::{ControlError, SubmitUnique, SubmitView};
use baton_envelope::{AgentName, Author, Envelope, IntentId, OnConflict, UNIQUE_KEYS, Unique, UniqueHolder, codes};
use tokio::time::Instant;

use super::submit::Submitted;
use crate::error::{Error, Refuses};
use crate::ledger::Head;
use crate::server::{BUCKET_PATIENCE, ControllerMesh, Mesh};

/// For how long a controller looks again when others take or release the key at the same moment. Whoever asked has patience
/// for the answer, and asks again.
const WITHIN: Duration = Duration::from_secs(3);
/// The longest pause between two looks.
const LONGEST_PAUSE: Duration = Duration::from_millis(250);
/// For how long a controller is asked again that was busy with the key for all that time.
const ASKED_FOR: Duration = Duration::from_secs(60);

/// The result of a submit under a unique key.
#[derive(Debug)]
pub enum Uniquely {
    /// It has the key, and was submitted.
    Submitted(Submitted),
    /// Other work holds the key; this is its head.
    Held(Box<Head>),
}

impl Uniquely {
    /// What a controller answers to whoever asked it to submit; `None` where the work is refused for the other's sake.
    pub fn view(&self, intent: IntentId, agent: AgentName) -> SubmitView {
        match self {
            Self::Submitted(submitted) => submitted.view(intent, Some(agent)),
            Self::Held(head) => SubmitView {
                intent: head.record.intent.clone(),
                agent: head.record.snapshot.agent.clone(),
                outcome: KEPT.to_owned(),
                seq: head.seq,
                field: None,
            },
        }
    }
}

/// The outcome of a submit that other work under its key stands for, on the wire.
pub(super) const KEPT: &str = "kept";

/// A key as it stands in the bucket.
struct Standing {
    /// Who holds it; `None` where nobody does, or nobody can read who.
    holder: Option<UniqueHolder>,
    /// The revision to write over.
    revision: u64,
}

impl ControllerMesh {
    /// Submits an intent that is to be the only one of its agent under a key.
    ///
    /// # Errors
    /// As [`Mesh::submit`](crate::Mesh::submit); when the bucket cannot be read or written, or what it replaces cannot be
    /// cancelled.
    pub async fn submit_unique(&self, envelope: Envelope, by: Author, unique: &Unique) -> Result<Uniquely, Error> {
        let account = envelope.from.as_deref().filter(|_| self.is_secured());
        let key = unique.bucket_key(&envelope.to, account);
        // A repeat is the same intent, whoever holds the key by now.
        if !self.has_no_record(&envelope.intent).await? {
            return self.submit(envelope, by).await.map(Uniquely::Submitted);
        }
        let until = Instant::now() + WITHIN;
        for tried in 0_u32.. {
            if tried > 0 && Instant::now() >= until {
                break;
            }
            if tried > 0 {
                tokio::time::sleep(pause(tried)).await;
            }
            let Standing { holder, revision } = self.unique_standing(&key).await?;
            // An earlier try may have taken the key.
            let is_ours = holder.as_ref().is_some_and(|holder| holder.intent == envelope.intent);
            let ours = match is_ours {
                true => Some(revision),
                false => {
                    if let Some(holder) = &holder
                        && let Some(last) = self.last_of_holder(holder).await?
                        && holder.holds(&last.record, self.now())
                    {
                        if unique.on_conflict != OnConflict::Replace {
                            return Ok(Uniquely::Held(Box::new(last)));
                        }
                        // The end of the other comes first: whoever dies in between leaves a key that is free.
                        Box::pin(self.end_replaced(&last, &envelope.intent, &by)).await?;
                    }
                    self.take_unique(&key, revision, &envelope, &by, unique).await?
                }
            };
            let Some(ours) = ours else { continue };
            let submitted = self.submit(envelope, by).await;
            let is_in_vain = match &submitted {
                Ok(Submitted::Conflict { .. }) => true,
                Ok(_) => false,
                Err(error) => is_for_good(error),
            };
            if is_in_vain {
                self.remove_unique(&key, ours).await?;
            }
            return submitted.map(Uniquely::Submitted);
        }
        Err(busy(&unique.key))
    }

    /// Who holds a key, by the leader of the bucket.
    async fn unique_standing(&self, key: &str) -> Result<Standing, Error> {
        let bucket = self.subjects().control_bucket();
        let request = serde_json::json!({ "last_by_subj": format!("$KV.{bucket}.{key}") });
        let stream = format!("KV_{bucket}");
        let Some(stored) = self.leader_get_within(&stream, &request, BUCKET_PATIENCE).await? else {
            return Ok(Standing {
                holder: None,
                revision: 0,
            });
        };
        let holder = match stored.is_removal() {
            true => None,
            false => serde_json::from_slice(&stored.body)
                .inspect_err(|error| tracing::warn!(%error, key, "a unique key cannot be read, and counts as free"))
                .ok(),
        };
        Ok(Standing {
            holder,
            revision: stored.seq,
        })
    }

    /// The last record of whoever holds a key; `None` where its work was refused. Work that was never submitted is
    /// submitted now: its submitter has died, or is at it at this moment, and both make the same intent.
    async fn last_of_holder(&self, holder: &UniqueHolder) -> Result<Option<Head>, Error> {
        if let Some(last) = self.last_record(&holder.intent).await? {
            return Ok(Some(last));
        }
        // So long after its time nobody waits for it, and the archive may have forgotten it.
        if holder.is_over(self.now()) {
            return Ok(None);
        }
        tracing::info!(intent = %holder.intent, key = holder.key, "submitting what took a unique key and was not submitted");
        match self.submit(holder.envelope.clone(), holder.by.clone()).await {
            Ok(_) => self.head(&holder.intent).await,
            Err(error) if is_for_good(&error) => {
                tracing::debug!(%error, intent = %holder.intent, "what took a unique key is refused, and leaves it");
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Cancels the work that is replaced, if it is open.
    async fn end_replaced(&self, last: &Head, new: &IntentId, by: &Author) -> Result<(), Error> {
        if last.record.snapshot.status.is_terminal() {
            return Ok(());
        }
        let reason = format!("replaced by {new}, under the same unique key");
        match self.cancel(&last.record.intent, &reason, by).await {
            Ok(_) => Ok(()),
            Err(error @ Error::WrongStatus { .. }) => {
                let now = self.last_record(&last.record.intent).await?;
                let is_open = now.is_some_and(|now| !now.record.snapshot.status.is_terminal());
                if is_open { Err(error) } else { Ok(()) }
            }
            Err(error) => Err(error),
        }
    }

    /// Writes who holds a key, over a revision, and gives the next one; `None` when somebody else wrote first.
    async fn take_unique(
        &self,
        key: &str,
        revision: u64,
        envelope: &Envelope,
        by: &Author,
        unique: &Unique,
    ) -> Result<Option<u64>, Error> {
        let holder = UniqueHolder {
            key: unique.key.clone(),
            intent: envelope.intent.clone(),
            at: self.now(),
            within_ms: unique.within_ms,
            by: by.clone(),
            envelope: envelope.clone(),
        };
        let value = serde_json::to_vec(&holder).map_err(|error| Error::api("encoding a unique key", error))?;
        let store = self.bucket(self.subjects().control_bucket()).await?;
        match store.update(key, value.into(), revision).await {
            Ok(ours) => Ok(Some(ours)),
            Err(error) => {
                // Somebody else was first, or this very write was stored and its answer lost: the next look tells.
                let standing = self.unique_standing(key).await?;
                match standing.revision == revision {
                    true => Err(Error::api("taking a unique key", error)),
                    false => Ok(None),
                }
            }
        }
    }

    /// Removes the keys that nobody holds any more; gives how many were removed.
    ///
    /// # Errors
    /// When the bucket cannot be read or written.
    pub async fn remove_free_keys(&self) -> Result<usize, Error> {
        let bucket = self.subjects().control_bucket();
        let prefix = format!("$KV.{bucket}.");
        let mut removed = 0;
        let subjects = self
            .stream_subjects(&format!("KV_{bucket}"), &format!("{prefix}{UNIQUE_KEYS}>"))
            .await?;
        for subject in subjects.into_keys() {
            let Some(key) = subject.strip_prefix(&prefix) else {
                continue;
            };
            let Standing { holder, revision } = self.unique_standing(key).await?;
            let Some(holder) = holder else { continue };
            if !holder.is_over(self.now()) {
                continue;
            }
            let last = self.last_record(&holder.intent).await?;
            if last.is_some_and(|last| holder.holds(&last.record, self.now())) {
                continue;
            }
            self.remove_unique(key, revision).await?;
            removed += 1;
        }
        Ok(removed)
    }

    /// Removes a key, unless it was written after this revision.
    async fn remove_unique(&self, key: &str, revision: u64) -> Result<(), Error> {
        let bucket = self.subjects().control_bucket();
        let request = serde_json::json!({ "filter": format!("$KV.{bucket}.{key}"), "seq": revision + 1 });
        let what = format!("STREAM.PURGE.KV_{bucket}");
        self.ask::<serde::de::IgnoredAny>(&what, &request).await??;
        Ok(())
    }
}

impl Mesh {
    /// Asks a controller to submit an intent that is to be the only one of its agent under a key: controllers write the
    /// keys. If other work holds the key and the work is not refused for that, this is that work's head. While others take
    /// the key each time it asks again, for a minute.
    ///
    /// # Errors
    /// As [`Mesh::submit`] and [`Mesh::ask_controller`]; `NOT_UNIQUE` where the work is refused; `BUSY` when others took
    /// the key each time.
    pub async fn ask_to_submit_unique(
        &self,
        envelope: Envelope,
        unique: Unique,
        by: Author,
    ) -> Result<Submitted, Error> {
        let by = by.instance;
        let question = SubmitUnique { envelope, unique, by };
        let until = Instant::now() + ASKED_FOR;
        loop {
            match self.ask_controller(&question).await {
                Err(error) if error.code() == codes::BUSY && Instant::now() < until => {
                    tracing::debug!(%error, "a controller is asked again");
                    tokio::time::sleep(pause(u32::MAX)).await;
                }
                view => return self.submitted(view?).await,
            }
        }
    }
}

/// A pause before the next try: longer each time, and random, so that those who have met do not meet again.
fn pause(tried: u32) -> Duration {
    let base = Duration::from_millis(5).saturating_mul(2_u32.saturating_pow(tried.min(8)));
    let base = base.min(LONGEST_PAUSE);
    base / 2 + base * u32::from(rand::random::<u8>()) / (2 * u32::from(u8::MAX))
}

/// Others took the key at each try.
fn busy(key: &str) -> Error {
    let message = format!("the unique key \"{key}\" was taken by others at each try; nothing was submitted");
    let fix = "try again: so many replace each other's work under this key that this one had no turn";
    ControlError::new(codes::BUSY, message, fix).into()
}

/// Whether another try could not help.
fn is_for_good(error: &Error) -> bool {
    matches!(error.refuses(), Some(Refuses::ForGood | Refuses::ForNow))
}
