//! The objects of a tree together: how many there are, whether there is room for more, and taking them away.

use std::collections::{BTreeMap, HashSet};

use baton_envelope::{IntentId, ObjectHash, PIECE_BYTES, TREE_BYTES, TREE_OBJECTS, Timestamp};
use serde_json::json;

use crate::error::{Error, STREAM_NOT_FOUND};
use crate::server::{ControllerMesh, Mesh};

/// How many messages are sized at once.
const TOGETHER: usize = 64;

/// A message that holds an object of a tree, or a piece of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectOfTree {
    /// The hash that it stands under.
    pub hash: ObjectHash,
    /// Which of the places of that hash.
    pub place: u32,
}

/// A tree that has objects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TreeOfObjects {
    /// The root intent.
    pub tree: IntentId,
    /// How many messages hold its objects.
    pub messages: usize,
}

impl Mesh {
    /// The messages that hold the objects of a tree, by the word of the stream's leader.
    ///
    /// # Errors
    /// When the server does not answer.
    pub async fn objects_of(&self, tree: &IntentId) -> Result<Vec<ObjectOfTree>, Error> {
        let tokens = self.tokens_of(tree).await?;
        let mut found: Vec<ObjectOfTree> = tokens
            .iter()
            .filter_map(|token| ObjectHash::of_token(token))
            .map(|(hash, place)| ObjectOfTree { hash, place })
            .collect();
        found.sort_by(|one, other| (&one.hash, one.place).cmp(&(&other.hash, other.place)));
        Ok(found)
    }

    /// The last tokens of the subjects of a tree; none where there is no stream yet.
    pub(super) async fn tokens_of(&self, tree: &IntentId) -> Result<Vec<String>, Error> {
        let (stream, filter) = (self.subjects().context_stream(), self.subjects().objects_of(tree));
        match self.stream_subjects(&stream, &filter).await {
            Ok(subjects) => Ok(subjects
                .into_keys()
                .filter_map(|subject| Some(self.subjects().object_of(&subject)?.1.to_owned()))
                .collect()),
            Err(Error::Refused(refusal)) if refusal.code == STREAM_NOT_FOUND => Err(Error::NoStream(stream)),
            Err(error) => Err(error),
        }
    }

    /// The trees and the last tokens of all subjects; none where there is no stream.
    pub(super) async fn all_tokens(&self) -> Result<Vec<(IntentId, String)>, Error> {
        let (stream, all) = (self.subjects().context_stream(), self.subjects().objects_all());
        let subjects = match self.stream_subjects(&stream, &all).await {
            Ok(subjects) => subjects,
            Err(Error::Refused(refusal)) if refusal.code == STREAM_NOT_FOUND => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let all = subjects.keys().filter_map(|subject| {
            let (tree, token) = self.subjects().object_of(subject)?;
            Some((tree, token.to_owned()))
        });
        Ok(all.collect())
    }

    /// Whether a tree has room for content of these messages; those of them that stand there already. Other writers of the
    /// tree may be under way: the limits bound what a tree may come to, and are no more exact than that.
    pub(super) async fn has_room(
        &self,
        tree: &IntentId,
        wanted: &[&ObjectHash],
        bytes: usize,
    ) -> Result<HashSet<ObjectHash>, Error> {
        let tokens = self.tokens_of(tree).await?;
        let there: HashSet<ObjectHash> = tokens.iter().filter_map(|token| token.parse().ok()).collect();
        let fresh: HashSet<&&ObjectHash> = wanted.iter().filter(|hash| !there.contains(**hash)).collect();
        let messages = tokens.len() + fresh.len();
        if fresh.is_empty() {
            return Ok(there);
        }
        if messages > TREE_OBJECTS {
            return Err(full(
                tree,
                format!("it would have {messages} messages, and {TREE_OBJECTS} are the most"),
            ));
        }
        // Each has a piece at most: only where there are many is it worth while to read how large they are.
        let most = |messages: usize| (messages as u64).saturating_mul(PIECE_BYTES as u64);
        if most(messages) <= TREE_BYTES {
            return Ok(there);
        }
        let stored = self.size_of(tree, &tokens).await?;
        let more = most(fresh.len()).min(bytes as u64);
        if stored.saturating_add(more) > TREE_BYTES {
            let problem = format!("it has {stored} bytes, {more} are to come, and {TREE_BYTES} are the most");
            return Err(full(tree, problem));
        }
        Ok(there)
    }

    /// How many bytes the objects of a tree have: the server does not say, so they are read.
    async fn size_of(&self, tree: &IntentId, tokens: &[String]) -> Result<u64, Error> {
        let stream = self.subjects().context_stream();
        let mut bytes = 0_u64;
        for part in tokens.chunks(TOGETHER) {
            let names: Vec<String> = part.iter().map(|token| self.subjects().object(tree, token)).collect();
            let request = json!({ "multi_last": names, "batch": part.len() });
            let (found, _) = self.direct_batch_of(&stream, &request).await?;
            bytes += found.iter().map(|one| one.body.len() as u64).sum::<u64>();
        }
        Ok(bytes)
    }
}

impl ControllerMesh {
    /// The trees that have objects, in the order of their names; none where there is no stream.
    ///
    /// # Errors
    /// When the server does not answer.
    pub async fn trees_with_objects(&self) -> Result<Vec<TreeOfObjects>, Error> {
        let mut trees: BTreeMap<IntentId, usize> = BTreeMap::new();
        for (tree, _) in self.all_tokens().await? {
            *trees.entry(tree).or_default() += 1;
        }
        let trees = trees.into_iter();
        Ok(trees.map(|(tree, messages)| TreeOfObjects { tree, messages }).collect())
    }

    /// When the last object of a tree was stored, by the server's clock; `None` where it has none.
    ///
    /// # Errors
    /// When the server does not answer.
    pub async fn last_object_at(&self, tree: &IntentId) -> Result<Option<Timestamp>, Error> {
        let request = json!({ "last_by_subj": self.subjects().objects_of(tree) });
        let last = self.leader_get(&self.subjects().context_stream(), &request).await?;
        Ok(last.and_then(|last| last.stored_at()))
    }

    /// Takes all objects of a tree away. Only for a tree that nothing needs any more.
    ///
    /// # Errors
    /// When the server refuses or does not answer; they may be gone then.
    pub async fn purge_objects(&self, tree: &IntentId) -> Result<(), Error> {
        let what = format!("STREAM.PURGE.{}", self.subjects().context_stream());
        let request = json!({ "filter": self.subjects().objects_of(tree) });
        self.ask::<serde::de::IgnoredAny>(&what, &request).await??;
        Ok(())
    }
}

fn full(tree: &IntentId, problem: String) -> Error {
    Error::ObjectsFull {
        tree: tree.clone(),
        problem,
        is_lasting: true,
    }
}
