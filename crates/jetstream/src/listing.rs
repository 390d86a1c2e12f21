//! Listing intents: the subjects of the ledger, and the last record of each.

use std::collections::{HashMap, HashSet};

use baton_envelope::{AgentName, IntentId, Record};
use serde::Deserialize;

use crate::error::Error;
use crate::ledger::Head;
use crate::mesh::Mesh;

/// The server refuses a batched read of more than 1,024 subjects.
const CHUNK: usize = 1000;

/// Which intents are wanted.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Only with one of these status names; empty for all.
    pub statuses: Vec<String>,
    /// Only those whose turn it is at this agent.
    pub agent: Option<AgentName>,
    /// At most so many, the newest first; 0 for all.
    pub limit: usize,
}

/// What was found.
#[derive(Debug, Default)]
pub struct Listed {
    /// The heads, newest first.
    pub heads: Vec<Head>,
    /// How many matched, those cut off by the limit included.
    pub matched: usize,
}

impl Mesh {
    /// The intents that match.
    ///
    /// # Errors
    /// When the server does not answer.
    pub async fn list(&self, filter: &Filter) -> Result<Listed, Error> {
        let mut heads = Vec::new();
        for chunk in self.ledger_subjects().await?.chunks(CHUNK) {
            heads.extend(
                self.heads_of(chunk)
                    .await?
                    .into_iter()
                    .filter(|head| filter.matches(&head.record)),
            );
        }
        heads.sort_by_key(|head| std::cmp::Reverse(head.seq));
        let matched = heads.len();
        if filter.limit > 0 {
            heads.truncate(filter.limit);
        }
        Ok(Listed { heads, matched })
    }

    /// The last records on some ledger subjects, at most 1,000.
    pub(crate) async fn heads_of(&self, subjects: &[String]) -> Result<Vec<Head>, Error> {
        if subjects.is_empty() {
            return Ok(Vec::new());
        }
        let mut heads = Vec::with_capacity(subjects.len());
        let mut left: HashSet<&str> = subjects.iter().map(String::as_str).collect();
        // The server bounds the bytes of one answer, so ask for the rest until it has nothing more.
        while !left.is_empty() {
            let request = serde_json::json!({ "multi_last": left, "batch": CHUNK });
            let (batch, more) = self.direct_batch(&request).await?;
            let before = left.len();
            for (seq, subject, body) in batch {
                left.remove(subject.as_str());
                match Record::decode(&body) {
                    Ok(record) => heads.push(Head { record, seq }),
                    Err(error) => tracing::warn!(%error, subject, seq, "a ledger record cannot be read"),
                }
            }
            if !more || left.len() == before {
                break;
            }
        }
        Ok(heads)
    }

    /// Every subject of the ledger, that is, every intent that has records.
    pub(crate) async fn ledger_subjects(&self) -> Result<Vec<String>, Error> {
        #[derive(Deserialize)]
        struct Info {
            state: State,
            #[serde(default)]
            total: usize,
        }
        #[derive(Deserialize)]
        struct State {
            #[serde(default)]
            subjects: Option<HashMap<String, u64>>,
        }
        let what = format!("STREAM.INFO.{}", self.subjects().ledger_stream());
        let mut found: Vec<String> = Vec::new();
        loop {
            let request = serde_json::json!({ "subjects_filter": self.subjects().ledger_all(), "offset": found.len() });
            let info: Info = self.ask(&what, &request).await??;
            let page = info.state.subjects.unwrap_or_default();
            let (got, total) = (page.len(), info.total);
            found.extend(page.into_keys());
            if got == 0 || found.len() >= total {
                return Ok(found);
            }
        }
    }

    /// The head of an intent, or an error that says that there is none.
    ///
    /// # Errors
    /// `NoIntent`, or when the server does not answer.
    pub async fn must_find(&self, intent: &IntentId) -> Result<Head, Error> {
        self.head(intent).await?.ok_or_else(|| Error::NoIntent(intent.clone()))
    }
}

impl Filter {
    fn matches(&self, record: &Record) -> bool {
        let snapshot = &record.snapshot;
        (self.statuses.is_empty() || self.statuses.iter().any(|name| name == snapshot.status.name()))
            && (self.agent.is_none() || self.agent == snapshot.agent)
    }
}
