//! Carrying the objects of trees from one mesh to another: each message as it stands.

use std::collections::HashSet;

use baton_envelope::{ExportedObject, HEADER_MEDIA, IntentId};
use futures::StreamExt as _;

use super::put::{Part, Placed};
use crate::error::Error;
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
        let mut wanted = self.all_tokens().await?;
        wanted.retain(|(tree, _)| trees.contains(tree));
        // The same file of the same mesh.
        wanted.sort();
        let stream = &self.subjects().context_stream();
        let reads = wanted.into_iter().map(|(tree, token)| async move {
            let subject = self.subjects().object(&tree, &token);
            let found = self.last_message(stream, &subject).await?;
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
