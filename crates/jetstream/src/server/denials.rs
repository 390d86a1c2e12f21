//! What the server denies this user. It drops a message that may not be published and says so beside the requests, so that a
//! denied request looks like silence; here the two are put together.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::broadcast;

/// How many denials a waiting request may be behind before it misses one, and waits for its timeout instead.
const BACKLOG: usize = 64;
/// How the server begins a denial. Its protocol has one line of text for every error; this constant tells denials apart.
const DENIED: &str = "permissions violation for ";

/// The denials on one connection.
#[derive(Debug, Clone)]
pub(crate) struct Denials {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    /// Subjects that may not be published to, as the server says so.
    published: broadcast::Sender<Arc<str>>,
    /// What the subjects begin with whose denial somebody expects and reports.
    expected: Mutex<Vec<String>>,
    /// Subjects that may not be subscribed to, since the connection was made.
    subscribed: Mutex<Vec<String>>,
}

impl Default for Denials {
    fn default() -> Self {
        let inner = Inner {
            published: broadcast::Sender::new(BACKLOG),
            expected: Mutex::default(),
            subscribed: Mutex::default(),
        };
        Self { inner: Arc::new(inner) }
    }
}

/// What the server denies in one line of its protocol.
#[derive(Debug, PartialEq, Eq)]
enum Denial<'a> {
    Publish(&'a str),
    Subscribe(&'a str),
}

/// What a line of the server was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Heard {
    /// A denial.
    Denial,
    /// A denial that somebody expects and reports.
    ExpectedDenial,
    /// Something else.
    Other,
}

impl<'a> Denial<'a> {
    fn read(text: &'a str) -> Option<Self> {
        let begins = text.get(..DENIED.len())?.eq_ignore_ascii_case(DENIED);
        let rest = begins.then(|| text.get(DENIED.len()..))??;
        let (what, quoted) = rest.split_once('"')?;
        let (subject, _) = quoted.split_once('"')?;
        if what.starts_with("Subscription") {
            Some(Self::Subscribe(subject))
        } else {
            Some(Self::Publish(subject))
        }
    }
}

impl Denials {
    /// Takes what the server said.
    pub(super) fn hear(&self, text: &str) -> Heard {
        match Denial::read(text) {
            Some(Denial::Publish(subject)) => {
                // Nobody may wait, as after a publish without an answer.
                self.inner.published.send(subject.into()).ok();
                let expected = self.inner.expected.lock().unwrap_or_else(PoisonError::into_inner);
                if expected.iter().any(|begin| subject.starts_with(begin)) {
                    Heard::ExpectedDenial
                } else {
                    Heard::Denial
                }
            }
            Some(Denial::Subscribe(subject)) => {
                self.subscribed().push(subject.to_owned());
                // Whoever waits for an answer there waits in vain.
                self.inner.published.send("".into()).ok();
                Heard::Denial
            }
            None => Heard::Other,
        }
    }

    /// From now on a denial of what begins like this is reported by whoever asks, and is nothing for the log.
    pub(super) fn expect(&self, begin: String) {
        let mut expected = self.inner.expected.lock().unwrap_or_else(PoisonError::into_inner);
        if !expected.contains(&begin) {
            expected.push(begin);
        }
    }

    /// A new connection may be one of other permissions.
    pub(super) fn forget(&self) {
        self.subscribed().clear();
    }

    /// Listens for denials from now on.
    pub(super) fn listen(&self) -> broadcast::Receiver<Arc<str>> {
        self.inner.published.subscribe()
    }

    /// The subject of answers that may not be subscribed to, if this is one.
    pub(super) fn of_inbox(&self, inbox: &str) -> Option<String> {
        let prefix = inbox.rsplit_once('.').map_or(inbox, |(prefix, _)| prefix);
        let is_answers = |subject: &&String| subject.strip_prefix(prefix).is_some_and(|rest| rest.starts_with('.'));
        self.subscribed().iter().find(is_answers).cloned()
    }

    fn subscribed(&self) -> std::sync::MutexGuard<'_, Vec<String>> {
        self.inner.subscribed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_denial_is_read_with_its_subject() {
        let read = |text| Denial::read(text);
        assert_eq!(
            read("Permissions Violation for Publish to \"mesh.ledger.0.a\""),
            Some(Denial::Publish("mesh.ledger.0.a"))
        );
        assert_eq!(
            read("Permissions Violation for Publish with Reply of \"_INBOX.x\""),
            Some(Denial::Publish("_INBOX.x"))
        );
        assert_eq!(
            read("Permissions Violation for Subscription to \"_INBOX.x.*\" using queue \"q\""),
            Some(Denial::Subscribe("_INBOX.x.*"))
        );
        for other in [
            "Permissions Violation",
            "Authorization Violation",
            "",
            "permissions violation for \u{e9}",
        ] {
            assert_eq!(read(other), None, "{other}");
        }
    }

    #[test]
    fn a_denied_inbox_is_known_until_the_next_connection() {
        let denials = Denials::default();
        let subscription = "Permissions Violation for Subscription to \"_INBOX.abc.*\"";
        assert_eq!(denials.hear(subscription), Heard::Denial);
        assert_eq!(denials.of_inbox("_INBOX.xyz").as_deref(), Some("_INBOX.abc.*"));
        assert_eq!(denials.of_inbox("_INBOX_me.xyz"), None);
        denials.forget();
        assert_eq!(denials.of_inbox("_INBOX.xyz"), None);
    }

    #[test]
    fn an_expected_denial_is_known_by_its_beginning() {
        let denials = Denials::default();
        denials.expect("$JS.API.STREAM.PURGE.".to_owned());
        let hear = |subject| denials.hear(&format!("Permissions Violation for Publish to \"{subject}\""));
        assert_eq!(hear("$JS.API.STREAM.PURGE.MESH_LEDGER"), Heard::ExpectedDenial);
        assert_eq!(hear("mesh.ledger.0.a"), Heard::Denial);
        assert_eq!(denials.hear("Slow Consumer"), Heard::Other);
    }
}
