//! What the client tells of its connection: counted, heard, and said in the log, but not once for each try.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_nats::{Event, ServerError};
use tokio::sync::watch;
use tokio::time::Instant;

use super::denials::{Denials, Heard};

/// How often to say again what has not changed.
const AGAIN: Duration = Duration::from_secs(60);

/// The longest pause between two attempts to reconnect, before half of it is added or taken away.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
/// The directive of a log filter that leaves out what the client itself says of each try to connect: this crate says it, once in
/// a while.
pub const QUIET_CLIENT: &str = "async_nats::connector=off";

/// What to do about the events of one connection.
#[derive(Debug)]
pub(super) struct Events {
    connections: watch::Sender<u64>,
    denials: Denials,
    /// The last complaint that was said, and when.
    said: Mutex<Option<(String, Instant)>>,
}

impl Events {
    pub(super) fn new(denials: Denials) -> (Arc<Self>, watch::Receiver<u64>) {
        let (connections, counted) = watch::channel(0);
        let events = Self {
            connections,
            denials,
            said: Mutex::default(),
        };
        (Arc::new(events), counted)
    }

    pub(super) fn take(&self, event: Event) {
        match event {
            Event::Connected => {
                self.denials.forget();
                *self.said.lock().unwrap_or_else(PoisonError::into_inner) = None;
                self.connections.send_modify(|count| *count += 1);
                if *self.connections.borrow() > 1 {
                    tracing::info!("connected to nats-server again");
                }
            }
            Event::Disconnected => tracing::warn!("connection to nats-server lost, reconnecting"),
            Event::ServerError(ServerError::Other(text)) => match self.denials.hear(&text) {
                Heard::ExpectedDenial => tracing::debug!("nats-server denies: {text}"),
                Heard::Denial if self.is_news(&text) => tracing::error!("nats-server denies: {text}"),
                Heard::Other if self.is_news(&text) => tracing::error!("nats-server reports an error: {text}"),
                Heard::Denial | Heard::Other => {}
            },
            Event::ServerError(error) => {
                if self.is_news(&error.to_string()) {
                    tracing::error!(%error, "nats-server reports an error");
                }
            }
            // The client tells of each try to connect again that failed.
            Event::ClientError(error) => {
                if self.is_news(&error.to_string()) {
                    tracing::warn!(%error, "cannot connect to nats-server again, still trying");
                }
            }
            Event::SlowConsumer(id) => tracing::warn!(id, "slow consumer"),
            Event::LameDuckMode | Event::Draining | Event::Closed => tracing::debug!(%event, "connection event"),
        }
    }

    /// As [`Events::take`], and says nothing.
    pub(super) fn take_quietly(&self, event: Event) {
        match event {
            Event::Connected => self.denials.forget(),
            Event::ServerError(ServerError::Other(text)) => {
                self.denials.hear(&text);
            }
            Event::Disconnected
            | Event::LameDuckMode
            | Event::Draining
            | Event::Closed
            | Event::SlowConsumer(_)
            | Event::ServerError(_)
            | Event::ClientError(_) => {}
        }
    }

    /// Whether a complaint is another than the last one, or was last said a while ago.
    fn is_news(&self, text: &str) -> bool {
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        let is_known = said
            .as_ref()
            .is_some_and(|(last, at)| last == text && at.elapsed() < AGAIN);
        if !is_known {
            *said = Some((text.to_owned(), Instant::now()));
        }
        !is_known
    }
}

/// How long to wait before an attempt to reconnect. Ten thousand that lost one server come back at the same moment: the
/// longer it was away, the more they spread.
pub(super) fn pause(attempts: usize) -> Duration {
    let doublings = u32::try_from(attempts / 4).unwrap_or(u32::MAX).min(4);
    let base = match attempts {
        0 | 1 => Duration::from_millis(10),
        _ => (Duration::from_millis(200) * 2_u32.pow(doublings)).min(LONGEST_PAUSE),
    };
    base / 2 + base * u32::from(rand::random::<u8>()) / u32::from(u8::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_complaint_is_said_once_in_a_while() {
        let (events, _) = Events::new(Denials::default());
        assert!(events.is_news("authorization violation"));
        assert!(!events.is_news("authorization violation"));
        assert!(events.is_news("IO error"));
    }

    #[test]
    fn a_server_that_stays_away_is_tried_seldom() {
        assert!(pause(1) < pause(2));
        let longest = pause(usize::MAX);
        assert!(
            longest >= LONGEST_PAUSE / 2 && longest <= LONGEST_PAUSE * 3 / 2,
            "{longest:?}"
        );
    }
}
