//! Whether an idle tail is at the end indeed.

use std::time::Duration;

use super::mark::{Followable, LedgerMark};
use crate::error::Error;
use crate::server::Mesh;

/// How long nothing may come while the ledger seems to have more, until it is looked what is there.
pub(super) const SETTLE: Duration = Duration::from_millis(100);
/// How often an idle tail looks whether it is at the end indeed.
pub(super) const AUDIT: Duration = Duration::from_secs(5);

/// What an idle tail found out.
pub(super) enum Audit {
    /// It is at the end.
    AtEnd,
    /// Nothing stands between the mark and this sequence.
    Gone(u64),
    /// There are records that did not come yet.
    More(u64),
    /// The ledger is another one, or shorter than it was.
    Doubtful,
}

pub(super) async fn audit(mesh: &Mesh, of: &Followable, ledger: &str, mark: LedgerMark) -> Result<Audit, Error> {
    let end = mesh.stream_end(&of.stream).await?;
    Ok(if end.created != ledger || end.last_seq < mark.seq {
        Audit::Doubtful
    } else if end.last_seq == mark.seq {
        Audit::AtEnd
    } else if mesh.has_message_from(of, mark.seq + 1).await? {
        Audit::More(end.last_seq)
    } else {
        Audit::Gone(end.last_seq)
    })
}

impl Mesh {
    /// Whether any message stands in a stream from a sequence on, as its leader knows it.
    async fn has_message_from(&self, of: &Followable, seq: u64) -> Result<bool, Error> {
        let what = format!("STREAM.MSG.GET.{}", of.stream);
        let request = serde_json::json!({ "seq": seq, "next_by_subj": of.subjects });
        match self.ask::<serde::de::IgnoredAny>(&what, &request).await? {
            Ok(_) => Ok(true),
            Err(refusal) if refusal.code == 10037 => Ok(false),
            Err(refusal) => Err(refusal.into()),
        }
    }
}

/// How long to wait for a record before it is looked whether there is one.
pub(super) const fn patience(seq: u64, end: u64) -> Duration {
    if seq < end { SETTLE } else { AUDIT }
}
