//! Writing into spaces: each write goes over a revision that the writer names, and the server refuses it where another came
//! first. A write that was not confirmed is found again by its name.

use std::time::Duration;

use async_nats::HeaderMap;
use async_nats::header::NATS_EXPECTED_LAST_SUBJECT_SEQUENCE;
use baton_envelope::SpaceName;
use baton_envelope::context::{MemoryKey, SpaceMemory};
use bytes::Bytes;
use serde::de::IgnoredAny;
use tokio::time::Instant;

use super::KeptMemory;
use crate::error::{Error, FoundRevision};
use crate::server::{Mesh, Published, UNCONFIRMED, Unheard, publish_acked};

/// How long one write is pursued.
const PURSUIT: Duration = Duration::from_secs(30);
/// The pause before a write is tried again.
const PAUSE: Duration = Duration::from_millis(20);

/// One write under way.
struct Pursuit {
    until: Instant,
    unheard: Unheard,
}

impl Pursuit {
    fn begin() -> Self {
        Self {
            until: Instant::now() + PURSUIT,
            unheard: Unheard::default(),
        }
    }

    /// Waits a moment, as long as there is time left.
    async fn pause(&self, what: &SpaceMemory, why: &'static str) -> Result<(), Error> {
        if Instant::now() > self.until {
            let what = format!("writing memory \"{}\" of space \"{}\"", what.id, what.space);
            return Err(Error::no_answer(what, why));
        }
        tokio::time::sleep(PAUSE).await;
        Ok(())
    }
}

impl Mesh {
    /// Writes a memory over the revision `over`; where that is `None`, as one that is not there or was forgotten. The same write
    /// again finds that it has been done, as long as the stream keeps it.
    ///
    /// # Errors
    /// [`Error::MemoryChanged`] where the memory is at another revision; or when the server refuses, has no room or does not
    /// answer.
    pub async fn put_memory(&self, record: SpaceMemory, over: Option<u64>) -> Result<KeptMemory, Error> {
        let mut pursuit = Pursuit::begin();
        let mut expected = over.unwrap_or(0);
        loop {
            if let Some(revision) = self.write_memory(&mut pursuit, &record, expected).await? {
                return Ok(KeptMemory { revision, record });
            }
            let newest = self.space_memory(&record.space, &record.id).await?;
            if let Some(own) = self.written_before(&record, newest.as_ref()).await? {
                return Ok(own);
            }
            let newest_is_free = newest.as_ref().is_some_and(|newest| newest.record.is_forgotten());
            let at = newest.as_ref().map_or(0, |newest| newest.revision);
            if at == expected {
                // Another write is on its way to the copies.
                pursuit.pause(&record, "another write is under way").await?;
            } else if over.is_none() && (newest_is_free || newest.is_none()) {
                expected = at;
            } else {
                return Err(changed(&record.space, &record.id, over, newest.as_ref()));
            }
        }
    }

    /// Writes what `change` makes of a memory as it stands, and gives what stands then. With `over`, only if that is the
    /// revision that it is at; without, `change` is called again where another came first. `None` of it leaves the memory as
    /// it is.
    ///
    /// # Errors
    /// [`Error::NoMemory`] where there is none, [`Error::MemoryChanged`] where it is at another revision than `over`; or as
    /// [`Mesh::put_memory`].
    pub async fn change_memory(
        &self,
        space: &SpaceName,
        id: &MemoryKey,
        over: Option<u64>,
        change: impl Fn(&SpaceMemory) -> Option<SpaceMemory> + Send,
    ) -> Result<KeptMemory, Error> {
        let mut pursuit = Pursuit::begin();
        loop {
            let newest = self.space_memory(space, id).await?;
            let Some(newest) = newest.filter(|newest| !newest.record.is_forgotten()) else {
                return Err(Error::NoMemory {
                    space: space.clone(),
                    id: id.clone(),
                });
            };
            if over.is_some_and(|over| over != newest.revision) {
                return Err(changed(space, id, over, Some(&newest)));
            }
            let Some(record) = change(&newest.record) else {
                return Ok(newest);
            };
            if let Some(revision) = self.write_memory(&mut pursuit, &record, newest.revision).await? {
                return Ok(KeptMemory { revision, record });
            }
            let found = self.space_memory(space, id).await?;
            if let Some(own) = self.written_before(&record, found.as_ref()).await? {
                return Ok(own);
            }
            pursuit.pause(&record, "others write it all the time").await?;
        }
    }

    /// Writes over a revision, and gives the new one; `None` where the memory is at another, or another write is under way. A
    /// write that was not confirmed is made again: if it was done, the second is refused.
    async fn write_memory(&self, pursuit: &mut Pursuit, record: &SpaceMemory, over: u64) -> Result<Option<u64>, Error> {
        let (stream, subject) = (
            self.memories(),
            self.subjects().memory(&record.space, record.id.as_str()),
        );
        let body = Bytes::from(record.encode());
        // What nobody could read is not written.
        SpaceMemory::decode(&body)?;
        loop {
            let mut headers = HeaderMap::new();
            headers.insert(NATS_EXPECTED_LAST_SUBJECT_SEQUENCE, over.to_string());
            match publish_acked(self.link(), subject.clone().into(), headers, body.clone()).await? {
                Published::Stored { seq } => return Ok(Some(seq)),
                Published::WrongSequence => return Ok(None),
                Published::Refused(refusal) => return Err(refusal.into()),
                Published::Unheard => {
                    if self.stream_info::<IgnoredAny>(&stream).await?.is_none() {
                        return Err(Error::NoStream(stream));
                    }
                    if let Some(denied) = pursuit.unheard.on(self, &subject, &stream).await {
                        return Err(denied);
                    }
                }
                Published::Unknown => {}
            }
            pursuit.pause(record, UNCONFIRMED).await?;
        }
    }

    /// This very write, where it has been done before: the newest revision, or one that others went over since.
    ///
    /// # Errors
    /// As [`Mesh::space_memory`].
    pub async fn memory_written(&self, record: &SpaceMemory) -> Result<Option<KeptMemory>, Error> {
        let newest = match self.space_memory(&record.space, &record.id).await {
            Ok(newest) => newest,
            // Somebody has put something else there since.
            Err(Error::Decode(_)) => return self.written_long_ago(record).await,
            Err(error) => return Err(error),
        };
        self.written_before(record, newest.as_ref()).await
    }

    async fn written_before(
        &self,
        record: &SpaceMemory,
        newest: Option<&KeptMemory>,
    ) -> Result<Option<KeptMemory>, Error> {
        match newest {
            None => Ok(None),
            Some(newest) if newest.record.write == record.write => Ok(Some(newest.clone())),
            Some(_) => self.written_long_ago(record).await,
        }
    }

    async fn written_long_ago(&self, record: &SpaceMemory) -> Result<Option<KeptMemory>, Error> {
        let history = self.space_history(&record.space, &record.id).await?;
        let mut revisions = history.memories.into_iter();
        Ok(revisions.find(|kept| kept.record.write == record.write))
    }
}

fn changed(space: &SpaceName, id: &MemoryKey, expected: Option<u64>, found: Option<&KeptMemory>) -> Error {
    Error::MemoryChanged {
        space: space.clone(),
        id: id.clone(),
        expected,
        found: found.map(|found| {
            Box::new(FoundRevision {
                revision: found.revision,
                by: found.record.by.clone(),
                is_forgotten: found.record.is_forgotten(),
            })
        }),
    }
}
