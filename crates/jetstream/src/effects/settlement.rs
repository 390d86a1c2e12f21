//! Settling a record: deciding whether its ticket or its answer is written.

use std::time::Duration;

use baton_envelope::Record;
use bytes::Bytes;

use crate::error::Error;
use crate::ledger::Sealed;
use crate::server::{DUPLICATE_WINDOW, Mesh};

/// How long before the end of the server's duplicate window a repeated ticket counts as late already: the clocks of a
/// writer and of the server differ, and a publish may be pursued for a while.
const WINDOW_MARGIN: Duration = Duration::from_secs(45);

/// What settling did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Settled {
    /// A ticket stands in a work stream.
    Ticket,
    /// Nothing was left to write.
    Nothing,
}

impl Mesh {
    /// Writes the tickets and answers that the record at `seq` implies.
    ///
    /// # Errors
    /// When a ticket could not be written; the caller must not ack then.
    pub async fn settle(&self, record: &Record, seq: u64) -> Result<Settled, Error> {
        if record.envelope.is_some() {
            return self.settle_encoded(record, Self::encode(record)?, seq).await;
        }
        self.answer(record).await;
        Ok(Settled::Nothing)
    }

    /// As [`Mesh::settle`], with a record that is encoded already.
    ///
    /// # Errors
    /// As [`Mesh::settle`].
    pub async fn settle_sealed(&self, sealed: &Sealed, seq: u64) -> Result<Settled, Error> {
        self.settle_encoded(sealed, sealed.body(), seq).await
    }

    pub(crate) async fn settle_encoded(&self, record: &Record, body: Bytes, seq: u64) -> Result<Settled, Error> {
        if !record.implies_ticket() {
            self.answer(record).await;
            return Ok(Settled::Nothing);
        }
        // Past the window the server no longer knows the message id: a repeat would stand beside the first ticket, so it
        // is marked, and whoever takes it reads the ledger.
        let is_late = record.is_past_window(self.now(), DUPLICATE_WINDOW.saturating_sub(WINDOW_MARGIN));
        self.write_ticket(record, body, seq, is_late.then_some(seq)).await?;
        Ok(Settled::Ticket)
    }
}
