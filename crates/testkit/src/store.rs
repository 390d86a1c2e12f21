//! What streams hold, read byte for byte and without any of Baton's code, and streams that are made full for a while.

use std::time::Duration;

use async_nats::jetstream::{self, ErrorCode, context::GetStreamErrorKind};
use async_nats::{Client, HeaderMap, Message};
use bytes::Bytes;
use futures::StreamExt as _;
use tokio::time::{Instant, sleep, timeout};

/// Messages in one answer of the server.
const BATCH: usize = 500;
/// How long one answer may take.
const ANSWER: Duration = Duration::from_secs(10);
/// How long it is tried to read a stream whole.
const PATIENCE: Duration = Duration::from_secs(60);

/// A message as a stream holds it.
#[derive(Debug, Clone)]
pub struct StoredMessage {
    /// The sequence.
    pub seq: u64,
    /// The subject.
    pub subject: String,
    /// When the server stored it, as RFC 3339.
    pub time: String,
    /// The headers that it was published with.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Bytes,
}

/// The names of all streams, sorted.
///
/// # Errors
/// When the server does not answer.
pub async fn stream_names(client: &Client) -> Result<Vec<String>, String> {
    let context = jetstream::new(client.clone());
    let mut names = Vec::new();
    let mut listed = context.stream_names();
    while let Some(name) = listed.next().await {
        names.push(name.map_err(|error| error.to_string())?);
    }
    names.sort();
    Ok(names)
}

/// How many messages a stream holds.
///
/// # Errors
/// When there is no such stream or the server does not answer.
pub async fn stream_size(client: &Client, name: &str) -> Result<u64, String> {
    let context = jetstream::new(client.clone());
    let stream = context.get_stream(name).await.map_err(|error| error.to_string())?;
    Ok(stream.cached_info().state.messages)
}

/// Every message of a stream that allows direct reads, in order. Read again until it is as many as the stream says: a
/// replica may lag.
///
/// # Errors
/// When the server does not answer, or the numbers keep differing.
pub async fn read_stream(client: &Client, name: &str) -> Result<Vec<StoredMessage>, String> {
    let until = Instant::now() + PATIENCE;
    loop {
        let problem = match read_once(client, name).await {
            Ok(found) => match stream_size(client, name).await {
                Ok(size) if usize::try_from(size) == Ok(found.len()) => return Ok(found),
                Ok(size) => format!("{} of {size} messages of {name}", found.len()),
                Err(error) => error,
            },
            Err(error) => error,
        };
        if Instant::now() > until {
            return Err(problem);
        }
        sleep(Duration::from_millis(200)).await;
    }
}

async fn read_once(client: &Client, name: &str) -> Result<Vec<StoredMessage>, String> {
    let mut found: Vec<StoredMessage> = Vec::new();
    loop {
        let from = found.last().map_or(1, |last| last.seq + 1);
        let inbox = client.new_inbox();
        let mut answers = client
            .subscribe(inbox.clone())
            .await
            .map_err(|error| error.to_string())?;
        let request = format!(r#"{{"seq":{from},"next_by_subj":">","batch":{BATCH}}}"#);
        client
            .publish_with_reply(format!("$JS.API.DIRECT.GET.{name}"), inbox, request.into())
            .await
            .map_err(|error| error.to_string())?;
        let before = found.len();
        loop {
            let answer = timeout(ANSWER, answers.next()).await;
            let message = answer
                .map_err(|_| format!("no answer while reading {name} from {from}"))?
                .ok_or("the connection was closed")?;
            match message.status.map(|status| status.as_u16()) {
                Some(204) => break,
                // Nothing from here on.
                Some(404) => return Ok(found),
                Some(other) => return Err(format!("status {other} while reading {name}")),
                None => found.push(stored(&message)?),
            }
        }
        if found.len() == before {
            return Ok(found);
        }
    }
}

fn stored(message: &Message) -> Result<StoredMessage, String> {
    let none = HeaderMap::new();
    let map = message.headers.as_ref().unwrap_or(&none);
    let own = |name: &str| {
        let value = map.get_last(name).map(|value| value.as_str().to_owned());
        value.ok_or_else(|| format!("a message without {name}"))
    };
    // What the server adds to a direct answer, and not what the message was published with.
    let added = [
        "Nats-Stream",
        "Nats-Subject",
        "Nats-Sequence",
        "Nats-Time-Stamp",
        "Nats-Num-Pending",
        "Nats-Last-Sequence",
        "Nats-UpTo-Sequence",
    ];
    let headers = map
        .iter()
        .filter(|(name, _)| !added.contains(&name.as_ref()))
        .flat_map(|(name, values)| values.iter().map(move |value| (name.to_string(), value.to_string())))
        .collect();
    Ok(StoredMessage {
        seq: own("Nats-Sequence")?.parse().map_err(|_| "a bad sequence".to_owned())?,
        subject: own("Nats-Subject")?,
        time: own("Nats-Time-Stamp")?,
        headers,
        body: message.payload.clone(),
    })
}

/// Lets a stream take so many messages more and then no other, as a full one does; `None` lets it take all again.
/// `false` when there is no such stream.
///
/// # Errors
/// When the server does not answer or refuses.
pub async fn limit_stream(client: &Client, name: &str, more: Option<i64>) -> Result<bool, String> {
    let context = jetstream::new(client.clone());
    let stream = match context.get_stream(name).await {
        Ok(stream) => stream,
        Err(error)
            if matches!(error.kind(), GetStreamErrorKind::JetStream(ref e)
                if e.error_code() == ErrorCode::STREAM_NOT_FOUND) =>
        {
            return Ok(false);
        }
        Err(error) => return Err(error.to_string()),
    };
    let info = stream.cached_info();
    let mut config = info.config.clone();
    config.max_messages = match more {
        Some(more) => i64::try_from(info.state.messages)
            .unwrap_or(i64::MAX)
            .saturating_add(more)
            .max(1),
        None => -1,
    };
    context.update_stream(config).await.map_err(|error| error.to_string())?;
    Ok(true)
}

/// How far a consumer is.
#[derive(Debug, Clone)]
pub struct ConsumerState {
    /// Its name.
    pub name: String,
    /// Messages that it has not delivered yet.
    pub pending: u64,
    /// Messages that were delivered and not acknowledged.
    pub unacked: usize,
    /// The last stream sequence that it has delivered.
    pub delivered: u64,
    /// The stream sequence up to which everything was acknowledged.
    pub floor: u64,
}

/// How far each consumer of a stream is.
///
/// # Errors
/// When there is no such stream or the server does not answer.
pub async fn consumers(client: &Client, name: &str) -> Result<Vec<ConsumerState>, String> {
    let context = jetstream::new(client.clone());
    let stream = context.get_stream(name).await.map_err(|error| error.to_string())?;
    let mut found = Vec::new();
    let mut listed = stream.consumers();
    while let Some(info) = listed.next().await {
        let info = info.map_err(|error| error.to_string())?;
        found.push(ConsumerState {
            name: info.name,
            pending: info.num_pending,
            unacked: info.num_ack_pending,
            delivered: info.delivered.stream_sequence,
            floor: info.ack_floor.stream_sequence,
        });
    }
    Ok(found)
}
