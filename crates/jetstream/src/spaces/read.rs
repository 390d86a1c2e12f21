//! Reading spaces: what one has, one memory, and its revisions.

use std::time::Duration;

use baton_envelope::SpaceName;
use baton_envelope::context::{MemoryKey, SpaceMemory};
use serde_json::json;

use super::{KeptMemory, SpaceList, UnreadableMemory};
use crate::error::{Error, STREAM_NOT_FOUND};
use crate::server::{Mesh, Stored};

/// How many memories, and how many bytes of them, are asked for at once: the answer has no flow control.
const TOGETHER: usize = 1_000;
const TOGETHER_BYTES: u64 = 4 * 1024 * 1024;
/// How many are asked for by name; the server refuses more than 1,024.
const NAMES_AT_ONCE: usize = 500;
/// How many revisions are asked for at once.
const REVISIONS_AT_ONCE: usize = 16;
/// How long each message of an answer may take.
const PATIENCE: Duration = Duration::from_secs(2);
/// How often, and how far apart, replicas are asked that have not heard of the newest revision yet.
const LAG_TRIES: usize = 100;
const LAG_PAUSE: Duration = Duration::from_millis(50);

impl Mesh {
    /// What a space has. Whoever has written there before finds its own.
    ///
    /// # Errors
    /// [`Error::NoStream`] where the mesh has no memories yet, or when the server does not answer.
    pub async fn space_memories(&self, space: &SpaceName) -> Result<SpaceList, Error> {
        let through = self.newest_of_copies(&self.subjects().memories_of(space)).await?;
        for _ in 0..LAG_TRIES {
            if let Some(mut list) = self.newest_of_space(space, through).await? {
                list.memories.sort_by(|one, other| one.id().cmp(other.id()));
                list.unreadable.sort_by(|one, other| one.id.cmp(&other.id));
                return Ok(list);
            }
            tokio::time::sleep(LAG_PAUSE).await;
        }
        Err(lagging(format!("the memories of space \"{space}\"")))
    }

    /// The newest revision of a memory, with its content; `None` where there never was one.
    ///
    /// # Errors
    /// [`Error::Decode`] where what stands there cannot be read, or as [`Mesh::space_memories`].
    pub async fn space_memory(&self, space: &SpaceName, id: &MemoryKey) -> Result<Option<KeptMemory>, Error> {
        let (stream, subject) = (self.memories(), self.subjects().memory(space, id.as_str()));
        let found = match self.replicas() > 1 {
            true => {
                let request = json!({ "last_by_subj": subject });
                self.leader_get(&stream, &request)
                    .await
                    .map_err(|error| no_stream(error, &stream))?
            }
            false => self.direct_last_of(&stream, &subject).await?,
        };
        found.map(|found| self.kept(space, &found)).transpose()
    }

    /// The revisions of a memory that are kept, oldest first, each with its content.
    ///
    /// # Errors
    /// As [`Mesh::space_memories`].
    pub async fn space_history(&self, space: &SpaceName, id: &MemoryKey) -> Result<SpaceList, Error> {
        let (stream, subject) = (self.memories(), self.subjects().memory(space, id.as_str()));
        let through = self.newest_of_copies(&subject).await?;
        for _ in 0..LAG_TRIES {
            let stored = self.revisions(&stream, &subject).await?;
            if stored.last().map_or(0, |last| last.seq) >= through {
                let mut list = SpaceList::default();
                for stored in stored {
                    self.add_to(&mut list, space, &stored, |record| record);
                }
                return Ok(list);
            }
            tokio::time::sleep(LAG_PAUSE).await;
        }
        Err(lagging(format!(
            "the revisions of memory \"{id}\" of space \"{space}\""
        )))
    }

    async fn revisions(&self, stream: &str, subject: &str) -> Result<Vec<Stored>, Error> {
        let mut found: Vec<Stored> = Vec::new();
        loop {
            let next = found.last().map_or(1, |last| last.seq + 1);
            let request = json!({ "seq": next, "next_by_subj": subject, "batch": REVISIONS_AT_ONCE });
            let (batch, more) = self.direct_batch_of(stream, &request).await?;
            let is_last = batch.is_empty() || !more;
            found.extend(batch);
            if is_last {
                return Ok(found);
            }
        }
    }

    /// The last sequence on these subjects by the word of the stream's leader, where replicas may lag behind it; else 0.
    async fn newest_of_copies(&self, subject: &str) -> Result<u64, Error> {
        if self.replicas() == 1 {
            return Ok(0);
        }
        let (stream, request) = (self.memories(), json!({ "last_by_subj": subject }));
        let last = self.leader_get(&stream, &request).await;
        let last = last.map_err(|error| no_stream(error, &stream))?;
        Ok(last.map_or(0, |last| last.seq))
    }

    /// The newest revision of each memory; `None` where whoever answered has not come to `through` yet.
    async fn newest_of_space(&self, space: &SpaceName, through: u64) -> Result<Option<SpaceList>, Error> {
        let (stream, all) = (self.memories(), self.subjects().memories_of(space));
        let mut list = SpaceList::default();
        let mut request = json!({ "multi_last": [all], "batch": TOGETHER, "max_bytes": TOGETHER_BYTES });
        let mut is_first = true;
        loop {
            let batch = self.direct_batch_within(&stream, &request, PATIENCE).await?;
            // Where a head cannot be read, the leader has been asked, and has answered with one message.
            let is_reread = batch.up_to == 0 && !batch.found.is_empty();
            if batch.is_too_many || is_reread {
                return Box::pin(self.newest_by_names(space)).await.map(Some);
            }
            if is_first && batch.up_to < through {
                return Ok(None);
            }
            is_first = false;
            // The rest of the same moment is asked for.
            let next = batch.found.last().map(|last| last.seq + 1);
            // A space may have many: nobody asks for all their contents.
            for stored in &batch.found {
                self.add_to(&mut list, space, stored, SpaceMemory::without_content);
            }
            match next {
                Some(next) if batch.more && batch.up_to >= next => {
                    request = json!({
                        "multi_last": [all], "batch": TOGETHER, "max_bytes": TOGETHER_BYTES,
                        "seq": next, "up_to_seq": batch.up_to,
                    });
                }
                Some(_) | None => return Ok(Some(list)),
            }
        }
    }

    /// Likewise, of more memories than the server answers for at once. What is purged meanwhile is left out.
    async fn newest_by_names(&self, space: &SpaceName) -> Result<SpaceList, Error> {
        let (stream, all) = (self.memories(), self.subjects().memories_of(space));
        let names: Vec<String> = self.stream_subjects(&stream, &all).await?.into_keys().collect();
        let mut list = SpaceList::default();
        for names in names.chunks(NAMES_AT_ONCE) {
            let mut left: Vec<&String> = names.iter().collect();
            while !left.is_empty() {
                let request = json!({ "multi_last": left, "batch": left.len(), "max_bytes": TOGETHER_BYTES });
                let batch = self.direct_batch_within(&stream, &request, PATIENCE).await?;
                let before = left.len();
                left.retain(|name| !batch.found.iter().any(|stored| stored.subject == **name));
                // A space may have many: nobody asks for all their contents.
                for stored in &batch.found {
                    self.add_to(&mut list, space, stored, SpaceMemory::without_content);
                }
                if left.len() == before {
                    break;
                }
            }
        }
        Ok(list)
    }

    /// Adds what was read.
    fn add_to(&self, list: &mut SpaceList, space: &SpaceName, stored: &Stored, keep: fn(SpaceMemory) -> SpaceMemory) {
        match self.kept(space, stored) {
            Ok(kept) => list.memories.push(KeptMemory {
                record: keep(kept.record),
                revision: kept.revision,
            }),
            Err(error) => {
                let id = self.subjects().memory_of(&stored.subject).map(|(_, id)| id.to_owned());
                let (id, problem) = (id.unwrap_or_default(), error.to_string());
                tracing::debug!(%space, id, problem, "a memory cannot be read");
                list.unreadable.push(UnreadableMemory {
                    id,
                    revision: stored.seq,
                    problem,
                });
            }
        }
    }

    /// A message as the memory that its subject names.
    fn kept(&self, space: &SpaceName, stored: &Stored) -> Result<KeptMemory, Error> {
        let record = SpaceMemory::decode(&stored.body)?;
        let is_own = self.subjects().memory(&record.space, record.id.as_str()) == stored.subject;
        if !is_own || record.space != *space {
            return Err(Error::Decode(baton_envelope::DecodeError {
                what: "memory of a space",
                field: "id".to_owned(),
                value: Some(record.id.to_string()),
                problem: format!("it stands on {}", stored.subject),
            }));
        }
        Ok(KeptMemory {
            revision: stored.seq,
            record,
        })
    }

    pub(super) fn memories(&self) -> String {
        self.subjects().memory_stream()
    }
}

/// That the stream is missing, in one way: the leader's answer is a refusal.
fn no_stream(error: Error, stream: &str) -> Error {
    if let Error::Refused(refusal) = &error
        && refusal.code == STREAM_NOT_FOUND
    {
        return Error::NoStream(stream.to_owned());
    }
    error
}

fn lagging(what: String) -> Error {
    Error::no_answer(what, "every replica that answered lags behind")
}
