//! One write to a stream, and one that waits for others.

use async_nats::{HeaderMap, Subject};
use bytes::Bytes;
use tokio::sync::oneshot;

use crate::error::Error;
use crate::server::link::Link;
use crate::server::publish::{Published, publish_acked};

/// One write.
#[derive(Debug, Clone)]
pub(crate) struct Message {
    pub(crate) subject: Subject,
    pub(crate) headers: HeaderMap,
    pub(crate) payload: Bytes,
}

impl Message {
    pub(super) async fn send(self, link: &Link) -> Result<Published, Error> {
        publish_acked(link, self.subject, self.headers, self.payload).await
    }
}

/// A write that gathers, and where its answer goes.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) message: Message,
    pub(super) answer: oneshot::Sender<Result<Published, Error>>,
}
