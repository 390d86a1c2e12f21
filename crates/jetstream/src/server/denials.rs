//! What the server denies this user. It drops a message that may not be published and says so beside the requests, so that a
//! denied request looks like silence; here the two are put together.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio::sync::futures::Notified;

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
    /// How many denials there were on this connection, of either kind. A request that nobody denies reads nothing else.
    count: AtomicU64,
    /// The last subjects that may not be published to, each with its number.
    published: Mutex<VecDeque<(u64, String)>>,
    /// Wakes the requests that wait, at each denial.
    told: Notify,
    /// What the subjects begin with whose denial somebody expects and reports.
    expected: Mutex<Vec<String>>,
    /// Subjects that may not be subscribed to, since the connection was made.
    subscribed: Mutex<Vec<String>>,
}

impl Default for Denials {
    fn default() -> Self {
        let inner = Inner {
            count: AtomicU64::new(0),
            published: Mutex::default(),
            told: Notify::new(),
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
                self.tell(|number| {
                    let mut published = lock(&self.inner.published);
                    published.truncate(BACKLOG - 1);
                    published.push_front((number, subject.to_owned()));
                });
                let expected = lock(&self.inner.expected);
                if expected.iter().any(|begin| subject.starts_with(begin)) {
                    Heard::ExpectedDenial
                } else {
                    Heard::Denial
                }
            }
            Some(Denial::Subscribe(subject)) => {
                // Whoever waits for an answer there waits in vain.
                self.tell(|_| lock(&self.inner.subscribed).push(subject.to_owned()));
                Heard::Denial
            }
            None => Heard::Other,
        }
    }

    /// Takes note of a denial, and only then counts it: whoever sees the count sees the denial.
    fn tell(&self, note: impl FnOnce(u64)) {
        note(self.count() + 1);
        self.inner.count.fetch_add(1, Ordering::Release);
        self.inner.told.notify_waiters();
    }

    /// From now on a denial of what begins like this is reported by whoever asks, and is nothing for the log.
    pub(super) fn expect(&self, begin: String) {
        let mut expected = lock(&self.inner.expected);
        if !expected.contains(&begin) {
            expected.push(begin);
        }
    }

    /// A new connection may be one of other permissions.
    pub(super) fn forget(&self) {
        lock(&self.inner.subscribed).clear();
    }

    /// How many denials there were so far.
    pub(super) fn count(&self) -> u64 {
        self.inner.count.load(Ordering::Acquire)
    }

    /// Ends at the next denial after this call.
    pub(super) fn next(&self) -> Notified<'_> {
        self.inner.told.notified()
    }

    /// Whether publishing to this subject was denied after so many denials.
    pub(super) fn is_denied_since(&self, count: u64, subject: &str) -> bool {
        lock(&self.inner.published)
            .iter()
            .take_while(|(number, _)| *number > count)
            .any(|(_, denied)| denied == subject)
    }

    /// The subject of answers that may not be subscribed to, if this is one.
    pub(super) fn of_inbox(&self, inbox: &str) -> Option<String> {
        let prefix = inbox.rsplit_once('.').map_or(inbox, |(prefix, _)| prefix);
        let is_answers = |subject: &&String| subject.strip_prefix(prefix).is_some_and(|rest| rest.starts_with('.'));
        lock(&self.inner.subscribed).iter().find(is_answers).cloned()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
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
    fn a_request_hears_what_was_denied_after_it_was_sent() {
        let denials = Denials::default();
        let deny = |subject: &str| denials.hear(&format!("Permissions Violation for Publish to \"{subject}\""));
        deny("mesh.ledger.0.a");
        let sent = denials.count();
        assert!(
            !denials.is_denied_since(sent, "mesh.ledger.0.a"),
            "that was another request"
        );
        deny("mesh.ledger.0.b");
        assert!(denials.is_denied_since(sent, "mesh.ledger.0.b"));
        assert!(!denials.is_denied_since(sent, "mesh.ledger.0.c"));
        for at in 0..BACKLOG {
            deny(&at.to_string());
        }
        assert!(!denials.is_denied_since(sent, "mesh.ledger.0.b"), "it was too long ago");
        assert!(denials.is_denied_since(sent, "0"));
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
