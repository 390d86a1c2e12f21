//! Takes the objects of trees away in which no intent has been open for long: what was closed, and what was stored for an
//! intent that nobody ever submitted. What was closed is archived first, where intents are.
//!
//! An object lives as long as its tree, whoever refers to it: so it cannot be taken away between the moment at which somebody
//! stores it and the moment at which a record names it.

use std::collections::HashMap;
use std::time::Duration;

use baton_envelope::{IntentId, Mutant};
use baton_jetstream::{ArchivedObjects, TreeOfObjects};
use tokio::time::Instant;

use crate::rounds::error::RoundError;
use crate::rounds::round::{Period, Round};
use crate::rounds::term::Term;

/// How often at most, and at least. Nothing depends on it but the size of the stream.
const SELDOM: Duration = Duration::from_secs(10 * 60);
const OFTEN: Duration = Duration::from_millis(100);
/// How many times in the time that objects stay.
const TIMES: u32 = 24;
/// How long the projection may take to catch up before a conclusion from what is missing in it.
const CATCH_UP: Duration = Duration::from_secs(10);

/// Takes objects away.
#[derive(Debug)]
pub(crate) struct Objects {
    /// Since when this leader has seen no open intent in a tree. A new leader counts anew: objects stay longer then.
    closed: HashMap<IntentId, Instant>,
}

impl Round for Objects {
    const NAME: &'static str = "objects";
    /// Each tree is looked at by itself.
    const TIMEOUT: Duration = Duration::from_secs(10 * 60);
    const PERIOD: Period = Period::Time(SELDOM);

    fn begin(_: &Term) -> Self {
        Self { closed: HashMap::new() }
    }

    fn due(&mut self, term: &Term, turn: u64) -> Period {
        match turn {
            0 => Period::Time(Duration::ZERO),
            _ => Period::Time((term.cx.config.archive.keep_objects / TIMES).clamp(OFTEN, SELDOM)),
        }
    }

    async fn round(&mut self, term: &Term) -> Result<(), RoundError> {
        let keep = term.cx.config.archive.keep_objects;
        let trees = term.in_charge()?.mesh.trees_with_objects().await?;
        if trees.is_empty() {
            self.closed.clear();
            return Ok(());
        }
        term.cx.projection.caught_up(CATCH_UP).await?;
        let mut closed = HashMap::new();
        for tree in trees {
            if is_open(term, &tree.tree).await? {
                continue;
            }
            let since = *self.closed.get(&tree.tree).unwrap_or(&Instant::now());
            if since.elapsed() < keep || !is_old(term, &tree.tree, keep).await? {
                closed.insert(tree.tree, since);
                continue;
            }
            match Box::pin(take_away(term, &tree)).await {
                Ok(true) => {}
                Ok(false) => {
                    closed.insert(tree.tree, since);
                }
                Err(RoundError::Failed(error)) if !error.is_of_server() => {
                    tracing::warn!(%error, tree = %tree.tree, "the objects of a closed tree stay: they cannot be archived");
                    closed.insert(tree.tree, since);
                }
                Err(error) => return Err(error),
            }
        }
        self.closed = closed;
        Ok(())
    }
}

/// Archives the objects of a closed tree, if it is known, and takes them away. Whether none is left.
async fn take_away(term: &Term, tree: &TreeOfObjects) -> Result<bool, RoundError> {
    let TreeOfObjects { tree, messages } = tree;
    if !term.cx.config.archive.enabled || !is_known(term, tree).await? {
        term.in_charge()?.mesh.purge_objects(tree).await?;
        tracing::info!(%tree, messages, "the objects of a closed tree were taken away");
        return Ok(true);
    }
    let archived = term
        .in_charge()?
        .mesh
        .archive_objects(tree, term.cx.config.limits())
        .await?;
    // That took a while, in which an intent of the tree may have begun.
    term.cx.projection.caught_up(CATCH_UP).await?;
    if is_open(term, tree).await? {
        return Ok(false);
    }
    term.in_charge()?.mesh.purge_archived(tree, &archived).await?;
    let ArchivedObjects { objects, bundles, .. } = archived;
    tracing::info!(%tree, objects, bundles, "the objects of a closed tree were archived and taken away");
    // What came meanwhile has its own time.
    Ok(term.cx.mesh.objects_of(tree).await?.is_empty())
}

async fn is_open(term: &Term, tree: &IntentId) -> Result<bool, RoundError> {
    let is_open = term.cx.projection.is_tree_open(tree.clone()).await?;
    Ok(is_open && !Mutant::C12OpenIsPurged.is_on())
}

/// Whether the root of a closed tree was ever submitted. What has left the ledger meanwhile is in the archive.
async fn is_known(term: &Term, tree: &IntentId) -> Result<bool, RoundError> {
    if term.cx.projection.is_closed_known(tree).await? {
        return Ok(true);
    }
    term.cx.projection.archive_caught_up(CATCH_UP).await?;
    Ok(term.cx.projection.is_closed_known(tree).await?)
}

/// Whether the last object of a tree was stored long ago: an intent may be about to be submitted with it.
async fn is_old(term: &Term, tree: &IntentId, keep: Duration) -> Result<bool, RoundError> {
    let mesh = &term.in_charge()?.mesh;
    let last = mesh.last_object_at(tree).await?;
    Ok(last.is_none_or(|last| last.plus(keep) <= mesh.now()))
}
