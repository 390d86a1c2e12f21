//! What a hop reads beside its ticket: the objects of its intent, all of them with one batched get.

use std::time::Duration;

use async_nats::Client;
use async_nats::jetstream::Context;
use async_nats::jetstream::stream::{Config, DiscardPolicy};
use bytes::Bytes;
use futures::StreamExt as _;
use futures::future::try_join_all;

use crate::client::{guarded, intent};
use crate::error::Error;

/// How long each message of an answer may take.
const PATIENCE: Duration = Duration::from_secs(2);
/// The status that ends an answer.
const END: u16 = 204;
/// As many digits as the hash of a Baton object has, so that subjects are equally long.
const OBJECT_DIGITS: usize = 64;

/// What each hop reads.
#[derive(Debug, Clone, Copy)]
pub struct Reads {
    /// How many objects.
    pub objects: usize,
    /// The size of each in bytes.
    pub bytes: usize,
}

/// The objects of all intents, in a stream of their own with a subject for each.
#[derive(Debug, Clone)]
pub(crate) struct Objects {
    client: Client,
    stream: String,
    /// What the subjects begin with.
    subjects: String,
    reads: Reads,
}

impl Objects {
    /// Makes the stream of a baseline of this name.
    pub(crate) async fn create(context: &Context, name: &str, reads: Reads) -> Result<Self, Error> {
        let objects = Self {
            client: context.client(),
            stream: format!("{name}_OBJECTS"),
            subjects: format!("{name}.object."),
            reads,
        };
        let config = Config {
            name: objects.stream.clone(),
            subjects: vec![format!("{}*.*", objects.subjects)],
            discard: DiscardPolicy::New,
            allow_direct: true,
            ..Config::default()
        };
        context.create_stream(config).await.map_err(Error::failed)?;
        Ok(objects)
    }

    pub(crate) fn stream(&self) -> &str {
        &self.stream
    }

    /// Stores the objects of an intent.
    pub(crate) async fn put(&self, number: u64) -> Result<(), Error> {
        let (intent, body) = (intent(number), Bytes::from(vec![b'x'; self.reads.bytes]));
        let puts = (0..self.reads.objects).map(|object| {
            let subject = format!("{}{intent}.{object:0OBJECT_DIGITS$}", self.subjects);
            guarded(&self.client, subject.into(), 0, body.clone())
        });
        try_join_all(puts).await.map(drop)
    }

    /// Reads the objects of an intent, and checks that all of them came: a read that is cut short would look fast.
    pub(crate) async fn get(&self, intent: &[u8]) -> Result<(), Error> {
        let inbox = self.client.new_inbox();
        let mut replies = self.client.subscribe(inbox.clone()).await.map_err(Error::failed)?;
        let (intent, objects) = (String::from_utf8_lossy(intent), self.reads.objects);
        let request = format!(r#"{{"multi_last":["{}{intent}.*"],"batch":{objects}}}"#, self.subjects);
        let subject = format!("$JS.API.DIRECT.GET.{}", self.stream);
        let asked = self.client.publish_with_reply(subject, inbox, request.into()).await;
        asked.map_err(Error::failed)?;
        let (mut found, mut bytes) = (0, 0);
        loop {
            let reply = tokio::time::timeout(PATIENCE, replies.next()).await.ok().flatten();
            let reply = reply.ok_or_else(|| Error::failed(format!("no answer to a read of {}", self.stream)))?;
            match reply.status.map(|status| status.as_u16()) {
                None => {
                    found += 1;
                    bytes += reply.payload.len();
                }
                Some(END) => break,
                Some(status) => return Err(Error::failed(format!("a read of {}: status {status}", self.stream))),
            }
        }
        if (found, bytes) == (objects, objects * self.reads.bytes) {
            Ok(())
        } else {
            let of = objects * self.reads.bytes;
            Err(Error::failed(format!(
                "a read of {}: {found} of {objects} objects with {bytes} of {of} bytes",
                self.stream
            )))
        }
    }
}
