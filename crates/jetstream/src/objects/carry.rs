//! Carrying the objects of trees from one mesh to another: each message as it stands.

use std::collections::HashSet;

use baton_envelope::{ExportedObject, HEADER_MEDIA, IntentId};
use futures::StreamExt as _;
use serde_json::json;

use super::put::{Part, Placed};
use crate::error::{Error, STREAM_NOT_FOUND};
use crate::server::{Mesh, Stored};

/// How many messages to read at the same time: 4 MiB.
const AT_ONCE: usize = 16;
/// What is stored without a media type.
const NO_MEDIA: &str = "application/octet-stream";

impl Mesh {
    /// Gives every object of these trees to `take`, message by message. What no reader would take is left out, and so is what
    /// is taken away meanwhile.
    ///
    /// # Errors
    /// When `take` fails, or the server does not answer.
    pub async fn export_objects<E: From<Error>>(
        &self,
        trees: &HashSet<IntentId>,
        mut take: impl FnMut(ExportedObject) -> Result<(), E>,
    ) -> Result<(), E> {
        let (stream, all) = (self.subjects().context_stream(), self.subjects().objects_all());
        let subjects = match self.stream_subjects(&stream, &all).await {
            Ok(subjects) => subjects,
            Err(Error::Refused(refusal)) if refusal.code == STREAM_NOT_FOUND => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        let of_tree = |subject: &String| {
            let (tree, token) = self.subjects().object_of(subject)?;
            trees.contains(&tree).then(|| (tree, token.to_owned()))
        };
        let mut wanted: Vec<(IntentId, String)> = subjects.keys().filter_map(of_tree).collect();
        // The same file of the same mesh.
        wanted.sort();
        let reads = wanted.into_iter().map(|(tree, token)| async move {
            let found = self.object_message(&tree, &token).await?;
            Ok::<_, Error>(found.and_then(|found| exported(tree, &token, found)))
        });
        let reads: Vec<_> = reads.collect();
        let mut reads = futures::stream::iter(reads).buffered(AT_ONCE);
        while let Some(read) = reads.next().await {
            if let Some(object) = read? {
                take(object)?;
            }
        }
        Ok(())
    }

    async fn object_message(&self, tree: &IntentId, token: &str) -> Result<Option<Stored>, Error> {
        let (stream, subject) = (self.subjects().context_stream(), self.subjects().object(tree, token));
        match self.direct_last_of(&stream, &subject).await {
            Ok(Some(found)) => Ok(Some(found)),
            Err(error @ Error::Denied { .. }) => Err(error),
            // A replica may lag.
            Ok(None) | Err(_) => self.leader_get(&stream, &json!({ "last_by_subj": subject })).await,
        }
    }

    /// Stores an object of another mesh, unless it is here. `false` where other bytes stand in its place.
    ///
    /// # Errors
    /// As [`Mesh::put_object`].
    pub async fn import_object(&self, object: &ExportedObject) -> Result<bool, Error> {
        let subject = self.subjects().object(&object.tree, &object.hash.token(object.place));
        let body = object.body.clone().into();
        let part = Part {
            form: if object.is_list { "pieces" } else { "whole" },
            media: &object.media,
            body: &body,
            bytes: usize::try_from(object.bytes).unwrap_or(usize::MAX),
        };
        Ok(self.put_one(&subject, part).await? == Placed::Same)
    }
}

fn exported(tree: IntentId, token: &str, found: Stored) -> Option<ExportedObject> {
    let media = found.headers.as_ref().and_then(|headers| headers.get(HEADER_MEDIA));
    let media = media.map_or(NO_MEDIA, |media| media.as_str()).to_owned();
    ExportedObject::of(tree, token, &media, found.body.into())
}
