//! What to request next: which band, how many tickets, and whether the pull waits at the server.

use std::time::Duration;

use tokio::time::Instant;

use super::lane::{Kind, Lane, Pull};
use super::{GRACE, Puller};
use crate::error::Error;

/// One bulk pull in this many serves the least urgent waiting band first.
const FLOOR: u64 = 8;
/// How long a standing pull waits at the server.
const STANDING: Duration = Duration::from_secs(30);
/// How long a bulk pull waits at the server for more tickets, if slots can be spared.
const BULK: Duration = Duration::from_millis(100);

impl Puller {
    pub(super) fn could_pull_with_a_slot(&self) -> bool {
        let bulk_out = self.lanes.iter().any(|lane| lane.bulk.pull.is_some());
        let hot = self.lanes.iter().any(|lane| lane.hot);
        let standing_missing = self.lanes.iter().any(|lane| lane.standing.pull.is_none());
        !bulk_out && (hot || standing_missing)
    }

    pub(super) async fn refill(&mut self) -> Result<(), Error> {
        if self.stopped || self.trouble.is_some_and(|until| until > Instant::now()) {
            return Ok(());
        }
        self.trouble = None;
        if self.is_roomy() {
            for index in 0..self.lanes.len() {
                // While more urgent work waits, a reserved slot would give this band far more than its minimum share.
                if self.lanes.iter().take(index).any(|lane| lane.hot) {
                    break;
                }
                let missing = self.lanes.get(index).is_some_and(|lane| lane.standing.pull.is_none());
                let free = self.allowance.free();
                if missing && free > 0 {
                    self.pull(index, self.share.min(free), Kind::Standing).await?;
                }
            }
        }
        if self.lanes.iter().any(|lane| lane.bulk.pull.is_some()) {
            return Ok(());
        }
        let free = self.allowance.free();
        if free == 0 {
            return Ok(());
        }
        let low_first = self.bulks % FLOOR == FLOOR - 1;
        let hot = |lane: &Lane| lane.hot;
        let index = if low_first {
            self.lanes.iter().rposition(hot)
        } else {
            self.lanes.iter().position(hot)
        };
        if let Some(index) = index {
            self.bulks += 1;
            return self.pull(index, free, Kind::Bulk).await;
        }
        if !self.is_roomy() {
            for index in 0..self.lanes.len() {
                if self.lanes.get(index).is_some_and(|lane| lane.standing.pull.is_none()) {
                    self.pull(index, 1, Kind::Unreserved).await?;
                }
            }
        }
        Ok(())
    }

    pub(super) async fn pull(&mut self, index: usize, batch: u32, kind: Kind) -> Result<(), Error> {
        let slots = match kind {
            Kind::Unreserved => None,
            Kind::Standing | Kind::Bulk => match self.allowance.take(batch) {
                Some(slots) => Some(slots),
                None => return Ok(()),
            },
        };
        let roomy = self.is_roomy();
        self.next_pull += 1;
        let id = self.next_pull;
        let Some(lane) = self.lanes.get_mut(index) else {
            return Ok(());
        };
        let (body, wait) = match kind {
            // If slots can be spared, a bulk pull waits at the server for a moment. That saves a request and an answer
            // for each look at a band that fills slowly.
            Kind::Bulk if roomy => (format!("{{\"batch\":{batch},\"expires\":{}}}", BULK.as_nanos()), BULK),
            Kind::Bulk => (format!("{{\"batch\":{batch},\"no_wait\":true}}"), Duration::ZERO),
            Kind::Standing | Kind::Unreserved => (
                format!("{{\"batch\":{batch},\"expires\":{}}}", STANDING.as_nanos()),
                STANDING,
            ),
        };
        let pull = Pull {
            id,
            remaining: batch,
            slots,
            over_at: Instant::now() + wait + GRACE,
        };
        let next_subject = lane.next_subject.clone();
        let source = lane.source(kind);
        self.mesh
            .client()
            .publish_with_reply(next_subject, format!("{}.{id}", source.inbox), body.into())
            .await
            .map_err(|error| Error::api("pull", error))?;
        // Only now: if this future is dropped while it waits, a pull that was never sent must not keep its band from
        // being asked.
        source.pull = Some(pull);
        Ok(())
    }
}
