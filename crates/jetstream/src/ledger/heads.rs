//! The heads of many intents at once, and the subjects of the ledger.

use std::collections::HashSet;

use baton_envelope::IntentId;
use baton_envelope::control::Unreadable;

use super::read::Head;
use super::unreadable as entry;
use crate::error::Error;
use crate::server::{Counted, Mesh};

/// How many subjects to read at once. The server refuses more than 1,024.
const CHUNK: usize = 1000;

/// How many bytes of last records to request at a time, so that large ones do not fill the memory.
const PART_BYTES: usize = 16 * 1024 * 1024;

/// The last records of many subjects, a part at a time: whoever looks at all of them need not hold all of them.
#[derive(Debug)]
pub(crate) struct HeadParts<'a> {
    chunks: std::slice::Chunks<'a, String>,
    /// What is left of the chunk that is being read.
    left: HashSet<&'a str>,
}

impl<'a> HeadParts<'a> {
    /// Of any number of ledger subjects.
    pub(crate) fn of(subjects: &'a [String]) -> Self {
        Self {
            chunks: subjects.chunks(CHUNK),
            left: HashSet::new(),
        }
    }

    /// The next heads, and what of the subjects has a last record that cannot be read. `None` once all were read.
    ///
    /// # Errors
    /// When the server does not answer.
    pub(crate) async fn next(&mut self, mesh: &Mesh) -> Result<Option<(Vec<Head>, Vec<Unreadable>)>, Error> {
        if self.left.is_empty() {
            let Some(chunk) = self.chunks.next() else {
                return Ok(None);
            };
            self.left = chunk.iter().map(String::as_str).collect();
        }
        // Never less than one record may take.
        let bytes = PART_BYTES.max(mesh.client().max_payload() * 2);
        let request = serde_json::json!({ "multi_last": self.left, "batch": CHUNK, "max_bytes": bytes });
        let (batch, more) = mesh.direct_batch(&request).await?;
        let (mut heads, mut unreadable) = (Vec::with_capacity(batch.len()), Vec::new());
        let before = self.left.len();
        for last in batch {
            let (seq, subject) = (last.seq, last.subject.as_str());
            self.left.remove(subject);
            let Some(intent) = mesh.subjects().intent_of_ledger(subject) else {
                tracing::debug!(subject, seq, "this is the ledger subject of no intent");
                unreadable.push(entry::subject(subject, seq));
                continue;
            };
            match Box::pin(mesh.head_and_problem(&intent, &last)).await {
                Ok((head, problem)) => {
                    heads.extend(head);
                    unreadable.extend(problem.map(|problem| entry::record(&intent, seq, problem)));
                }
                Err(Error::NoneReadable { problem, .. }) => unreadable.push(entry::all(&intent, seq, problem)),
                Err(Error::Decode(error)) => unreadable.push(entry::newer(&intent, seq, &error)),
                Err(error) => return Err(error),
            }
        }
        // The server bounds one answer; without more to come, what is left has no records.
        if !more || self.left.len() == before {
            self.left.clear();
        }
        Ok(Some((heads, unreadable)))
    }
}

impl Mesh {
    /// The last records on at most 1,000 ledger subjects.
    pub(crate) async fn heads_of(&self, subjects: &[String]) -> Result<Vec<Head>, Error> {
        Ok(self.heads_and_unreadable(subjects).await?.0)
    }

    /// As [`Mesh::heads_of`], and what of these subjects has a last record that cannot be read.
    async fn heads_and_unreadable(&self, subjects: &[String]) -> Result<(Vec<Head>, Vec<Unreadable>), Error> {
        let (mut heads, mut unreadable) = (Vec::with_capacity(subjects.len()), Vec::new());
        let mut parts = HeadParts::of(subjects);
        while let Some((more, others)) = parts.next(self).await? {
            heads.extend(more);
            unreadable.extend(others);
        }
        Ok((heads, unreadable))
    }

    /// The last records of any number of intents; intents without records are left out.
    ///
    /// # Errors
    /// When the server does not answer.
    pub async fn heads(&self, intents: &[IntentId]) -> Result<Vec<Head>, Error> {
        let mut heads = Vec::new();
        for chunk in intents.chunks(CHUNK) {
            let subjects: Vec<String> = chunk.iter().map(|intent| self.subjects().ledger(intent)).collect();
            heads.extend(self.heads_of(&subjects).await?);
        }
        Ok(heads)
    }

    /// Every subject of the ledger: one for each intent that has records.
    pub(crate) async fn ledger_subjects(&self) -> Result<Vec<String>, Error> {
        Ok(self.counted_subjects().await?.subjects.into_keys().collect())
    }

    /// Every subject of the ledger, with its number of records.
    pub(crate) async fn counted_subjects(&self) -> Result<Counted, Error> {
        let (stream, all) = (self.subjects().ledger_stream(), self.subjects().ledger_all());
        self.count_subjects(&stream, &all).await
    }
}
