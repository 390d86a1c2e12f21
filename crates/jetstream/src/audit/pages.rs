//! Reading a stream from one end to the other.

use std::time::Duration;

use serde_json::json;

use crate::error::Error;
use crate::server::{Mesh, Stored};

/// How many messages to read at once.
const PAGE: usize = 1000;

/// How often to ask the copies of a stream again that are behind its leader, and how long to wait before.
const TRIES: usize = 100;
const BEHIND: Duration = Duration::from_millis(100);

impl Mesh {
    /// The next messages of a stream from a sequence on; none only where its leader has none. Any copy of the stream may
    /// answer, and one that is behind would have an end cut off that is there.
    pub(super) async fn whole_page(&self, stream: &str, subjects: &str, from: u64) -> Result<Vec<Stored>, Error> {
        let next = json!({ "seq": from, "next_by_subj": subjects });
        let batch = json!({ "seq": from, "next_by_subj": subjects, "batch": PAGE });
        for _ in 0..TRIES {
            let (page, _) = self.direct_batch_of(stream, &batch).await?;
            if !page.is_empty() || self.leader_get(stream, &next).await?.is_none() {
                return Ok(page);
            }
            tokio::time::sleep(BEHIND).await;
        }
        let what = format!("reading {stream} from sequence {from}");
        Err(Error::no_answer(what, "the copies that answer are behind its leader"))
    }

    /// The messages of a subject, up to one.
    pub(crate) async fn stored_through(&self, stream: &str, subject: &str, last: u64) -> Result<Vec<Stored>, Error> {
        let mut found: Vec<Stored> = Vec::new();
        let mut from = 1;
        while from <= last {
            let page = self.whole_page(stream, subject, from).await?;
            let Some(end) = page.last() else { break };
            from = end.seq + 1;
            found.extend(page.into_iter().filter(|stored| stored.seq <= last));
        }
        Ok(found)
    }
}
