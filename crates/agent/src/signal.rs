//! Being told to stop.

use tokio::signal::unix::{SignalKind, signal};

/// Resolves when the process is told to stop, by SIGTERM or SIGINT.
pub async fn shutdown_signal() {
    let (Ok(mut term), Ok(mut int)) = (signal(SignalKind::terminate()), signal(SignalKind::interrupt())) else {
        tracing::error!("signals cannot be heard; this process must be killed to stop it");
        return std::future::pending().await;
    };
    tokio::select! {
        _ = term.recv() => {}
        _ = int.recv() => {}
    }
}

/// Resolves at the second signal: whoever sends it wants no grace time.
pub async fn second_signal() {
    shutdown_signal().await;
    shutdown_signal().await;
}
