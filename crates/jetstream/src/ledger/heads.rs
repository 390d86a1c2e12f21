//! The heads of many intents at once, and the subjects of the ledger.

use std::collections::{HashMap, HashSet};

use baton_envelope::IntentId;
use baton_envelope::control::Unreadable;

use super::read::Head;
use super::unreadable as entry;
use crate::error::Error;
use crate::server::Mesh;

/// How many subjects to read at once. The server refuses more than 1,024.
const CHUNK: usize = 1000;

impl Mesh {
    /// The last records on at most 1,000 ledger subjects.
    pub(crate) async fn heads_of(&self, subjects: &[String]) -> Result<Vec<Head>, Error> {
        Ok(self.heads_and_unreadable(subjects).await?.0)
    }

    /// As [`Mesh::heads_of`], and what of these subjects has a last record that cannot be read.
    pub(crate) async fn heads_and_unreadable(
        &self,
        subjects: &[String],
    ) -> Result<(Vec<Head>, Vec<Unreadable>), Error> {
        let (mut heads, mut unreadable) = (Vec::with_capacity(subjects.len()), Vec::new());
        if subjects.is_empty() {
            return Ok((heads, unreadable));
        }
        let mut left: HashSet<&str> = subjects.iter().map(String::as_str).collect();
        // The server bounds the bytes of one answer, so ask for the rest until it has nothing more.
        while !left.is_empty() {
            let request = serde_json::json!({ "multi_last": left, "batch": CHUNK });
            let (batch, more) = self.direct_batch(&request).await?;
            let before = left.len();
            for last in batch {
                let (seq, subject) = (last.seq, last.subject.as_str());
                left.remove(subject);
                let Some(intent) = self.subjects().intent_of_ledger(subject) else {
                    tracing::debug!(subject, seq, "this is the ledger subject of no intent");
                    unreadable.push(entry::subject(subject, seq));
                    continue;
                };
                match Box::pin(self.head_and_problem(&intent, &last)).await {
                    Ok((head, problem)) => {
                        heads.extend(head);
                        unreadable.extend(problem.map(|problem| entry::record(&intent, seq, problem)));
                    }
                    Err(Error::NoneReadable { problem, .. }) => unreadable.push(entry::all(&intent, seq, problem)),
                    Err(Error::Decode(error)) => unreadable.push(entry::newer(&intent, seq, &error)),
                    Err(error) => return Err(error),
                }
            }
            if !more || left.len() == before {
                break;
            }
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
        Ok(self.counted_subjects().await?.into_keys().collect())
    }

    /// Every subject of the ledger, with its number of records.
    pub(crate) async fn counted_subjects(&self) -> Result<HashMap<String, u64>, Error> {
        let (stream, all) = (self.subjects().ledger_stream(), self.subjects().ledger_all());
        self.stream_subjects(&stream, &all).await
    }
}
