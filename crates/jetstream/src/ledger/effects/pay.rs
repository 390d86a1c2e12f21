//! Paying what a head owes: after one's own write, on a redelivery or a repeat, and in the sweeper for what is lost.

use std::time::Duration;

use baton_envelope::{Author, Effect, Owed, Record, Work, effects, is_within};

use super::resume::may_resume;
use super::ticket::TicketCopy;
use crate::error::Error;
use crate::ledger::{EncodedRecord, Head};
use crate::server::{ControllerMesh, DUPLICATE_WINDOW, Mesh};

/// How long a ticket may be written under the plain id of its envelope: until somewhat before the end of the server's
/// duplicate window, since clocks differ and a publish may be pursued for a while. The sweeper takes over what is
/// older, and finds out whether it is lost.
const PLAIN_ID: Duration = DUPLICATE_WINDOW.saturating_sub(Duration::from_secs(45));

/// What is owed now or once, by how to pay it.
#[derive(Default)]
struct Due<'h> {
    /// The ticket whose envelope is in the head itself.
    own: bool,
    /// The ticket whose envelope is in the record at this sequence.
    earlier: Option<u64>,
    /// The answer to this subject.
    answer: Option<&'h str>,
    /// The record `resumed`.
    resume: bool,
    /// The children of the calls that the head opens.
    children: bool,
    /// The record `redriven`.
    redrive: bool,
    /// The records `topped_up` of children that were lent more.
    top_ups: bool,
}

impl<'h> Due<'h> {
    fn of(head: &'h Record) -> Self {
        let mut due = Self::default();
        for (effect, owed) in effects(head) {
            match (effect, owed) {
                (Effect::Ticket(Work { source: None, .. }), Owed::Now) => due.own = true,
                (Effect::Ticket(Work { source, .. }), Owed::Now) => due.earlier = source,
                (Effect::Ticket(_), Owed::IfLost | Owed::Once) => {}
                (Effect::Answer(to), _) => due.answer = Some(to),
                (Effect::Resume, _) => due.resume = true,
                (Effect::Children, Owed::Now) => due.children = true,
                // The leader finds out which of them are missing.
                (Effect::Children, Owed::IfLost | Owed::Once) => {}
                (Effect::Redrive, _) => due.redrive = true,
                (Effect::TopUps, _) => due.top_ups = true,
            }
        }
        due
    }
}

impl Mesh {
    /// Pays what a record owes that this process has just written.
    pub(in crate::ledger) async fn pay(&self, record: &EncodedRecord, seq: u64) -> Result<(), Error> {
        let due = Due::of(record);
        if due.own {
            self.write_ticket(record, (record.body(), record.signature()), seq, TicketCopy::First)
                .await?;
        }
        // The rare cases are separate, so that the state of a waiting hop stays small.
        let is_of_others = due.children || due.top_ups;
        if due.earlier.is_some() || due.answer.is_some() || due.resume || due.redrive || is_of_others {
            // What was just written is this process's own.
            Box::pin(self.pay_the_rest(record, due, Some(&record.by))).await?;
        }
        Ok(())
    }

    async fn pay_the_rest(&self, head: &Record, due: Due<'_>, own: Option<&Author>) -> Result<(), Error> {
        if let Some(seq) = due.earlier {
            self.write_within(&self.record_at(&head.intent, seq).await?).await?;
        }
        if let Some(to) = due.answer {
            self.answer(head, to).await;
        }
        let by = own.or(self.author());
        if due.children
            && let Some(by) = by.filter(|by| may_resume(by, &head.snapshot))
        {
            Box::pin(self.submit_children(head, by)).await?;
        }
        if due.resume
            && let Some(by) = by.filter(|by| may_resume(by, &head.snapshot))
        {
            // It pays what its own record owes.
            Box::pin(self.resume(&head.intent, by, |_| false)).await?;
        }
        if due.redrive
            && let Some(by) = by.filter(|by| self.may_redrive(by))
        {
            Box::pin(self.redrive_funded(&head.intent, by)).await?;
        }
        if due.top_ups
            && let Some(by) = by.filter(|by| self.may_lend(by))
        {
            Box::pin(self.pay_debts(&head.intent, by)).await?;
        }
        Ok(())
    }

    /// Pays what the head of an intent owes, whoever wrote it: after a redelivery, and after a repeat. What takes a record that is
    /// gone from the ledger, or that nobody can read, is left: no repeat could pay it either, and whoever waited for this would
    /// wait for ever. The sweeper looks again.
    ///
    /// # Errors
    /// When a ticket could not be written. Then the caller must not ack.
    pub async fn settle(&self, head: &Head) -> Result<(), Error> {
        match self.settle_all(head).await {
            Err(error) if error.is_unreadable() => {
                tracing::warn!(%error, intent = %head.record.intent, "what it owes cannot be paid");
                Ok(())
            }
            settled => settled,
        }
    }

    async fn settle_all(&self, head: &Head) -> Result<(), Error> {
        let due = Due::of(&head.record);
        if due.own {
            self.write_within(head).await?;
        }
        self.pay_the_rest(&head.record, due, None).await
    }

    /// Writes a lost ticket of an intent again. Whoever takes it reads the ledger before running it.
    ///
    /// # Errors
    /// When the envelope cannot be read or the ticket cannot be written.
    pub async fn reissue(&self, head: &Head) -> Result<(), Error> {
        self.write_copy(head, TicketCopy::Again { head_seq: head.seq }).await
    }

    async fn write_copy(&self, head: &Head, copy: TicketCopy) -> Result<(), Error> {
        for (effect, _) in effects(&head.record) {
            let Effect::Ticket(work) = effect else { continue };
            let source = match work.source {
                Some(seq) => self.record_at(&head.record.intent, seq).await?,
                None => head.clone(),
            };
            let body = source.body()?;
            self.write_ticket(&source.record, (body, source.signature()), source.seq, copy)
                .await?;
        }
        Ok(())
    }

    /// Writes the ticket of the record that holds the envelope, while the server still knows the id of an earlier copy.
    async fn write_within(&self, source: &Head) -> Result<(), Error> {
        let stored_at = source.stored_at.unwrap_or(source.record.at);
        if !is_within(stored_at, self.now(), PLAIN_ID) {
            tracing::debug!(intent = %source.record.intent, "leaving the ticket to the sweeper");
            return Ok(());
        }
        let body = source.body()?;
        self.write_ticket(
            &source.record,
            (body, source.signature()),
            source.seq,
            TicketCopy::First,
        )
        .await
    }
}

impl ControllerMesh {
    /// Writes the ticket of an intent that was withheld: `breaker` is the revision of the breaker that lets it through.
    ///
    /// # Errors
    /// As [`Mesh::reissue`].
    pub async fn let_through(&self, head: &Head, breaker: u64) -> Result<(), Error> {
        let head_seq = head.seq;
        self.write_copy(head, TicketCopy::LetThrough { head_seq, breaker })
            .await
    }
}
