//! One delivered ticket: its contents, and how to ack it, extend it or hand it back.

use std::time::Duration;

use async_nats::{HeaderMap, Message};
use baton_envelope::{
    DeliveryFacts, Entry, Guard, HEADER_INTENT, HEADER_LEDGER_SEQUENCE, HEADER_REISSUED, IntentId, Link, Place, Record,
};
use bytes::Bytes;
use tokio::sync::OwnedSemaphorePermit;

use crate::error::Error;
use crate::ledger::Head;
use crate::server::AckPlace;
use crate::server::{Mesh, WorkerMesh};
use crate::server::{header_u64, signature};

/// A ticket stored so long after its record was written counts as reissued: the worker reads the ledger before running
/// it. Most are stored within milliseconds. A larger difference between the clocks of writer and server only costs a
/// read.
const PUBLISHED_LATE: Duration = Duration::from_secs(10);

/// The contents of a ticket.
#[derive(Debug)]
pub struct Ticket {
    /// The intent.
    pub intent: IntentId,
    /// The ledger sequence that authorised it.
    pub seq: u64,
    /// The record at that sequence, with the envelope; `None` when the body is corrupt, or its signature does not verify.
    pub record: Option<Box<Record>>,
    /// The link of that record, where the mesh signs.
    pub link: Option<Link>,
    /// What the broker and the headers tell about the delivery.
    pub facts: DeliveryFacts,
    /// The bytes of the record, until it was looked up. Only in a secured mesh.
    body: Option<Bytes>,
}

impl Ticket {
    /// Where the record that it names stands.
    pub fn place(&self) -> Place {
        Place {
            seq: self.seq,
            link: self.link,
        }
    }

    /// Takes the record that it names from the ledger.
    fn take(&mut self, head: Head) {
        self.link = head.place().link;
        self.record = Some(Box::new(head.record));
    }
}

/// A delivered ticket, with the slot in which it runs.
#[derive(Debug)]
pub struct Delivery {
    mesh: Mesh,
    reply: String,
    /// The contents of the ticket.
    pub ticket: Ticket,
    slot: Option<OwnedSemaphorePermit>,
    held: Option<Box<dyn std::any::Any + Send + Sync>>,
}

impl Delivery {
    /// Makes the delivery hold a value until just before it is handed back or acked: the ticket may come again before
    /// the task that sent the nak runs another line.
    pub fn hold(&mut self, held: impl std::any::Any + Send + Sync) {
        self.held = Some(Box::new(held));
    }

    /// Reads a delivered message; `None` when it is no ticket (it does not name an intent).
    pub(crate) fn read(
        mesh: &Mesh,
        message: &Message,
        fresh_after: u64,
        slot: Option<OwnedSemaphorePermit>,
    ) -> Option<Self> {
        let reply = message.reply.as_ref()?.to_string();
        let place = AckPlace::parse(&reply)?;
        let headers: Option<&HeaderMap> = message.headers.as_ref();
        let record = Record::decode(&message.payload).map(Box::new);
        if let Err(error) = &record {
            tracing::error!(%error, subject = %message.subject, "cannot read a ticket");
        }
        let record = record.ok();
        let intent = match &record {
            Some(record) => record.intent.clone(),
            None => headers?.get(HEADER_INTENT)?.as_str().parse().ok()?,
        };
        // Written long after its record, by a process that had been frozen: the ledger may have moved on since, and the
        // intent may even be archived.
        let is_late = record
            .as_ref()
            .is_some_and(|record| place.stored_at().since(record.at) > PUBLISHED_LATE);
        let facts = DeliveryFacts {
            delivered: place.delivered,
            reissued: is_late || headers.is_some_and(|h| h.get(HEADER_REISSUED).is_some()),
            stored_after_connect: place.stream_seq > fresh_after,
        };
        let seq = header_u64(headers, HEADER_LEDGER_SEQUENCE).unwrap_or(0);
        let (record, link) = match record.map(|record| verified(mesh, record, message, &place, seq)) {
            Some(Ok((record, link))) => (Some(record), link),
            Some(Err(problem)) => {
                tracing::warn!(%intent, seq, problem, "a ticket does not verify; the ledger is read instead");
                (None, None)
            }
            None => (None, None),
        };
        Some(Self {
            mesh: mesh.clone(),
            reply,
            ticket: Ticket {
                intent,
                seq,
                record,
                link,
                facts,
                body: mesh.is_secured().then(|| message.payload.clone()),
            },
            slot,
            held: None,
        })
    }

    /// Takes what a ticket says from the ledger: of the ticket itself only the intent and the sequence are believed. Many may
    /// write tickets, and what no record owes must not run. Where another record than that is the last one, the ticket is left
    /// without any, as one that comes again.
    ///
    /// # Errors
    /// When the ledger cannot be read now.
    pub async fn look_up(&mut self) -> Result<(), Error> {
        let Self { mesh, ticket, .. } = self;
        let body = ticket
            .body
            .take()
            .filter(|_| ticket.record.is_some() && mesh.proofs().is_none());
        if let Some(body) = &body
            && mesh
                .own_records()
                .take(&mesh.subjects().ledger(&ticket.intent), ticket.seq, body)
        {
            return Ok(());
        }
        let worker = WorkerMesh::of(mesh);
        if let Some(stored) = worker.last_at(&ticket.intent, ticket.seq).await {
            if body.is_some_and(|body| body == stored.body) {
                return Ok(());
            }
            if let Some(head) = worker.sole_head(&ticket.intent, &stored) {
                ticket.take(head);
                return Ok(());
            }
        }
        match Box::pin(mesh.head(&ticket.intent)).await {
            Ok(Some(head)) if head.seq == ticket.seq => ticket.take(head),
            // Whether there is anything left to do for it is found out as for a ticket that comes again.
            Ok(_) | Err(Error::NoneReadable { .. } | Error::Decode(_)) => ticket.record = None,
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// Whether the delivery has a slot to run in. One without was pulled alongside another, and must be handed back.
    pub fn has_slot(&self) -> bool {
        self.slot.is_some()
    }

    /// Takes the slot, for what goes on after the delivery is settled.
    pub fn take_slot(&mut self) -> Option<OwnedSemaphorePermit> {
        self.slot.take()
    }

    /// Acks the ticket, which removes it from the work stream.
    pub async fn ack(mut self) {
        self.held = None;
        self.send(Bytes::from_static(b"+ACK")).await;
    }

    /// A handle that extends this delivery, even while it is being settled.
    pub fn extender(&self) -> Extender {
        Extender {
            mesh: self.mesh.clone(),
            reply: self.reply.clone(),
        }
    }

    /// Hands the ticket back, for redelivery after a delay.
    pub async fn hand_back(mut self, delay: Duration) {
        self.held = None;
        let body = if delay.is_zero() {
            Bytes::from_static(b"-NAK")
        } else {
            Bytes::from(format!("-NAK {{\"delay\":{}}}", delay.as_nanos()))
        };
        self.send(body).await;
    }

    async fn send(&self, body: Bytes) {
        // Fire and forget: a lost ack means one more delivery, which the ledger settles.
        if let Err(error) = self.mesh.client().publish(self.reply.clone(), body).await {
            tracing::debug!(%error, "cannot send an acknowledgement");
        }
    }
}

/// The record of a ticket, verified where the mesh signs, and its link.
fn verified(
    mesh: &Mesh,
    record: Box<Record>,
    message: &Message,
    place: &AckPlace,
    seq: u64,
) -> Result<(Box<Record>, Option<Link>), String> {
    let Some(rules) = mesh.rules() else {
        return Ok((record, None));
    };
    let subject = mesh.subjects().ledger(&record.intent);
    let entry = Entry {
        subject: &subject,
        seq,
        stored_at: Some(place.stored_at()),
        guard: Guard::OfTicket,
        signature: signature(message.headers.as_ref()),
        body: &message.payload,
    };
    let link = rules.check(&entry, &record)?;
    Ok((record, Some(link)))
}

/// A handle that extends a delivery.
#[derive(Debug)]
pub struct Extender {
    mesh: Mesh,
    reply: String,
}

impl Extender {
    /// One that extends the same delivery over another connection.
    #[must_use]
    pub fn through(&self, mesh: &Mesh) -> Self {
        Self {
            mesh: mesh.clone(),
            reply: self.reply.clone(),
        }
    }

    /// Tells the broker that the work goes on.
    pub async fn extend(&self) {
        if let Err(error) = self
            .mesh
            .client()
            .publish(self.reply.clone(), Bytes::from_static(b"+WPI"))
            .await
        {
            tracing::debug!(%error, "cannot extend a delivery");
        }
    }
}
