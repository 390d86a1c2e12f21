//! The one way to publish to a stream: with the server's acknowledgement.

use std::time::Duration;

use async_nats::{HeaderMap, Request, RequestErrorKind, Subject};
use bytes::Bytes;
use serde::Deserialize;
use tokio::time::Instant;

use super::link::{Link, NoReply};
use crate::error::{Error, Refusal};

/// How long one request may take before it counts as unanswered. The server answers in well under a millisecond; after
/// a crash and an election (5 to 10 s) the caller's own loop asks again.
pub(super) const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);

/// How long to pursue a publish whose outcome is unknown, and how long to wait between two tries.
const PURSUIT: Duration = Duration::from_secs(15);
const PAUSE: Duration = Duration::from_millis(50);

/// The source of the error for a publish that stayed [`Published::Unknown`].
pub(crate) const UNCONFIRMED: &str = "the server did not confirm it";

/// What became of a publish.
#[derive(Debug)]
pub(crate) enum Published {
    /// Stored at this sequence, or known already.
    Stored { seq: u64 },
    /// Refused because the subject's last sequence is another.
    WrongSequence,
    /// Refused for another reason.
    Refused(Refusal),
    /// Nobody takes what is published there, and nothing was stored: the stream has no leader or is missing, or this account
    /// does not import the subject.
    Unheard,
    /// No answer: it may have been stored or not.
    Unknown,
}

#[derive(Deserialize)]
struct PubAck {
    #[serde(default)]
    seq: u64,
    #[serde(default)]
    error: Option<ApiError>,
}

#[derive(Debug, Deserialize)]
pub(super) struct ApiError {
    #[serde(default)]
    pub(super) err_code: u64,
    #[serde(default)]
    pub(super) description: String,
}

/// Both codes mean that another write came first: 10071 is the common one, 10164 a conflict in flight on a replicated
/// stream or within a batch.
const WRONG_LAST_SEQUENCE: [u64; 2] = [10071, 10164];

/// Publishes to a stream until the server has stored it, and returns its sequence. What is published twice must be as good as once.
pub(crate) async fn publish_stored(
    link: &Link,
    subject: &str,
    headers: HeaderMap,
    payload: &Bytes,
) -> Result<u64, Error> {
    let until = Instant::now() + PURSUIT;
    loop {
        match publish_acked(link, subject.to_owned().into(), headers.clone(), payload.clone()).await? {
            Published::Stored { seq } => return Ok(seq),
            Published::Refused(refusal) => return Err(refusal.into()),
            Published::WrongSequence | Published::Unheard | Published::Unknown => {}
        }
        if Instant::now() > until {
            return Err(Error::no_answer(format!("publishing to {subject}"), UNCONFIRMED));
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Publishes to a stream and waits for the server's acknowledgement.
pub(crate) async fn publish_acked(
    link: &Link,
    subject: Subject,
    headers: HeaderMap,
    payload: Bytes,
) -> Result<Published, Error> {
    let size = payload.len();
    let request = Request::new()
        .headers(headers)
        .payload(payload)
        .timeout(Some(REQUEST_TIMEOUT));
    let reply = match link.request(subject.clone(), request).await {
        Ok(reply) => reply,
        Err(NoReply::Denied(error)) => return Err(error),
        Err(NoReply::Failed(error)) => {
            return match error.kind() {
                RequestErrorKind::NoResponders => Ok(Published::Unheard),
                RequestErrorKind::TimedOut | RequestErrorKind::Other => Ok(Published::Unknown),
                RequestErrorKind::MaxPayloadExceeded => Err(Error::TooLarge {
                    what: subject.to_string(),
                    size,
                    limit: link.client().max_payload(),
                }),
                RequestErrorKind::InvalidSubject => Err(Error::api(format!("publish to {subject}"), error)),
            };
        }
    };
    let ack: PubAck = serde_json::from_slice(&reply.payload)
        .map_err(|error| Error::api(format!("reading the acknowledgement for {subject}"), error))?;
    Ok(match ack.error {
        None => Published::Stored { seq: ack.seq },
        Some(error) if WRONG_LAST_SEQUENCE.contains(&error.err_code) => Published::WrongSequence,
        Some(error) => Published::Refused(Refusal {
            code: error.err_code,
            description: error.description,
        }),
    })
}
