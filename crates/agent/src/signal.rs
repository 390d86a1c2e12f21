//! Signals that tell the process to stop.

use tokio::signal::unix::{SignalKind, signal};

/// Resolves when SIGTERM or SIGINT tells the process to stop.
pub async fn shutdown_signal() {
    let (Ok(mut term), Ok(mut int)) = (signal(SignalKind::terminate()), signal(SignalKind::interrupt())) else {
        tracing::error!("cannot listen for signals; kill this process to stop it");
        return std::future::pending().await;
    };
    tokio::select! {
        _ = term.recv() => {}
        _ = int.recv() => {}
    }
}

/// Resolves at the second signal: its sender wants no grace time.
pub async fn second_signal() {
    shutdown_signal().await;
    shutdown_signal().await;
}
