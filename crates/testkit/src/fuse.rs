//! Counts what the clients of a proxy write, and lets them die right after one of these writes.

use std::sync::{Mutex, PoisonError};

use tokio::sync::watch;

/// The count, and the write that is the last.
#[derive(Debug, Default)]
pub(crate) struct Fuse {
    state: Mutex<State>,
    blown: watch::Sender<bool>,
}

#[derive(Debug, Default)]
struct State {
    /// What the subjects of counted publishes begin with.
    prefixes: Vec<String>,
    fatal: Option<usize>,
    seen: usize,
}

impl State {
    fn is_lit(&self) -> bool {
        self.fatal.is_some_and(|fatal| self.seen >= fatal)
    }
}

impl Fuse {
    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts from now on.
    pub(crate) fn set(&self, prefixes: &[&str], fatal: Option<usize>) {
        *self.state() = State {
            prefixes: prefixes.iter().map(|prefix| (*prefix).to_owned()).collect(),
            fatal,
            seen: 0,
        };
    }

    /// How many were counted.
    pub(crate) fn writes(&self) -> usize {
        self.state().seen
    }

    /// Whether the fatal write has come by: nothing passes any more.
    pub(crate) fn is_lit(&self) -> bool {
        self.state().is_lit()
    }

    /// Counts a publish; `true` for the fatal one.
    pub(crate) fn burns(&self, subject: &str) -> bool {
        let mut state = self.state();
        let is_counted = state.prefixes.iter().any(|prefix| subject.starts_with(prefix.as_str()));
        state.seen += usize::from(is_counted);
        is_counted && state.is_lit()
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
