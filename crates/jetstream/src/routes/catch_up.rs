//! Bringing the table of routes up to the end of the bucket, and proving that it is there.
//!
//! One request does both: it asks for the last message that the table contains and for all behind it. The answer begins with
//! that very message, stored at the same nanosecond, unless the bucket is another one or has lost it. When nothing is left
//! behind the answer, the table was current at the moment of asking. Where there are several copies any of them may answer,
//! even one that is cut off from the others: then the leader is asked for the end of the bucket first.

use std::time::Duration;

use baton_envelope::Route;

use crate::error::Error;
use crate::server::{BUCKET_PATIENCE, Freshness, Mesh, RouteChange, RouteMark, Stored};

/// How many changes are asked for at a time.
const CHANGES_AT_ONCE: usize = 256;
/// How often, and how far apart, replicas are asked that do not have what the leader has.
const LAG_TRIES: u32 = 40;
const LAG_PAUSE: Duration = Duration::from_millis(50);
/// How often the bucket is read anew when it changes identity meanwhile.
const READ_TRIES: u32 = 3;

impl Mesh {
    /// Whether the table is followed and current; proves it where that is in doubt.
    pub(super) async fn is_table_current(&self) -> bool {
        if !self.routes().is_followed() {
            return false;
        }
        match self.routes().freshness(self.moment()) {
            Freshness::Fresh => return true,
            Freshness::Aging => {
                self.routes().wanted().notify_one();
                return true;
            }
            Freshness::Unprovable => return false,
            Freshness::Stale => {}
        }
        let _alone = self.routes().proving().lock().await;
        match self.routes().freshness(self.moment()) {
            // Whoever held the lock has proved it, or failed to: one attempt serves all who waited.
            Freshness::Fresh | Freshness::Aging => true,
            Freshness::Unprovable => false,
            Freshness::Stale => {
                let proved = self.catch_up_alone().await;
                // The follower notices failures, and tries again later.
                self.routes().wanted().notify_one();
                proved
            }
        }
    }

    /// Reads what the table lacks, and proves that it is current; `false` when that was not possible.
    pub(super) async fn catch_up(&self) -> bool {
        let _alone = self.routes().proving().lock().await;
        self.catch_up_alone().await
    }

    async fn catch_up_alone(&self) -> bool {
        let caught = self.try_catch_up().await;
        let table = self.routes();
        match caught {
            Ok(()) => true,
            Err(error) => {
                // Once for each time that it stops working, not for each attempt.
                if table.fail() == 1 {
                    tracing::warn!(%error, "routes cannot be followed: each is read from the bucket when it is needed");
                } else {
                    tracing::debug!(%error, "routes still cannot be followed");
                }
                false
            }
        }
    }

    async fn try_catch_up(&self) -> Result<(), Error> {
        let (bucket, table) = (self.subjects().routes_bucket(), self.routes());
        let (mut lags, mut reads, mut new) = (0, 0, 0);
        loop {
            if !table.is_loaded() {
                if reads >= READ_TRIES {
                    return Err(Error::api(
                        "reading the routes",
                        "the bucket changed each time while it was read",
                    ));
                }
                reads += 1;
                self.load_table(&bucket).await?;
            }
            // Before the request: what the answer proves was so when it was sent, or later.
            let moment = self.moment();
            let mark = table.mark();
            let end = match table.copies() {
                0 | 1 => None,
                _ => Some(self.bucket_end(&bucket).await?.unwrap_or_default()),
            };
            if end.as_ref().is_some_and(|(seq, stored)| is_same(&mark, *seq, stored)) {
                table.proved(moment, new);
                return Ok(());
            }
            let request = serde_json::json!({
                "seq": mark.seq.max(1), "next_by_subj": format!("$KV.{bucket}.>"), "batch": CHANGES_AT_ONCE,
            });
            let batch = self
                .direct_batch_within(&format!("KV_{bucket}"), &request, BUCKET_PATIENCE)
                .await?;
            let first = batch.found.first();
            let continues = mark.seq == 0 || first.is_some_and(|first| is_same(&mark, first.seq, first.stored_text()));
            if continues {
                new += table.advance(batch.found.into_iter().map(|stored| self.route_change(stored)));
                let end_seq = end.as_ref().map_or(0, |(seq, _)| *seq);
                if !batch.more && table.mark().seq >= end_seq {
                    table.proved(moment, new);
                    return Ok(());
                }
                if batch.more {
                    continue;
                }
            } else {
                // A lagging replica lacks the mark, too; the leader tells the two apart.
                let is_lost = end.as_ref().is_none_or(|(seq, _)| *seq <= mark.seq);
                if is_lost || lags >= LAG_TRIES {
                    tracing::warn!("the routes bucket is not the one that was read before: it is read again");
                    table.reset();
                    continue;
                }
            }
            if lags >= LAG_TRIES {
                return Err(Error::api("reading the routes", "no replica has what the leader has"));
            }
            lags += 1;
            tokio::time::sleep(LAG_PAUSE).await;
        }
    }

    async fn load_table(&self, bucket: &str) -> Result<(), Error> {
        let state = self.bucket_state(bucket).await?;
        let mark = state.end.map(|(seq, stored)| RouteMark { seq, stored });
        let changes = state
            .newest
            .into_iter()
            .map(|stored| self.route_change(stored))
            .collect();
        self.routes().load(changes, mark.unwrap_or_default());
        Ok(())
    }

    /// A message of the routes bucket, as it stands there or as the server sent it on.
    pub(super) fn route_change(&self, stored: Stored) -> RouteChange {
        let bucket = self.subjects().routes_bucket();
        let key = stored
            .subject
            .strip_prefix("$KV.")
            .and_then(|rest| rest.strip_prefix(&bucket));
        let key = key.and_then(|rest| rest.strip_prefix('.')).unwrap_or_default();
        let route = match stored.is_removal() {
            true => None,
            false => match serde_json::from_slice::<Route>(&stored.body) {
                Ok(route) if route.agent.as_str() == key => Some(route),
                Ok(_) => {
                    tracing::warn!(key, "a route that speaks for another agent is dropped");
                    None
                }
                Err(error) => {
                    tracing::warn!(%error, key, "a route cannot be read");
                    None
                }
            },
        };
        let at = RouteMark {
            seq: stored.seq,
            stored: stored.stored_text().to_owned(),
        };
        RouteChange {
            at,
            agent: key.parse().ok(),
            route,
        }
    }
}

fn is_same(mark: &RouteMark, seq: u64, stored: &str) -> bool {
    mark.seq == seq && mark.stored == stored
}
