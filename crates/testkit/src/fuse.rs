//! Counts what the clients of a proxy write, and lets them die, or holds back all that they hear, right after one of these
//! writes.

use std::fmt;
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use tokio::sync::watch;

/// A publish that was counted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Write {
    /// Its subject.
    pub subject: String,
    /// The body, without headers.
    pub body: Bytes,
}

/// What becomes of the clients after the fatal write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// Nothing passes any more.
    Death,
    /// Nothing passes until somebody heals the link.
    Stall,
}

/// Whether the last of these writes is the fatal one.
type IsFatal = Box<dyn Fn(&[Write]) -> bool + Send + Sync>;

/// The count, and the write that is the last.
#[derive(Debug, Default)]
pub(crate) struct Fuse {
    state: Mutex<State>,
    blown: watch::Sender<bool>,
}

#[derive(Default)]
struct State {
    /// What the subjects of counted publishes begin with.
    prefixes: Vec<String>,
    fatal: Option<(End, IsFatal)>,
    seen: Vec<Write>,
    is_lit: bool,
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let end = self.fatal.as_ref().map(|(end, _)| end);
        f.debug_struct("State")
            .field("prefixes", &self.prefixes)
            .field("end", &end)
            .field("seen", &self.seen.len())
            .field("is_lit", &self.is_lit)
            .finish()
    }
}

impl Fuse {
    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts from now on.
    pub(crate) fn set(&self, prefixes: &[&str], fatal: Option<(End, IsFatal)>) {
        *self.state() = State {
            prefixes: prefixes.iter().map(|prefix| (*prefix).to_owned()).collect(),
            fatal,
            ..State::default()
        };
        self.blown.send_replace(false);
    }

    /// What was counted.
    pub(crate) fn writes(&self) -> Vec<Write> {
        self.state().seen.clone()
    }

    /// Whether the fatal write has come by, and the clients are dead: nothing passes any more.
    pub(crate) fn kills(&self) -> bool {
        let state = self.state();
        state.is_lit && matches!(state.fatal, Some((End::Death, _)))
    }

    /// Counts a publish; `true` for the fatal one.
    pub(crate) fn burns(&self, subject: &str, body: impl FnOnce() -> Bytes) -> bool {
        let mut state = self.state();
        if !state.prefixes.iter().any(|prefix| subject.starts_with(prefix.as_str())) {
            return false;
        }
        let (subject, body) = (subject.to_owned(), body());
        state.seen.push(Write { subject, body });
        let is_fatal = !state.is_lit && state.fatal.as_ref().is_some_and(|(_, is_fatal)| is_fatal(&state.seen));
        state.is_lit |= is_fatal;
        is_fatal
    }

    /// What becomes of the clients after the fatal write.
    pub(crate) fn end(&self) -> Option<End> {
        self.state().fatal.as_ref().map(|(end, _)| *end)
    }

    /// The fatal write is with the server.
    pub(crate) fn blow(&self) {
        self.blown.send_replace(true);
    }

    /// Waits until it is.
    pub(crate) async fn blown(&self) {
        let mut blown = self.blown.subscribe();
        if blown.wait_for(|blown| *blown).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
