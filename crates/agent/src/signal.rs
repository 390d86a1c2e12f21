//! Signals that tell the process to stop.

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;

/// Resolves when SIGTERM or SIGINT tells the process to stop.
pub async fn shutdown_signal() {
    Signals::listen().next().await;
}

/// Two signals that stop a process: the first resolves when it is told to stop, the second when it is told so again, by
/// somebody who wants no grace time. The first waits for the second to be polled.
///
/// The second goes on listening before the first resolves. So whoever hears of the first may send another at once.
pub fn stop_signals() -> (impl Future<Output = ()>, impl Future<Output = ()>) {
    let (told, first) = oneshot::channel();
    let second = async move {
        let mut signals = Signals::listen();
        signals.next().await;
        // Nobody waits for the first.
        told.send(()).ok();
        signals.next().await;
    };
    let first = async move {
        if first.await.is_err() {
            std::future::pending::<()>().await;
        }
    };
    (first, second)
}

/// SIGTERM and SIGINT, from the moment of listening on; `None` where the platform refuses.
struct Signals(Option<(Signal, Signal)>);

impl Signals {
    fn listen() -> Self {
        match (signal(SignalKind::terminate()), signal(SignalKind::interrupt())) {
            (Ok(term), Ok(int)) => Self(Some((term, int))),
            _ => {
                tracing::error!("cannot listen for signals; kill this process to stop it");
                Self(None)
            }
        }
    }

    async fn next(&mut self) {
        let Some((term, int)) = &mut self.0 else {
            return std::future::pending().await;
        };
        tokio::select! {
            _ = term.recv() => {}
            _ = int.recv() => {}
        }
    }
}
