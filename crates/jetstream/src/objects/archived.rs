//! Reading what the archive has of the objects of a tree. A reader asks for it only where the context stream has nothing.

use std::collections::{BTreeSet, HashMap};

use baton_envelope::{IntentId, ObjectBundle, ObjectBundleName, ObjectHash, StoredObject};
use bytes::Bytes;

use super::get::corrupt;
use crate::error::{Error, STREAM_NOT_FOUND};
use crate::server::Mesh;

impl Mesh {
    /// Those of these tokens of a tree under which the archive has something.
    ///
    /// # Errors
    /// [`Error::ObjectCorrupt`] for a bundle that may hold one that no other has, or when the server does not answer.
    pub async fn archived_tokens(&self, tree: &IntentId, tokens: &BTreeSet<String>) -> Result<BTreeSet<String>, Error> {
        let mut there = BTreeSet::new();
        let damaged = self.each_archived(tree, Some(tokens), |object| {
            there.insert(object.at);
        });
        damaged.await?.map_or(Ok(there), Err)
    }

    /// What the archive has under a token; `None` also where there is no archive, and where this user may not read it.
    pub(super) async fn archived_object(&self, tree: &IntentId, token: &str) -> Result<Option<Bytes>, Error> {
        let wanted = BTreeSet::from([token.to_owned()]);
        let mut found = None;
        let damaged = self.each_archived(tree, Some(&wanted), |object| found = better(found.take(), object));
        damaged.await?.map_or(Ok(found), Err)
    }

    /// Adds what the archive has of these to what was found, where it is what its hash says. What is not among it is asked for by
    /// itself, and that says why it cannot be had.
    pub(super) async fn add_archived<'h>(
        &self,
        tree: &IntentId,
        hashes: impl Iterator<Item = &'h ObjectHash>,
        found: &mut HashMap<ObjectHash, Bytes>,
    ) {
        let missing = hashes.filter(|hash| !found.contains_key(*hash));
        let wanted: BTreeSet<String> = missing.map(ObjectHash::to_string).collect();
        if wanted.is_empty() {
            return;
        }
        let read = self.each_archived(tree, Some(&wanted), |object| {
            let hash = ObjectHash::of(&object.body);
            if hash.as_str() == object.at {
                found.insert(hash, object.body.into());
            }
        });
        if let Ok(Some(error)) | Err(error) = Box::pin(read).await {
            tracing::debug!(%error, %tree, "archived objects could not be read together");
        }
    }

    /// All that the archive has of a tree, in the first place of each hash; and what is damaged of it.
    pub(super) async fn all_archived(
        &self,
        tree: &IntentId,
    ) -> Result<(HashMap<ObjectHash, Bytes>, Option<Error>), Error> {
        let mut found: HashMap<ObjectHash, Bytes> = HashMap::new();
        let damaged = self.each_archived(tree, None, |object| {
            if let Ok(hash) = object.at.parse::<ObjectHash>()
                && let Some(body) = better(found.remove(&hash), object)
            {
                found.insert(hash, body);
            }
        });
        let damaged = damaged.await?;
        Ok((found, damaged))
    }

    /// Takes each archived object of a tree, or those of some tokens, one bundle at a time: a tree may have more of them than fit
    /// into memory. A tree that has lived twice may have two under a token. Returns the damage that may hide what was wanted.
    async fn each_archived(
        &self,
        tree: &IntentId,
        wanted: Option<&BTreeSet<String>>,
        mut take: impl FnMut(StoredObject),
    ) -> Result<Option<Error>, Error> {
        let (mut damaged, mut taken) = (Vec::new(), BTreeSet::new());
        for name in self.object_bundles(tree).await? {
            if wanted.is_some_and(|wanted| !wanted.iter().any(|token| name.may_hold(token))) {
                continue;
            }
            let bundle = match self.object_bundle(tree, &name).await {
                Ok(Some(bundle)) => bundle,
                // It has come of age.
                Ok(None) => continue,
                Err(error) if error.is_of_object() => {
                    damaged.push((name, error));
                    continue;
                }
                Err(error) => return Err(error),
            };
            for object in bundle.objects {
                if wanted.is_none_or(|wanted| wanted.contains(&object.at)) {
                    taken.insert(object.at.clone());
                    take(object);
                }
            }
        }
        // Where another bundle has all that was wanted, nothing is hidden.
        let may_hide = |name: &ObjectBundleName| {
            let left = wanted.map(|wanted| wanted.difference(&taken));
            left.is_none_or(|mut left| left.any(|token| name.may_hold(token)))
        };
        Ok(damaged
            .into_iter()
            .find(|(name, _)| may_hide(name))
            .map(|(_, error)| error))
    }

    /// The bundles of a tree, by the word of the stream's leader; none where there is no archive, or none for this user.
    async fn object_bundles(&self, tree: &IntentId) -> Result<BTreeSet<ObjectBundleName>, Error> {
        let (stream, all) = (
            self.subjects().context_archive_stream(),
            self.subjects().object_bundle(tree, "*"),
        );
        let subjects = match self.stream_subjects(&stream, &all).await {
            Ok(subjects) => subjects,
            Err(Error::Refused(refusal)) if refusal.code == STREAM_NOT_FOUND => return Ok(BTreeSet::new()),
            // Accounts of before, or those of a worker: what is open is in no archive.
            Err(error @ Error::Denied { .. }) => {
                tracing::debug!(%error, %tree, "this user may not read archived objects");
                return Ok(BTreeSet::new());
            }
            Err(error) => return Err(error),
        };
        let name = |subject: &String| -> Option<ObjectBundleName> { subject.rsplit_once('.')?.1.parse().ok() };
        Ok(subjects.keys().filter_map(name).collect())
    }

    /// A bundle of objects; `None` where it is not there any more.
    pub(super) async fn object_bundle(
        &self,
        tree: &IntentId,
        name: &ObjectBundleName,
    ) -> Result<Option<ObjectBundle>, Error> {
        let stream = self.subjects().context_archive_stream();
        let token = name.to_string();
        let subject = self.subjects().object_bundle(tree, &token);
        let Some(found) = self.last_body(&stream, &subject).await? else {
            return Ok(None);
        };
        let damaged = |problem: String| corrupt(tree, &token, format!("in {stream}: {problem}"));
        let bundle = ObjectBundle::open(name, &found).map_err(|error| damaged(error.to_string()))?;
        match bundle.tree == *tree {
            true => Ok(Some(bundle)),
            false => Err(damaged(format!("it is of the tree of \"{}\"", bundle.tree))),
        }
    }
}

/// Of two that stood under a token the one that its hash names; else the first.
fn better(found: Option<Bytes>, object: StoredObject) -> Option<Bytes> {
    let is_itself = ObjectHash::of(&object.body).as_str() == object.at;
    match found {
        Some(found) if !is_itself => Some(found),
        Some(_) | None => Some(object.body.into()),
    }
}
