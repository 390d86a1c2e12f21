//! What the server says is in the way: by its codes and statuses, never by its texts.

use std::error::Error as StdError;

use async_nats::error::Error as ClientError;
use async_nats::jetstream::Error as ServerError;
use async_nats::jetstream::context::{ConsumerInfoErrorKind, CreateStreamErrorKind, GetStreamErrorKind};
use async_nats::jetstream::stream::ConsumerErrorKind;

/// The server's code for a stream that does not exist.
pub(crate) const STREAM_NOT_FOUND: u64 = 10059;
/// The server's code for a consumer that does not exist.
pub(crate) const CONSUMER_NOT_FOUND: u64 = 10014;
/// The server's code for a stream with as many consumers as it may have.
pub(crate) const TOO_MANY_CONSUMERS: u64 = 10026;
/// The server's codes for a stream, or a store, that is full.
const FULL: [u64; 3] = [10023, 10047, 10077];
/// The server's code for JetStream whose servers have no leader.
const LEADERLESS: u64 = 10008;
/// The status of a direct read, or of a pull, when nobody has the stream.
const NO_RESPONDERS: u16 = 503;
/// The status of a pull that the server ended early.
const PULL_ENDED: u16 = 409;

/// What is in the way of a request, where it has a remedy of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// The server has no such stream: no mesh was set up there.
    NoStream,
    /// The stream, or the server's store, is full.
    Full,
    /// The stream has as many consumers as it may have.
    TooManyConsumers,
    /// The servers of a cluster have no leader.
    NoQuorum,
}

/// A write that the server refused for a reason of its own.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the server refused this: {description} (code {code})")]
pub struct Refusal {
    /// The server's error code, such as 10077 for a full stream.
    pub code: u64,
    /// Its text.
    pub description: String,
}

impl Refusal {
    /// What is in the way; `None` for a code that is not known here.
    pub fn trouble(&self) -> Option<Trouble> {
        of_code(self.code)
    }

    /// Whether the servers of a cluster have no leader, and so no quorum.
    pub(crate) fn is_leaderless(&self) -> bool {
        self.trouble() == Some(Trouble::NoQuorum)
    }

    /// Whether the stream is full.
    pub fn is_full(&self) -> bool {
        self.trouble() == Some(Trouble::Full)
    }
}

/// A reply that has a status in place of a body.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("status {code}{}{text}", if text.is_empty() { "" } else { " " })]
pub(crate) struct Status {
    pub(crate) code: u16,
    /// What the server says of it; may be empty.
    pub(crate) text: String,
}

impl Status {
    /// A status without a text.
    pub(crate) fn of(code: u16) -> Self {
        Self::new(code, "")
    }

    pub(crate) fn new(code: u16, text: &str) -> Self {
        Self {
            code,
            text: text.to_owned(),
        }
    }

    /// Whether a pull ended because it has as many bytes as it may have. The server ends pulls for several reasons with
    /// one status, and its text, a constant of its protocol, is all that tells them apart.
    pub(crate) fn is_max_bytes(&self) -> bool {
        self.code == PULL_ENDED && self.text.contains("MaxBytes")
    }

    /// Whether the consumer of a pull is gone. As with [`Status::is_max_bytes`], the text is the protocol.
    pub(crate) fn is_consumer_gone(&self) -> bool {
        self.code == NO_RESPONDERS || (self.code == PULL_ENDED && self.text.contains("Deleted"))
    }
}

fn of_code(code: u64) -> Option<Trouble> {
    match code {
        STREAM_NOT_FOUND => Some(Trouble::NoStream),
        LEADERLESS => Some(Trouble::NoQuorum),
        TOO_MANY_CONSUMERS => Some(Trouble::TooManyConsumers),
        code if FULL.contains(&code) => Some(Trouble::Full),
        _ => None,
    }
}

/// What is in the way, as the first of an error and its sources says that knows.
pub(super) fn trouble(error: &(dyn StdError + 'static)) -> Option<Trouble> {
    let mut next = Some(error);
    while let Some(error) = next {
        let found = match (error.downcast_ref::<Status>(), error.downcast_ref::<Refusal>()) {
            (Some(status), _) => (status.code == NO_RESPONDERS).then_some(Trouble::NoStream),
            (None, Some(refusal)) => refusal.trouble(),
            (None, None) => answer(error).and_then(|answer| of_code(answer.error_code().0)),
        };
        if found.is_some() {
            return found;
        }
        next = error.source();
    }
    None
}

/// The server's own error. The client keeps it as the source of its error, or inside of the kind of it.
fn answer(error: &(dyn StdError + 'static)) -> Option<ServerError> {
    if let Some(answer) = error.downcast_ref::<ServerError>() {
        return Some(answer.clone());
    }
    if let Some(error) = error.downcast_ref::<ClientError<GetStreamErrorKind>>()
        && let GetStreamErrorKind::JetStream(answer) = error.kind()
    {
        return Some(answer);
    }
    if let Some(error) = error.downcast_ref::<ClientError<CreateStreamErrorKind>>()
        && let CreateStreamErrorKind::JetStream(answer) = error.kind()
    {
        return Some(answer);
    }
    if let Some(error) = error.downcast_ref::<ClientError<ConsumerErrorKind>>()
        && let ConsumerErrorKind::JetStream(answer) = error.kind()
    {
        return Some(answer);
    }
    if let Some(error) = error.downcast_ref::<ClientError<ConsumerInfoErrorKind>>()
        && let ConsumerInfoErrorKind::JetStream(answer) = error.kind()
    {
        return Some(answer);
    }
    None
}

#[cfg(test)]
mod tests {
    use async_nats::jetstream::context::{KeyValueError, KeyValueErrorKind};
    use async_nats::jetstream::kv::{WatchError, WatchErrorKind};

    use super::*;
    use crate::error::Error;

    fn said(code: u64) -> ServerError {
        let answer = serde_json::json!({ "code": 400, "err_code": code, "description": "of no matter" });
        serde_json::from_value(answer).expect("an error of the server")
    }

    /// As the client wraps them: the bucket that is opened, the keys that are listed.
    #[test]
    fn the_code_of_the_server_is_found_however_deep_the_client_has_it() {
        let bucket = |code| {
            let stream = ClientError::new(GetStreamErrorKind::JetStream(said(code)));
            KeyValueError::with_source(KeyValueErrorKind::GetBucket, stream)
        };
        let keys = |code| {
            let consumer = ClientError::new(ConsumerErrorKind::JetStream(said(code)));
            WatchError::with_source(WatchErrorKind::Other, consumer)
        };
        let cases = [
            (Error::api("x", bucket(10059)), Some(Trouble::NoStream)),
            (Error::api("x", keys(10026)), Some(Trouble::TooManyConsumers)),
            (Error::api("x", keys(10008)), Some(Trouble::NoQuorum)),
            (Error::api("x", keys(10003)), None),
            (Error::api("x", said(10077)), Some(Trouble::Full)),
            (Error::api("x", Status::of(503)), Some(Trouble::NoStream)),
            (Error::api("x", Status::of(408)), None),
            (Error::api("x", "error code 10059, status 503"), None),
            (Error::NoController, None),
        ];
        for (error, expected) in cases {
            assert_eq!(error.trouble(), expected, "{error}");
        }
        let full = Refusal {
            code: 10047,
            description: String::new(),
        };
        assert!(full.is_full());
        assert_eq!(Error::from(full).trouble(), Some(Trouble::Full));
    }
}
