//! Following the ledger: a tail whose messages are records.

use bytes::Bytes;

use super::mark::{Followable, LedgerMark};
use super::stream::Tail;
use crate::error::Error;
use crate::server::{LedgerEnd, Mesh};

/// The next records of the ledger.
#[derive(Debug)]
pub struct LedgerBatch {
    /// Sequence and body of each, in order. Empty if everything up to `through` was purged.
    pub records: Vec<(u64, Bytes)>,
    /// Everything up to here is now known.
    pub through: LedgerMark,
}

/// Follows the ledger.
#[derive(Debug)]
pub struct LedgerTail(Tail);

impl Mesh {
    /// The end of the ledger, according to its leader.
    ///
    /// # Errors
    /// When there is no ledger, or the server does not answer.
    pub async fn ledger_end(&self) -> Result<LedgerEnd, Error> {
        self.stream_end(&self.subjects().ledger_stream()).await
    }

    /// Follows the ledger created at `ledger`, starting after `after`.
    pub fn tail_ledger(&self, ledger: &str, after: LedgerMark) -> LedgerTail {
        let of = Followable {
            stream: self.subjects().ledger_stream(),
            subjects: self.subjects().ledger_all(),
            headers_only: false,
        };
        LedgerTail(self.tail(of, ledger, after))
    }
}

impl LedgerTail {
    /// Whether the ledger has records beyond the mark, as of the last check of its end.
    pub fn is_behind(&self) -> bool {
        self.0.mark.seq < self.0.end
    }

    /// Waits for the next records. `None` when the ledger is no longer the same one: it was deleted and created again,
    /// or it lost records in a crash. Then discard everything learnt from it.
    ///
    /// Cancel safe, and may be called again after an error: nothing is skipped.
    ///
    /// # Errors
    /// When the server does not answer, or refuses. Wait a little before the next call.
    pub async fn next_batch(&mut self) -> Result<Option<LedgerBatch>, Error> {
        let batch = self.0.next_batch().await?;
        Ok(batch.map(|batch| LedgerBatch {
            records: batch
                .followed
                .into_iter()
                .map(|one| (one.seq, one.message.payload))
                .collect(),
            through: batch.through,
        }))
    }
}
