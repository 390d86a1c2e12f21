//! Reading an object: every byte is verified against the hash that names it, wherever it comes from. What the context stream
//! does not have may be archived.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use baton_envelope::{IntentId, ObjectHash, ObjectRef, PieceList};
use bytes::Bytes;
use serde_json::json;

use crate::error::Error;
use crate::server::{Mesh, Stored};

/// How many pieces are asked for at once: 4 MiB, as the answer has no flow control.
const TOGETHER: usize = 16;
/// How long a replica may take for each message of an answer, before the leader is asked.
const PATIENCE: Duration = Duration::from_secs(2);

impl Mesh {
    /// The content of an object of a tree.
    ///
    /// # Errors
    /// [`Error::ObjectMissing`] when the stream does not have it, or a piece of it; [`Error::ObjectCorrupt`] when what it has
    /// is something else, or the reference cannot be; or when the server does not answer.
    pub async fn get_object(&self, tree: &IntentId, object: &ObjectRef) -> Result<Bytes, Error> {
        // On the heap: few hops need it, and each that runs would hold its state.
        Box::pin(self.get(tree, object)).await
    }

    /// The content of an object of which only the hash and the place are known.
    ///
    /// # Errors
    /// As [`Mesh::get_object`].
    pub async fn get_object_at(&self, tree: &IntentId, hash: &ObjectHash, place: u32) -> Result<Bytes, Error> {
        Box::pin(self.read_object(tree, hash, &hash.token(place), None)).await
    }

    /// The same, of one that an open intent is to name: it must not be in the archive alone, which keeps nothing for ever.
    pub(super) async fn get_kept_object(&self, tree: &IntentId, object: &ObjectRef) -> Result<Bytes, Error> {
        let token = object
            .token()
            .map_err(|problem| corrupt(tree, object.hash.as_str(), problem))?;
        match Box::pin(self.stored_object(tree, token)).await? {
            Some(found) => Box::pin(self.content_of(tree, &object.hash, found, Some(object.bytes))).await,
            None => Err(missing(tree, object.hash.as_str())),
        }
    }

    async fn get(&self, tree: &IntentId, object: &ObjectRef) -> Result<Bytes, Error> {
        let token = object
            .token()
            .map_err(|problem| corrupt(tree, object.hash.as_str(), problem))?;
        self.read_object(tree, &object.hash, token, Some(object.bytes)).await
    }

    async fn read_object(
        &self,
        tree: &IntentId,
        hash: &ObjectHash,
        token: &str,
        bytes: Option<u64>,
    ) -> Result<Bytes, Error> {
        let found = match self.stored_object(tree, token).await? {
            Some(found) => found,
            None => self
                .archived_object(tree, token)
                .await?
                .ok_or_else(|| missing(tree, hash.as_str()))?,
        };
        self.content_of(tree, hash, found, bytes).await
    }

    /// The content that a message under a hash is, or that it lists.
    async fn content_of(
        &self,
        tree: &IntentId,
        hash: &ObjectHash,
        found: Bytes,
        bytes: Option<u64>,
    ) -> Result<Bytes, Error> {
        let content = match ObjectHash::of(&found) == *hash {
            true => found,
            false => {
                let list = PieceList::decode(&found, hash).map_err(|problem| corrupt(tree, hash.as_str(), problem))?;
                self.join(tree, hash, &list).await?
            }
        };
        match bytes {
            Some(bytes) if bytes != content.len() as u64 => {
                let problem = format!("it has {} bytes, and the reference says {bytes}", content.len());
                Err(corrupt(tree, hash.as_str(), problem))
            }
            Some(_) | None => Ok(content),
        }
    }

    /// The content of pieces.
    async fn join(&self, tree: &IntentId, whole: &ObjectHash, list: &PieceList) -> Result<Bytes, Error> {
        let mut found = self.verified_pieces(tree, list.pieces.iter()).await;
        self.add_archived(tree, list.pieces.iter(), &mut found).await;
        let mut pieces: HashMap<&ObjectHash, Bytes> = HashMap::new();
        let mut content = Vec::with_capacity(usize::try_from(list.bytes).unwrap_or(0));
        for (index, hash) in list.pieces.iter().enumerate() {
            let piece = match found.get(hash).or_else(|| pieces.get(hash)) {
                Some(piece) => piece.clone(),
                // A replica did not have it, or it is not what it should be: the leader says which.
                None => {
                    let piece = match self.object_of_leader(tree, hash.as_str()).await? {
                        Some(piece) => Some(piece),
                        None => self.archived_object(tree, hash.as_str()).await?,
                    };
                    let piece = piece.ok_or_else(|| missing(tree, hash.as_str()))?;
                    if ObjectHash::of(&piece) != *hash {
                        return Err(corrupt(
                            tree,
                            whole.as_str(),
                            format!("its piece {index} is not what its hash says"),
                        ));
                    }
                    pieces.insert(hash, piece.clone());
                    piece
                }
            };
            if piece.len() != list.size_of(index) {
                let problem = format!(
                    "its piece {index} has {} bytes, and not {}",
                    piece.len(),
                    list.size_of(index)
                );
                return Err(corrupt(tree, whole.as_str(), problem));
            }
            content.extend_from_slice(&piece);
        }
        match ObjectHash::of(&content) == *whole {
            true => Ok(content.into()),
            false => Err(corrupt(
                tree,
                whole.as_str(),
                "its pieces are of something else".to_owned(),
            )),
        }
    }

    /// Those of these pieces that the stream has and that are what their hashes say. What is not among them may be there all
    /// the same: a replica may lag, or not answer.
    pub(super) async fn verified_pieces<'h>(
        &self,
        tree: &IntentId,
        hashes: impl Iterator<Item = &'h ObjectHash>,
    ) -> HashMap<ObjectHash, Bytes> {
        let wanted: Vec<&ObjectHash> = hashes.collect::<HashSet<_>>().into_iter().collect();
        let mut found = HashMap::new();
        for part in wanted.chunks(TOGETHER) {
            found.extend(self.verified_together(tree, part.iter().copied()).await);
        }
        found
    }

    /// Likewise, of so few bytes that all may be asked for at once.
    pub(super) async fn verified_together<'h>(
        &self,
        tree: &IntentId,
        hashes: impl Iterator<Item = &'h ObjectHash>,
    ) -> HashMap<ObjectHash, Bytes> {
        let stream = self.subjects().context_stream();
        let names: HashSet<String> = hashes.map(|hash| self.subjects().object(tree, hash.as_str())).collect();
        let request = json!({ "multi_last": names, "batch": names.len() });
        let mut found = HashMap::new();
        match self.direct_batch_within(&stream, &request, PATIENCE).await {
            Ok(batch) => {
                for one in batch.found {
                    let hash = ObjectHash::of(&one.body);
                    if self.subjects().object(tree, hash.as_str()) == one.subject {
                        found.insert(hash, one.body);
                    }
                }
            }
            Err(error) => tracing::debug!(%error, %tree, "objects could not be read together"),
        }
        found
    }

    /// What stands in a place: by any replica, and where that has nothing, by the leader.
    pub(super) async fn stored_object(&self, tree: &IntentId, token: &str) -> Result<Option<Bytes>, Error> {
        let stream = self.subjects().context_stream();
        self.last_body(&stream, &self.subjects().object(tree, token)).await
    }

    /// The last body on a subject, likewise.
    pub(super) async fn last_body(&self, stream: &str, subject: &str) -> Result<Option<Bytes>, Error> {
        let found = self.last_message(stream, subject).await?;
        Ok(found.map(|found| found.body))
    }

    /// The last message on a subject, likewise.
    pub(super) async fn last_message(&self, stream: &str, subject: &str) -> Result<Option<Stored>, Error> {
        let direct = tokio::time::timeout(PATIENCE, self.direct_last_of(stream, subject)).await;
        match direct {
            Ok(Ok(Some(found))) => Ok(Some(found)),
            Ok(Err(error @ Error::Denied { .. })) => Err(error),
            Ok(Ok(None) | Err(_)) | Err(_) => self.last_of_leader(stream, subject).await,
        }
    }

    async fn object_of_leader(&self, tree: &IntentId, token: &str) -> Result<Option<Bytes>, Error> {
        let stream = self.subjects().context_stream();
        let found = self
            .last_of_leader(&stream, &self.subjects().object(tree, token))
            .await?;
        Ok(found.map(|found| found.body))
    }

    async fn last_of_leader(&self, stream: &str, subject: &str) -> Result<Option<Stored>, Error> {
        self.leader_get(stream, &json!({ "last_by_subj": subject })).await
    }
}

fn missing(tree: &IntentId, object: &str) -> Error {
    Error::ObjectMissing {
        tree: tree.clone(),
        object: object.to_owned(),
    }
}

pub(super) fn corrupt(tree: &IntentId, object: &str, problem: String) -> Error {
    Error::ObjectCorrupt {
        tree: tree.clone(),
        object: object.to_owned(),
        problem,
    }
}
