//! Following the ledger: a tail whose messages are records.

use bytes::Bytes;

use super::mark::{Followable, LedgerMark};
use super::stream::Tail;
use crate::error::Error;
use crate::server::{LedgerEnd, Mesh};

/// The next records of the ledger.
#[derive(Debug)]
pub struct LedgerBatch {
    /// Sequence and body of each, in order. May be empty: then what stood between was purged.
    pub records: Vec<(u64, Bytes)>,
    /// Everything up to here is known now.
    pub through: LedgerMark,
}

/// Follows the ledger.
#[derive(Debug)]
pub struct LedgerTail(Tail);

impl Mesh {
    /// The end of the ledger, as its leader knows it.
    ///
    /// # Errors
    /// When there is no ledger, or the server does not answer.
    pub async fn ledger_end(&self) -> Result<LedgerEnd, Error> {
        self.stream_end(&self.subjects().ledger_stream()).await
    }

    /// Follows the ledger that was created at `ledger` from the record after `after` on.
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
    /// Whether there are records up to which it has not come, as far as it knows.
    pub fn is_behind(&self) -> bool {
        self.0.mark.seq < self.0.end
    }

    /// The next records, as soon as there is one. `None` when the ledger is not the one that was begun with any more:
    /// it was deleted and made again, or it lost records in a crash. Then everything that was learnt from it is void.
    ///
    /// May be dropped while it waits, and called again after an error: nothing is skipped.
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
