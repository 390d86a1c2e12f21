//! Waits longer after each failure, and never in step with another controller.

use std::time::Duration;

use baton_jetstream::Mesh;

/// Doubles from `first` to `last`.
#[derive(Debug, Clone)]
pub(crate) struct Backoff {
    first: Duration,
    last: Duration,
    next: Duration,
}

impl Backoff {
    pub(crate) const fn new(first: Duration, last: Duration) -> Self {
        Self {
            first,
            last,
            next: first,
        }
    }

    /// For requests to the server: short waits at first, because reconnects are normal and brief.
    pub(crate) const fn for_server() -> Self {
        Self::new(Duration::from_millis(200), Duration::from_secs(5))
    }

    pub(crate) fn reset(&mut self) {
        self.next = self.first;
    }

    /// Waits, then doubles the next wait.
    pub(crate) async fn wait(&mut self, mesh: &Mesh) {
        let wait = spread(mesh, self.next);
        self.next = (self.next * 2).min(self.last);
        tokio::time::sleep(wait).await;
    }
}

/// Spreads a duration by up to a quarter either way.
pub(crate) fn spread(mesh: &Mesh, duration: Duration) -> Duration {
    duration.mul_f64(0.75 + 0.5 * fraction(mesh))
}

/// A random number from 0 to 1.
pub(crate) fn fraction(mesh: &Mesh) -> f64 {
    let [byte, ..] = mesh.clock().random();
    f64::from(byte) / 255.0
}
