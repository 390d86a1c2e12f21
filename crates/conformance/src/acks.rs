//! What the agent says to the server about its tickets, overheard.

use std::sync::{Arc, Mutex, PoisonError};

use baton_jetstream::{Error, Wire, WireMessage};
use tokio::task::JoinHandle;

/// What was said about a ticket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Said {
    /// It is done with (`+ACK`, or nothing at all).
    Done,
    /// It is to come again, after so many nanoseconds.
    Again(u64),
    /// It is being worked on (`+WPI`).
    Progress,
    /// It is never to come again, or something that the protocol does not have.
    Other,
}

#[derive(Debug, Clone)]
struct Heard {
    stream: String,
    ticket: u64,
    said: Said,
}

/// All that was heard since it began to listen.
#[derive(Debug)]
pub(crate) struct AckLog {
    heard: Arc<Mutex<Vec<Heard>>>,
    task: JoinHandle<()>,
}

impl Drop for AckLog {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl AckLog {
    pub(crate) async fn listen(wire: &Wire) -> Result<Self, Error> {
        let mut listener = wire.listen("$JS.ACK.>").await?;
        let heard = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&heard);
        let task = tokio::spawn(async move {
            while let Some(message) = listener.next().await {
                if let Some(one) = read(&message) {
                    kept.lock().unwrap_or_else(PoisonError::into_inner).push(one);
                }
            }
        });
        Ok(Self { heard, task })
    }

    /// What was said about one ticket, in order.
    pub(crate) fn about(&self, stream: &str, ticket: u64) -> Vec<Said> {
        let heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        let about = heard.iter().filter(|one| one.stream == stream && one.ticket == ticket);
        about.map(|one| one.said).collect()
    }
}

/// Reads `$JS.ACK.<stream>.<consumer>.<deliveries>.<stream sequence>.…`, with or without a domain and an account.
fn read(message: &WireMessage) -> Option<Heard> {
    let tokens: Vec<&str> = message.subject.split('.').collect();
    let tokens = tokens.get(if tokens.len() >= 11 { 4.. } else { 2.. })?;
    let body = String::from_utf8_lossy(&message.body);
    let said = if body.is_empty() || body.starts_with("+ACK") {
        Said::Done
    } else if let Some(rest) = body.strip_prefix("-NAK") {
        let delay: Option<serde_json::Value> = serde_json::from_str(rest).ok();
        Said::Again(delay.and_then(|delay| delay.get("delay")?.as_u64()).unwrap_or_default())
    } else if body.starts_with("+WPI") {
        Said::Progress
    } else {
        Said::Other
    };
    Some(Heard {
        stream: (*tokens.first()?).to_owned(),
        ticket: tokens.get(3)?.parse().ok()?,
        said,
    })
}
