//! Archiving the objects of a closed tree: bundle after bundle, each read back and compared before the next one.
//!
//! A bundle depends on its objects alone, and its name on the bundle. So whoever repeats it, or does it at the same moment, puts
//! the same bytes where they are already; and what a tree has archived stays, however often it lives.

use async_nats::HeaderMap;
use baton_envelope::{IntentId, Mutant, ObjectBundle, ObjectHash, StoredObject};
use bytes::Bytes;
use serde_json::json;

use crate::error::Error;
use crate::server::{ControllerMesh, Limits, Mesh, publish_stored};

/// How many bytes a bundle has at most, if it holds more than one object.
const ROOM: usize = 1 << 20;
/// How many of these its index and its head may take, beside what each object takes of the index.
const HEADROOM: usize = 4 * 1024;
/// How many objects are read at once: 4 MiB, as the answer has no flow control.
const TOGETHER: usize = 16;

/// What was archived of a tree.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ArchivedObjects {
    /// How many messages of the context stream.
    pub objects: usize,
    /// In how many bundles.
    pub bundles: usize,
    /// The sequence of the context stream up to which nothing of the tree is missing in the archive.
    pub through: u64,
}

impl ControllerMesh {
    /// Writes all objects of a tree into their archive, reads each bundle back, and compares it. Makes the archive where there is
    /// none. May be repeated, and done by two at once.
    ///
    /// # Errors
    /// When the server refuses or does not answer, or returns other bytes.
    pub async fn archive_objects(&self, tree: &IntentId, limits: Limits) -> Result<ArchivedObjects, Error> {
        let mut archived = ArchivedObjects::default();
        // First: what comes later is archived with the rest or not, and stays.
        let request = json!({ "last_by_subj": self.subjects().objects_of(tree) });
        match self.leader_get(&self.subjects().context_stream(), &request).await? {
            Some(last) => archived.through = last.seq,
            None => return Ok(archived),
        }
        self.ensure_stream(self.context_archive_stream_config(limits)).await?;
        let mut tokens = self.tokens_of(tree).await?;
        // What stands under another name nobody can refer to.
        tokens.retain(|token| ObjectHash::of_token(token).is_some());
        tokens.sort_unstable();
        let room = self.largest_message().min(ROOM).saturating_sub(HEADROOM);
        let (mut objects, mut taken) = (Vec::new(), 0);
        for some in tokens.chunks(TOGETHER) {
            for object in self.objects_as_stored(tree, some).await? {
                let size = ObjectBundle::room_of(&object);
                if !objects.is_empty() && taken + size > room {
                    self.store_bundle(tree, std::mem::take(&mut objects), &mut archived)
                        .await?;
                    taken = 0;
                }
                taken += size;
                objects.push(object);
            }
        }
        if !objects.is_empty() {
            self.store_bundle(tree, objects, &mut archived).await?;
        }
        Ok(archived)
    }

    /// Takes the objects of a tree away that were archived: what was stored since then stays.
    ///
    /// # Errors
    /// When the server refuses or does not answer; they may be gone then.
    pub async fn purge_archived(&self, tree: &IntentId, archived: &ArchivedObjects) -> Result<(), Error> {
        let what = format!("STREAM.PURGE.{}", self.subjects().context_stream());
        let request = json!({ "filter": self.subjects().objects_of(tree), "seq": archived.through + 1 });
        self.ask::<serde::de::IgnoredAny>(&what, &request).await??;
        Ok(())
    }

    async fn store_bundle(
        &self,
        tree: &IntentId,
        objects: Vec<StoredObject>,
        archived: &mut ArchivedObjects,
    ) -> Result<(), Error> {
        let bundle = ObjectBundle {
            tree: tree.clone(),
            objects,
        };
        let (name, bytes) = bundle.seal().map_err(|error| Error::Bundle(Box::new(error)))?;
        let subject = self.subjects().object_bundle(tree, &name.to_string());
        publish_stored(self.link(), &subject, HeaderMap::new(), &Bytes::from(bytes)).await?;
        archived.objects += bundle.objects.len();
        archived.bundles += 1;
        if Mutant::C13ArchiveUnread.is_on() {
            return Ok(());
        }
        match self.object_bundle(tree, &name).await? {
            Some(found) if found == bundle => Ok(()),
            Some(_) => Err(not_there(&subject, "it is not what was written")),
            None => Err(not_there(&subject, "it is not there")),
        }
    }
}

impl Mesh {
    /// What stands under these tokens, in their order. What another leader has archived and taken away meanwhile is not among it.
    async fn objects_as_stored(&self, tree: &IntentId, tokens: &[String]) -> Result<Vec<StoredObject>, Error> {
        let stream = self.subjects().context_stream();
        let names: Vec<String> = tokens.iter().map(|token| self.subjects().object(tree, token)).collect();
        let request = json!({ "multi_last": names, "batch": names.len() });
        let (mut found, _) = self.direct_batch_of(&stream, &request).await?;
        let mut objects = Vec::with_capacity(tokens.len());
        for (token, name) in tokens.iter().zip(&names) {
            let body = match found.iter().position(|one| one.subject == *name) {
                Some(index) => Some(found.swap_remove(index).body),
                // A replica lags, or the answer was as large as it may be.
                None => self.stored_object(tree, token).await?,
            };
            objects.extend(body.map(|body| StoredObject {
                at: token.clone(),
                body: body.into(),
            }));
        }
        Ok(objects)
    }
}

fn not_there(subject: &str, problem: &str) -> Error {
    Error::api(format!("reading back {subject}"), problem)
}
