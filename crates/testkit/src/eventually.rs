//! Waiting for a condition instead of sleeping.

use std::time::Duration;

use tokio::time::{Instant, sleep, timeout_at};

/// Longest pause between two probes.
const LONGEST: Duration = Duration::from_millis(200);

/// Probes until the closure returns `Ok`, and gives its value.
///
/// The closure's `Err` is a status for the reader of a failed test: what was seen instead. Pauses grow from 2 ms to
/// 200 ms; a probe that hangs counts as the last one.
///
/// # Panics
/// When `max` has passed, with `what` and the last status.
pub async fn eventually<T>(what: &str, max: Duration, mut probe: impl AsyncFnMut() -> Result<T, String>) -> T {
    let deadline = Instant::now() + max;
    let mut pause = Duration::from_millis(2);
    let mut status = "the first probe did not come back".to_owned();
    loop {
        match timeout_at(deadline, probe()).await {
            Ok(Ok(value)) => return value,
            Ok(Err(seen)) => status = seen,
            Err(_) => panic!("{what}: not within {max:?}; the last probe hung, before it: {status}"),
        }
        if Instant::now() + pause >= deadline {
            panic!("{what}: not within {max:?}; last seen: {status}");
        }
        sleep(pause).await;
        pause = (pause * 2).min(LONGEST);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn gives_the_value_of_the_first_success() {
        let mut count = 0;
        let value = eventually("three probes", Duration::from_secs(5), async || {
            count += 1;
            if count == 3 {
                Ok(count)
            } else {
                Err(format!("{count} probes"))
            }
        })
        .await;
        assert_eq!(value, 3);
    }

    async fn message_of(probe: impl AsyncFnMut() -> Result<(), String> + Send + 'static) -> String {
        let local = tokio::task::LocalSet::new();
        let task = local.spawn_local(eventually("the thing", Duration::from_millis(50), probe));
        let panic = local.run_until(task).await.unwrap_err().into_panic();
        panic.downcast_ref::<String>().unwrap().clone()
    }

    #[tokio::test(start_paused = true)]
    async fn failure_names_the_condition_and_the_last_status() {
        let message = message_of(async || Err("still 2 of 3".to_owned())).await;
        assert!(
            message.contains("the thing") && message.contains("still 2 of 3"),
            "{message}"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn hanging_probe_is_bounded() {
        let message = message_of(async || std::future::pending().await).await;
        assert!(message.contains("hung"), "{message}");
    }
}
