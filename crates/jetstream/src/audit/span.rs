//! What a checkpoint counts: a stretch of the ledger or of the archive.

use std::collections::{BTreeMap, HashMap};

use baton_envelope::{Bundle, HEADER_PART, HEADER_PREVIOUS_PART, Link, RunningRoot, Span};

use crate::error::Error;
use crate::server::{ControllerMesh, LedgerEnd, Stored, header_u64};

/// A message as it is counted: its subject and its link.
type Counted = (String, Link);

impl ControllerMesh {
    /// The first stretch of a ledger. It begins after the last message that is gone: who archived or repaired before the mesh
    /// signed has purged what no checkpoint covers, and an audit finds that in bundles without knowing since when.
    pub(super) async fn first_ledger_span(&self, end: LedgerEnd, after: u64) -> Result<Span, Error> {
        let (mut root, mut begin, mut last) = (RunningRoot::new(), after, after);
        let s = self.subjects();
        self.each_message(&s.ledger_stream(), &s.ledger_all(), after, &end, |stored| {
            if stored.seq != last + 1 {
                (root, begin) = (RunningRoot::new(), stored.seq - 1);
            }
            last = stored.seq;
            root.add(stored.seq, &stored.subject, link(stored));
        })
        .await?;
        if last < end.last_seq {
            (root, begin) = (RunningRoot::new(), end.last_seq);
        }
        Ok(span(end, begin, root))
    }

    /// The next stretch of a ledger, with what a controller that does not sign has purged since: the archive has that in
    /// bundles after `archived`.
    pub(super) async fn ledger_span(&self, end: LedgerEnd, after: u64, archived: u64) -> Result<Span, Error> {
        let whole = end.last_seq.saturating_sub(after);
        let root = self.ledger_root(&end, after, BTreeMap::new()).await?;
        if root.count == whole {
            return Ok(span(end, after, root));
        }
        let bundled = self.bundled(after, end.last_seq, archived).await?;
        let root = match bundled.is_empty() {
            true => root,
            false => self.ledger_root(&end, after, bundled).await?,
        };
        Ok(span(end, after, root))
    }

    /// The next stretch of the archive.
    pub(super) async fn archive_span(&self, end: LedgerEnd, after: u64) -> Result<Span, Error> {
        let mut root = RunningRoot::new();
        let s = self.subjects();
        self.each_message(&s.archive_stream(), &s.archive_all(), after, &end, |stored| {
            root.add(stored.seq, &stored.subject, link(stored));
        })
        .await?;
        Ok(span(end, after, root))
    }

    /// Counts what is in the ledger, and in between what is in bundles alone.
    async fn ledger_root(
        &self,
        end: &LedgerEnd,
        after: u64,
        mut bundled: BTreeMap<u64, Counted>,
    ) -> Result<RunningRoot, Error> {
        let mut root = RunningRoot::new();
        let s = self.subjects();
        self.each_message(&s.ledger_stream(), &s.ledger_all(), after, end, |stored| {
            let rest = bundled.split_off(&stored.seq);
            for (seq, (subject, link)) in std::mem::replace(&mut bundled, rest) {
                root.add(seq, &subject, link);
            }
            bundled.remove(&stored.seq);
            root.add(stored.seq, &stored.subject, link(stored));
        })
        .await?;
        for (seq, (subject, link)) in bundled {
            root.add(seq, &subject, link);
        }
        Ok(root)
    }

    /// The records of a stretch of the ledger that bundles hold after a sequence of the archive.
    async fn bundled(&self, after: u64, through: u64, archived: u64) -> Result<BTreeMap<u64, Counted>, Error> {
        let s = self.subjects();
        let (mut found, mut parts): (_, HashMap<u64, Vec<u8>>) = (BTreeMap::new(), HashMap::new());
        // To its end as it is now: what was purged while the ledger was read is there, too.
        let end = self.archive_end().await?;
        self.each_message(&s.archive_stream(), &s.archive_all(), archived, &end, |stored| {
            let headers = stored.headers.as_ref();
            let part = headers.and_then(|headers| headers.get(HEADER_PART));
            let is_last = part.is_none_or(|part| part.as_str().split_once('/').is_some_and(|(one, all)| one == all));
            let before = header_u64(headers, HEADER_PREVIOUS_PART).and_then(|before| parts.remove(&before));
            let bytes = [before.unwrap_or_default(), stored.body.to_vec()].concat();
            if !is_last {
                parts.insert(stored.seq, bytes);
                return;
            }
            // One that cannot be read holds nothing, here as in an audit.
            let Ok(bundle) = Bundle::decode(&bytes) else { return };
            let subject = s.ledger(&bundle.intent);
            for record in bundle.records.iter().chain(&bundle.void) {
                if record.seq > after && record.seq <= through {
                    found.insert(record.seq, (subject.clone(), record.entry(&subject).link()));
                }
            }
        })
        .await?;
        Ok(found)
    }

    /// Hands over every message of a stretch, in order.
    async fn each_message(
        &self,
        stream: &str,
        subjects: &str,
        after: u64,
        end: &LedgerEnd,
        mut each: impl FnMut(&Stored) + Send,
    ) -> Result<(), Error> {
        let mut next = after + 1;
        while next <= end.last_seq {
            let page = self.whole_page(stream, subjects, next).await?;
            let Some(last) = page.last() else { break };
            next = last.seq + 1;
            page.iter()
                .filter(|stored| stored.seq <= end.last_seq)
                .for_each(&mut each);
        }
        Ok(())
    }
}

fn link(stored: &Stored) -> Link {
    Link::of(&stored.body, stored.signature())
}

fn span(end: LedgerEnd, after: u64, root: RunningRoot) -> Span {
    Span {
        created: end.created,
        after,
        through: end.last_seq,
        count: root.count,
        root: root.root,
    }
}
