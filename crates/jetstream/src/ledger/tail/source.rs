//! One consumer of a tail, and its waiting pull.

use std::time::Duration;

use async_nats::{Client, Message, Subscriber};
use bytes::Bytes;
use futures::StreamExt as _;
use tokio::time::Instant;

use crate::error::{Error, Status};
use crate::server::Mesh;

/// The number of records to request, and to return, at a time.
const BATCH: usize = 1000;
/// The number of bytes to request at a time, so that large records do not fill the memory.
const PULL_BYTES: usize = 16 * 1024 * 1024;
/// How long a pull waits at the server.
const EXPIRES: Duration = Duration::from_secs(30);
/// How often the server confirms that it still knows a waiting pull.
const HEARTBEAT: Duration = Duration::from_secs(1);

/// What the errors of a tail report as the failed action.
pub(super) const WHAT: &str = "following the ledger";

/// A consumer, and its waiting pull.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) client: Client,
    pub(super) replies: Subscriber,
    pub(super) inbox: String,
    pub(super) next_subject: String,
    pub(super) delete_subject: String,
    /// The consumer's own count of deliveries. It has no gaps; sequences in the stream may.
    pub(super) delivered: u64,
    /// The record at the mark must come first, for comparison.
    pub(super) comparing: bool,
    pub(super) pulls: u64,
    pub(super) remaining: usize,
    pub(super) got: usize,
    pub(super) heard: Instant,
    pub(super) audit_at: Instant,
    /// The ledger is known to have a record that was not delivered.
    pub(super) suspect: bool,
}

impl Source {
    pub(super) async fn pull(&mut self, mesh: &Mesh) -> Result<(), Error> {
        let id = self.pulls + 1;
        let request = serde_json::json!({
            "batch": BATCH,
            // Never less than one message may take: a record that does not fit would never come.
            "max_bytes": PULL_BYTES.max(mesh.client().max_payload() * 2),
            "expires": nanos(EXPIRES),
            "idle_heartbeat": nanos(HEARTBEAT),
        });
        mesh.client()
            .publish_with_reply(
                self.next_subject.clone(),
                format!("{}.{id}", self.inbox),
                request.to_string().into(),
            )
            .await
            .map_err(|error| Error::api(WHAT, error))?;
        (self.pulls, self.remaining, self.got) = (id, BATCH, 0);
        Ok(())
    }

    /// Handles a status that the server sent about a pull.
    pub(super) fn hear(&mut self, status: u16, message: &Message) -> Result<(), Error> {
        let status = Status::new(status, message.description.as_deref().unwrap_or_default());
        let id = message.subject.rsplit('.').next().and_then(|token| token.parse().ok());
        match status.code {
            100 => Ok(()),
            // The pull before this one.
            _ if id != Some(self.pulls) => Ok(()),
            404 | 408 => {
                self.remaining = 0;
                Ok(())
            }
            // The pull reached its byte limit. One that ended so without any record would do so again at once.
            _ if self.got > 0 && status.is_max_bytes() => {
                self.remaining = 0;
                Ok(())
            }
            // The consumer was deleted, its leader changed, the server stops, or nobody responds.
            _ => Err(Error::api(WHAT, status)),
        }
    }

    /// Waits for a message, then takes all that have arrived. Pending forever once the subscription has ended; then the
    /// connection has, too.
    pub(super) fn next_messages(&mut self) -> impl Future<Output = Vec<Message>> {
        // Unconstrained: the runtime would end a batch after 128 messages to let others run, but a batch is short.
        tokio::task::unconstrained(std::future::poll_fn(|context| {
            let mut found = Vec::new();
            while found.len() < BATCH
                && let std::task::Poll::Ready(Some(message)) = self.replies.poll_next_unpin(context)
            {
                found.push(message);
            }
            if found.is_empty() {
                std::task::Poll::Pending
            } else {
                std::task::Poll::Ready(found)
            }
        }))
    }
}

impl Drop for Source {
    /// The server would keep the consumer for ten seconds more, and on each purge count what it has not seen. Ten
    /// of them, created one after another by a slow tail, made purges use up the whole server.
    fn drop(&mut self) {
        // Without a runtime the connection is gone, too.
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            return;
        };
        let (client, subject) = (self.client.clone(), std::mem::take(&mut self.delete_subject));
        runtime.spawn(async move {
            let answer_to = client.new_inbox();
            // Nobody waits for the answer: if this fails, the server drops the consumer by itself.
            client.publish_with_reply(subject, answer_to, Bytes::new()).await.ok();
        });
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
