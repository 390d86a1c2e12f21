//! Following the spaces: every revision of every memory, and which memories are still there.

use std::collections::HashSet;

use baton_envelope::SpaceName;
use baton_envelope::context::SpaceMemory;
use bytes::Bytes;

use crate::error::{Error, STREAM_NOT_FOUND};
use crate::ledger::{Followable, LedgerMark, Tail};
use crate::server::{ControllerMesh, LedgerEnd};

/// Which memory: its space, and its id as the subject has it.
pub type SpaceId = (SpaceName, String);

/// A revision of a memory as the stream has it: it may be one that nobody can read.
#[derive(Debug, Clone)]
pub struct SpaceRevision {
    /// Which memory.
    pub of: SpaceId,
    /// Its place in the stream.
    pub at: LedgerMark,
    body: Bytes,
}

/// The next revisions.
#[derive(Debug)]
pub struct SpaceBatch {
    /// In order.
    pub revisions: Vec<SpaceRevision>,
    /// Everything up to here is now known.
    pub through: LedgerMark,
}

/// The memories that the stream has anything of: a purge takes the newest revision last.
#[derive(Debug)]
pub struct SpacesLeft {
    /// Which.
    pub left: HashSet<SpaceId>,
    /// Every revision up to this one is counted.
    pub through: u64,
}

/// Follows the spaces.
#[derive(Debug)]
pub struct SpaceTail {
    tail: Tail,
    mesh: ControllerMesh,
}

impl SpaceRevision {
    /// The revision; `None` where it is no memory that can be read.
    pub fn read(&self) -> Option<SpaceMemory> {
        let (space, id) = &self.of;
        let read = SpaceMemory::decode(&self.body).ok();
        let read = read.filter(|read| read.space == *space && read.id.as_str() == id);
        if read.is_none() {
            tracing::debug!(%space, id, revision = self.at.seq, "a memory cannot be read");
        }
        read
    }

    /// Its size in bytes.
    pub const fn size(&self) -> usize {
        self.body.len()
    }
}

impl ControllerMesh {
    /// The end of the spaces, according to the leader of their stream; `None` where there is no stream.
    ///
    /// # Errors
    /// When the server does not answer or refuses.
    pub async fn spaces_end(&self) -> Result<Option<LedgerEnd>, Error> {
        match self.stream_end(&self.subjects().memory_stream()).await {
            Ok(end) => Ok(Some(end)),
            Err(Error::Refused(refusal)) if refusal.code == STREAM_NOT_FOUND => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Follows the spaces whose stream was created at `created`, starting after `after`.
    pub fn tail_spaces(&self, created: &str, after: LedgerMark) -> SpaceTail {
        let of = Followable {
            stream: self.subjects().memory_stream(),
            subjects: self.subjects().memories_all(),
            headers_only: false,
        };
        SpaceTail {
            tail: self.tail(of, created, after),
            mesh: self.clone(),
        }
    }

    /// Which memories there is anything of. Nobody announces a purge.
    ///
    /// # Errors
    /// When the server does not answer or refuses.
    pub async fn spaces_left(&self) -> Result<SpacesLeft, Error> {
        let subjects = self.subjects();
        let (stream, all) = (subjects.memory_stream(), subjects.memories_all());
        let counted = self.count_subjects(&stream, &all).await?;
        let left = counted.subjects.keys().filter_map(|subject| {
            let (space, id) = subjects.memory_of(subject)?;
            Some((space, id.to_owned()))
        });
        Ok(SpacesLeft {
            left: left.collect(),
            through: counted.through,
        })
    }
}

impl SpaceTail {
    /// Waits for the next revisions. `None` when the stream is a different one, or lost messages.
    ///
    /// Cancel safe.
    ///
    /// # Errors
    /// As [`LedgerTail::next_batch`](crate::LedgerTail::next_batch).
    pub async fn next_batch(&mut self) -> Result<Option<SpaceBatch>, Error> {
        let subjects = self.mesh.subjects();
        let batch = self.tail.next_batch().await?;
        Ok(batch.map(|batch| SpaceBatch {
            revisions: batch
                .followed
                .into_iter()
                .filter_map(|one| {
                    let (space, id) = subjects.memory_of(&one.message.subject)?;
                    Some(SpaceRevision {
                        of: (space, id.to_owned()),
                        at: LedgerMark {
                            seq: one.seq,
                            stored: one.stored,
                        },
                        body: one.message.payload,
                    })
                })
                .collect(),
            through: batch.through,
        }))
    }
}
