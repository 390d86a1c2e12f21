//! How to measure a side. The same code for both, so that both wait in the same way.

use std::future::Future;
use std::time::Duration;

use futures::stream::{FuturesUnordered, StreamExt as _, TryStreamExt as _};
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::error::BenchError;
use crate::figure::Figure;
use crate::side::Side;
use crate::site::Site;

/// How many submits are in flight at once in a throughput measurement.
pub(crate) const SUBMITTERS: usize = 256;
/// Intents before the clock starts, until connections, pulls and caches are warm.
pub(crate) const WARM_UP: u64 = 500;
pub(crate) const WARM_UP_SAMPLES: u64 = 20;
/// How long before each moment a pacer stops sleeping and spins on the clock.
const WATCH: Duration = Duration::from_micros(200);

/// Submits this many intents and waits until the last has ended, that is, until no ticket is left. `hops` is how many
/// records each must leave behind besides its submission.
pub(crate) async fn throughput(site: &Site, side: &Side, intents: u64, hops: u64) -> Result<Figure, BenchError> {
    let work = side.work_streams();
    let (ledger, until_done) = (side.ledger_streams(), hops > 0);
    let run = async |intents: u64| {
        concurrently(intents, || side.submit()).await?;
        // Without workers the tickets stay; then the end is when the last one is stored.
        if until_done {
            site.until_empty(&work).await
        } else {
            Ok(())
        }
    };
    run(WARM_UP).await?;
    let before = site.stored_in(&ledger).await?;
    let (spent, started) = (site.spent(), Instant::now());
    run(intents).await?;
    let (took, spent) = (started.elapsed(), site.spent().since(spent));
    let (found, needed) = (site.stored_in(&ledger).await? - before, intents * (1 + hops));
    if found < needed {
        let side = side.name();
        return Err(BenchError::Incomplete { side, found, needed });
    }
    Ok(Figure::rate(intents, took, &spent))
}

/// Submits one intent at a time and waits for its result.
pub(crate) async fn one_at_a_time(site: &Site, side: &Side, samples: u64) -> Result<Figure, BenchError> {
    for _ in 0..WARM_UP_SAMPLES {
        side.submit_and_wait().await?;
    }
    let mut times = Vec::new();
    let spent = site.spent();
    for _ in 0..samples {
        let started = Instant::now();
        side.submit_and_wait().await?;
        times.push(started.elapsed());
    }
    Ok(Figure::latency(times, &site.spent().since(spent)))
}

/// Submits one intent at each moment of a schedule, whether or not earlier ones have ended, and measures each from its
/// moment.
pub(crate) async fn paced(site: &Site, side: &Side, samples: u64, pace: Duration) -> Result<Figure, BenchError> {
    for _ in 0..WARM_UP_SAMPLES {
        side.submit_and_wait().await?;
    }
    let spent = site.spent();
    let mut moments = pacer(samples, pace);
    let (mut times, mut running) = (Vec::new(), FuturesUnordered::new());
    loop {
        tokio::select! {
            moment = moments.recv() => {
                let Some(moment) = moment else { break };
                running.push(timed(side, moment));
            }
            Some(time) = running.next() => times.push(time?),
        }
    }
    while let Some(time) = running.next().await {
        times.push(time?);
    }
    Ok(Figure::latency(times, &site.spent().since(spent)))
}

async fn timed(side: &Side, moment: Instant) -> Result<Duration, BenchError> {
    side.submit_and_wait().await?;
    Ok(moment.elapsed())
}

/// Reports each moment of a schedule when it comes. On its own thread: the runtime's timer is as coarse as what is
/// measured.
fn pacer(count: u64, pace: Duration) -> mpsc::UnboundedReceiver<Instant> {
    let (tell, told) = mpsc::unbounded_channel();
    let mut moment = Instant::now() + pace;
    std::thread::spawn(move || {
        for _ in 0..count {
            std::thread::sleep(moment.saturating_duration_since(Instant::now()).saturating_sub(WATCH));
            while Instant::now() < moment {
                std::hint::spin_loop();
            }
            if tell.send(moment).is_err() {
                return;
            }
            moment += pace;
        }
    });
    told
}

/// Runs something this many times, with a bounded number in flight.
pub(crate) async fn concurrently<F, E>(times: u64, each: impl Fn() -> F) -> Result<(), E>
where
    F: Future<Output = Result<(), E>>,
{
    futures::stream::iter(0..times)
        .map(|_| Ok(each()))
        .try_for_each_concurrent(SUBMITTERS, |done| done)
        .await
}
