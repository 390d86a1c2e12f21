//! Queued tickets of a version, read and deleted without its consumers: a delivery would be counted, and a worker that
//! starts later would take the count for the death of another.

use std::collections::BTreeMap;

use async_nats::HeaderMap;
use baton_envelope::{
    AgentName, AgentVersion, EnvelopeId, HEADER_INTENT, HEADER_LEDGER_SEQUENCE, HEADER_MSG_ID, IntentId, Record,
    Snapshot, Status,
};

use crate::error::Error;
use crate::server::{ControllerMesh, Mesh};
use crate::server::{Stored, header_u64};

/// The server's codes for a message that is no longer in its stream.
const MESSAGE_GONE: [u64; 3] = [10037, 10043, 10057];

/// A ticket in a work stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueuedTicket {
    /// Its sequence in the work stream.
    pub seq: u64,
    /// The intent.
    pub intent: IntentId,
    /// The ledger sequence that authorised it.
    pub ledger_seq: u64,
    /// The envelope that it carries; `None` when its id is unreadable.
    pub envelope: Option<EnvelopeId>,
}

impl Mesh {
    /// The tickets of a version in its agent's work stream, oldest first, including those that a worker holds. Empty
    /// when the agent has no work stream.
    ///
    /// # Errors
    /// When the server does not answer.
    pub async fn queued_tickets(&self, agent: &AgentName, version: &AgentVersion) -> Result<Vec<QueuedTicket>, Error> {
        if !self.has_queue(agent).await? {
            return Ok(Vec::new());
        }
        self.tickets_where(agent, version, |_| true).await
    }

    /// The tickets of a version but those below the floor of their consumer: these were acknowledged, and a power cut has brought them
    /// back to the stream. A ticket that no consumer delivers is not below any.
    ///
    /// # Errors
    /// When the server does not answer.
    pub async fn undelivered_tickets(
        &self,
        agent: &AgentName,
        version: &AgentVersion,
    ) -> Result<Vec<QueuedTicket>, Error> {
        if !self.has_queue(agent).await? {
            return Ok(Vec::new());
        }
        let floors: BTreeMap<String, u64> = self.undelivered_from(agent, version).await?.into_iter().collect();
        let is_above = |stored: &Stored| floors.get(&stored.subject).is_none_or(|from| stored.seq >= *from);
        self.tickets_where(agent, version, is_above).await
    }

    /// Whether an agent has a work stream. The server does not answer a direct get of one that does not exist.
    async fn has_queue(&self, agent: &AgentName) -> Result<bool, Error> {
        let stream = self.subjects().work_stream(agent);
        let info = self.stream_info::<serde::de::IgnoredAny>(&stream).await?;
        Ok(info.is_some())
    }

    async fn tickets_where(
        &self,
        agent: &AgentName,
        version: &AgentVersion,
        is_wanted: impl Fn(&Stored) -> bool + Send + Sync,
    ) -> Result<Vec<QueuedTicket>, Error> {
        let stream = self.subjects().work_stream(agent);
        let subject = self.subjects().work_version(agent, version);
        let mut tickets = Vec::new();
        let mut next = 1;
        loop {
            let request = serde_json::json!({ "seq": next, "next_by_subj": subject, "batch": 256 });
            let (batch, more) = self.direct_batch_of(&stream, &request).await?;
            let Some(last) = batch.last() else { break };
            next = last.seq + 1;
            for stored in batch.iter().filter(|stored| is_wanted(stored)) {
                match QueuedTicket::read(stored) {
                    Some(ticket) => tickets.push(ticket),
                    None => tracing::warn!(%stream, seq = stored.seq, "leaving a ticket that names no intent"),
                }
            }
            if !more {
                break;
            }
        }
        Ok(tickets)
    }
}

impl ControllerMesh {
    /// Deletes the tickets of a version that the ledger has superseded, after settling what the head of each intent
    /// owes. Returns how many it deleted. For a version without workers: nothing else would delete them.
    ///
    /// Keeps a ticket whose head is unreadable or has an unknown status.
    ///
    /// # Errors
    /// When the server does not answer.
    pub async fn drop_superseded(&self, agent: &AgentName, version: &AgentVersion) -> Result<usize, Error> {
        let mut dropped = 0;
        for ticket in self.queued_tickets(agent, version).await? {
            match self.drop_if_superseded(agent, version, &ticket).await {
                Ok(done) => dropped += usize::from(done),
                Err(error) if error.is_of_server() => return Err(error),
                // One intent that cannot be read or settled must not hold up the others.
                Err(error) => tracing::warn!(%error, intent = %ticket.intent, "leaving a ticket in its stream"),
            }
        }
        Ok(dropped)
    }

    async fn drop_if_superseded(
        &self,
        agent: &AgentName,
        version: &AgentVersion,
        ticket: &QueuedTicket,
    ) -> Result<bool, Error> {
        let Some(head) = self.head(&ticket.intent).await? else {
            tracing::warn!(intent = %ticket.intent, seq = ticket.seq, "leaving a ticket that has no ledger record");
            return Ok(false);
        };
        // A head older than the record that authorised the ticket comes from a ledger that lost its end.
        if head.seq < ticket.ledger_seq || !is_superseded(&head.record.snapshot, version, ticket.envelope) {
            return Ok(false);
        }
        self.settle(&head).await?;
        let what = format!("STREAM.MSG.DELETE.{}", self.subjects().work_stream(agent));
        let request = serde_json::json!({ "seq": ticket.seq, "no_erase": true });
        match self.ask::<serde_json::Value>(&what, &request).await? {
            Ok(_) => Ok(true),
            Err(refusal) if MESSAGE_GONE.contains(&refusal.code) => Ok(false),
            Err(refusal) => Err(refusal.into()),
        }
    }
}

impl QueuedTicket {
    pub(super) fn read(stored: &Stored) -> Option<Self> {
        let headers = stored.headers.as_ref();
        let header = |name: &str| {
            headers
                .and_then(|headers: &HeaderMap| headers.get(name))
                .map(|value| value.as_str())
        };
        // The body is large and repeats the headers; decode it only if they are incomplete.
        let body = std::cell::LazyCell::new(|| Record::decode(&stored.body).ok());
        let intent = header(HEADER_INTENT).and_then(|text| text.parse().ok());
        let intent = intent.or_else(|| body.as_ref().map(|record| record.intent.clone()))?;
        // A reissued ticket's id has the head's sequence after the envelope's id.
        let named = header(HEADER_MSG_ID).and_then(|id| id.split(':').next()?.parse().ok());
        let envelope = named.or_else(|| body.as_ref()?.envelope.as_ref().map(|envelope| envelope.id));
        Some(Self {
            seq: stored.seq,
            intent,
            ledger_seq: header_u64(headers, HEADER_LEDGER_SEQUENCE).unwrap_or(0),
            envelope,
        })
    }
}

/// Whether the head has no use for a ticket of this version with this envelope. A sweeper of before 1.4 may have written one
/// for work by hand.
fn is_superseded(head: &Snapshot, version: &AgentVersion, envelope: Option<EnvelopeId>) -> bool {
    if matches!(head.status, Status::Unknown { .. }) {
        return false;
    }
    let is_another_envelope = matches!((head.envelope, envelope), (Some(now), Some(then)) if now != then);
    let is_another_version = head.version.as_ref().is_some_and(|now| now != version);
    !head.status.may_have_a_ticket() || is_another_envelope || is_another_version || head.is_by_hand()
}
