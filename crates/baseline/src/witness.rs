//! A witness of what passes on a server while a benchmark runs: tickets as they are written, and their acknowledgements; and
//! when the server stored each record. It has a thread and a connection of its own, so that it waits for nobody.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use async_nats::Client;
use async_nats::jetstream;
use async_nats::jetstream::consumer::{AckPolicy, pull};
use futures::StreamExt as _;

use crate::client::connect;
use crate::error::Error;

/// How long nothing may pass before the witness has seen everything.
const QUIET: Duration = Duration::from_millis(300);
/// How long the end of a stream may take to come.
const PATIENCE: Duration = Duration::from_secs(10);
/// How many messages to read at a time.
const BATCH: usize = 1_000;

/// Nanoseconds since the Unix epoch, by the clock that the server stamps messages with.
pub type Nanos = i64;

/// What to look at.
#[derive(Debug, Clone)]
pub struct Scene {
    /// The subjects of the tickets.
    pub tickets: String,
    /// The header of a ticket that names its intent.
    pub intent: &'static str,
    /// The stream of the tickets.
    pub stream: String,
    /// What time it is.
    pub now: fn() -> Nanos,
}

/// An acknowledgement.
#[derive(Debug, Clone, Copy)]
pub struct Ack {
    /// The sequence of its ticket in the stream.
    pub ticket: u64,
    /// When the ticket was stored.
    pub stored: Nanos,
    /// When the acknowledgement came.
    pub at: Nanos,
}

/// What was seen.
#[derive(Debug, Default)]
pub struct Seen {
    /// The intents of the tickets, in the order in which the server got them. All of them come over one connection, so this
    /// is their order in the stream.
    pub tickets: Vec<String>,
    /// The acknowledgements.
    pub acks: Vec<Ack>,
}

/// A record of a ledger.
#[derive(Debug, Clone)]
pub struct StoredAt {
    /// The last token of its subject: its intent.
    pub intent: String,
    /// The value of the header that was asked for; empty without it.
    pub event: String,
    /// When the server stored it.
    pub at: Nanos,
}

/// A witness at work.
#[derive(Debug)]
pub struct Witness {
    over: Arc<AtomicBool>,
    thread: JoinHandle<Result<Seen, Error>>,
}

impl Witness {
    /// Begins to look. Returns when the server knows of it.
    ///
    /// # Errors
    /// When no server answers at `url`, or no thread can be started.
    pub async fn begin(url: &str, scene: Scene) -> Result<Self, Error> {
        let (over, url) = (Arc::new(AtomicBool::new(false)), url.to_owned());
        let (ready, is_ready) = tokio::sync::oneshot::channel();
        let until = Arc::clone(&over);
        let look = move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime
                .map_err(Error::failed)?
                .block_on(look(&url, &scene, ready, &until))
        };
        let thread = std::thread::Builder::new().name("witness".to_owned()).spawn(look);
        let witness = Self {
            over,
            thread: thread.map_err(Error::failed)?,
        };
        match is_ready.await {
            Ok(()) => Ok(witness),
            Err(_) => Err(witness.end().err().unwrap_or(Error::NoEnd)),
        }
    }

    /// Ends once nothing passes any more, and says what was seen. It blocks for a moment.
    ///
    /// # Errors
    /// When the server did not answer.
    pub fn end(self) -> Result<Seen, Error> {
        self.over.store(true, Ordering::Relaxed);
        self.thread.join().map_err(|_| Error::failed("the witness is gone"))?
    }
}

async fn look(
    url: &str,
    scene: &Scene,
    ready: tokio::sync::oneshot::Sender<()>,
    over: &AtomicBool,
) -> Result<Seen, Error> {
    let client = connect(url).await?;
    let tickets = client.subscribe(scene.tickets.clone()).await.map_err(Error::failed)?;
    let acks = format!("$JS.ACK.{}.>", scene.stream);
    let acks = client.subscribe(acks).await.map_err(Error::failed)?;
    client.flush().await.map_err(Error::failed)?;
    let mut seen = Seen::default();
    if ready.send(()).is_err() {
        return Ok(seen);
    }
    let mut passing = futures::stream::select(tickets, acks);
    loop {
        match tokio::time::timeout(QUIET, passing.next()).await {
            Ok(Some(message)) => {
                let at = (scene.now)();
                match place(&message.subject) {
                    Some((ticket, stored)) if message.payload.starts_with(b"+ACK") || message.payload.is_empty() => {
                        seen.acks.push(Ack { ticket, stored, at });
                    }
                    // Its holder keeps it, or hands it back.
                    Some(_) => {}
                    None => {
                        let headers = message.headers.as_ref();
                        let intent = headers.and_then(|headers| headers.get(scene.intent));
                        seen.tickets
                            .push(intent.map(|intent| intent.as_str().to_owned()).unwrap_or_default());
                    }
                }
            }
            Ok(None) => return Ok(seen),
            Err(_) if over.load(Ordering::Relaxed) => return Ok(seen),
            Err(_) => {}
        }
    }
}

/// The sequence in the stream of what an acknowledgement is for, and when that was stored; `None` for another subject.
fn place(subject: &str) -> Option<(u64, Nanos)> {
    let mut tokens = subject.strip_prefix("$JS.ACK.")?.split('.').skip(3);
    let ticket = tokens.next()?.parse().ok()?;
    Some((ticket, tokens.nth(1)?.parse().ok()?))
}

/// When the server stored each record of a ledger, oldest first. `event` is the header that says what a record is.
///
/// # Errors
/// When the server does not answer, or has no such stream.
pub async fn stored_records(url: &str, ledger: &str, event: &str) -> Result<Vec<StoredAt>, Error> {
    let client: Client = connect(url).await?;
    let stream = jetstream::new(client).get_stream(ledger).await.map_err(Error::failed)?;
    let end = stream.get_info().await.map_err(Error::failed)?.state.last_sequence;
    let config = pull::Config {
        ack_policy: AckPolicy::None,
        ..pull::Config::default()
    };
    let consumer = stream.create_consumer(config).await.map_err(Error::failed)?;
    let mut messages = consumer
        .stream()
        .max_messages_per_batch(BATCH)
        .messages()
        .await
        .map_err(Error::failed)?;
    let (mut found, mut last) = (Vec::new(), 0);
    while last < end {
        let next = tokio::time::timeout(PATIENCE, messages.next()).await;
        let message = next.ok().flatten().ok_or(Error::NoEnd)?.map_err(Error::failed)?;
        let reply = message.reply.as_deref().and_then(place);
        let (seq, at) = reply.ok_or_else(|| Error::failed("a message without a place"))?;
        last = seq;
        let headers = message.headers.as_ref();
        let event = headers.and_then(|headers| headers.get(event));
        found.push(StoredAt {
            intent: message.subject.rsplit('.').next().unwrap_or_default().to_owned(),
            event: event.map(|event| event.as_str().to_owned()).unwrap_or_default(),
            at,
        });
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_acknowledgement_names_its_ticket() {
        let subject = "$JS.ACK.MESH_WORK_code.1_0_0-p4.1.42.7.1790000000123456789.0";
        assert_eq!(place(subject), Some((42, 1_790_000_000_123_456_789)));
        assert_eq!(place("mesh.work.code.1_0_0.p5"), None);
    }
}
