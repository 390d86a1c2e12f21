//! Children and undos that nobody has submitted: the leader does, and ends those that the mesh refuses.
//!
//! Whoever waits for a child that is never taken would wait for ever. So it ends as rejected, with the code of the refusal, and
//! its parent goes on with that as with any other end.

use std::time::Duration;

use baton_envelope::{Author, ChildSet, ErrorInfo, IntentId, act};
use futures::StreamExt as _;

use super::children::{AT_ONCE, Tried};
use crate::error::{Error, Refuses};
use crate::ledger::{Advanced, Decision, Head, Known};
use crate::server::ControllerMesh;

/// How long an agent that does not take a child has to change: about as long as the attempts of a hop that hands on to it.
const PATIENCE: Duration = Duration::from_secs(10);
/// The longest text of a refusal: it may list all agents of the mesh.
const LONGEST: usize = 4_000;

/// What became of the missing children of a call.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Missing {
    /// How many were submitted.
    pub new: usize,
    /// How many have ended as rejected, because they are never taken.
    pub rejected: usize,
}

impl ControllerMesh {
    /// Submits children of an open call that nobody has submitted, and ends those that are never taken: the caller has asked the
    /// archive about them. Those that may be taken later stay missing.
    ///
    /// # Errors
    /// When one of them cannot be submitted for a reason that is not its own; the others are.
    pub async fn submit_missing(
        &self,
        parent: &Head,
        set: &ChildSet,
        missing: &[u32],
        by: &Author,
    ) -> Result<Missing, Error> {
        let of = &parent.record.intent;
        let (opener, tried) = match self.try_missing(parent, set, missing, by).await {
            Ok(tried) => tried,
            // What they are asked is lost with the records of their parent.
            Err(error) => {
                self.or_park(of, by, Err(error)).await?;
                return Ok(Missing::default());
            }
        };
        let opener = &opener;
        let ending = tried.refused.iter().map(|(index, error)| async move {
            let child = IntentId::of_child(of, set.hop, &set.name, *index);
            self.refuse_child(parent, opener, &child, error, by).await
        });
        let ending: Vec<_> = ending.collect();
        let mut ending = futures::stream::iter(ending).buffer_unordered(AT_ONCE);
        let mut rejected = 0;
        while let Some(ended) = ending.next().await {
            rejected += usize::from(ended?);
        }
        match tried.failed {
            Some(error) => Err(error),
            None => Ok(Missing {
                new: tried.new,
                rejected,
            }),
        }
    }

    async fn try_missing(
        &self,
        parent: &Head,
        set: &ChildSet,
        missing: &[u32],
        by: &Author,
    ) -> Result<(Head, Tried), Error> {
        let opener = self.opener(parent, set).await?;
        let tried = self.submit_of_set(&opener, set, missing, by).await?;
        Ok((opener, tried))
    }

    /// Ends a child or an undo that the mesh refuses, where it is never taken as it is, or was not for a while since the record that
    /// asks for it. `false` when it is left to be tried again.
    pub(super) async fn refuse_child(
        &self,
        parent: &Head,
        asked: &Head,
        child: &IntentId,
        error: &Error,
        by: &Author,
    ) -> Result<bool, Error> {
        let of = &parent.record.intent;
        let since = asked.stored_at.unwrap_or(asked.record.at);
        let is_over = match error.refuses() {
            Some(Refuses::ForGood) => true,
            Some(Refuses::ForNow) => self.now().since(since) >= PATIENCE,
            // The work of others waits for that breaker, too, and its alarm tells.
            Some(Refuses::UntilClosed) | None => false,
        };
        if !is_over {
            tracing::debug!(%error, intent = %of, %child, "a child is refused, and tried again");
            return Ok(false);
        }
        let message: String = error.to_string().chars().take(LONGEST).collect();
        let why = ErrorInfo::new(error.code(), message);
        let root = parent.record.snapshot.root.clone().unwrap_or_else(|| of.clone());
        let ended = self.advance(child, by, Known::Absent, |head, stamp| match head {
            // Somebody was faster.
            Some(_) => Ok::<_, Error>(Decision::Nothing),
            None => Ok(act::never_begin(stamp.at, root.clone(), of.clone(), why.clone()).into()),
        });
        if let Advanced::Committed(_) = ended.await? {
            tracing::warn!(%error, intent = %of, %child, "a child is never taken, and has ended as rejected");
        }
        Ok(true)
    }
}
