//! Checks whether an idle tail is really at the end.

use std::time::Duration;

use super::mark::{Followable, LedgerMark};
use crate::error::Error;
use crate::server::Mesh;

/// How long to wait for a message while the ledger seems to have more, before checking the ledger.
pub(super) const SETTLE: Duration = Duration::from_millis(100);
/// How often an idle tail checks whether it is really at the end.
pub(super) const AUDIT: Duration = Duration::from_secs(5);

/// The result of an audit.
pub(super) enum Audit {
    /// It is at the end.
    AtEnd,
    /// No messages remain between the mark and this sequence.
    Gone(u64),
    /// There are records that have not arrived yet.
    More(u64),
    /// The ledger is a different one, or shorter than it was.
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
    /// Whether a stream has any message from a sequence on, according to its leader.
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

/// How long to wait for a record before checking whether there is one.
pub(super) const fn patience(seq: u64, end: u64) -> Duration {
    if seq < end { SETTLE } else { AUDIT }
}
