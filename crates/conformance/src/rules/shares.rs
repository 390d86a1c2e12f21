//! Limits of the fleet: a worker keeps to the share that it was told.

use std::time::Duration;

use tokio::time::Instant;

use crate::court::Court;
use crate::fault::{Fault, expect};
use crate::record::story;
use crate::rules::accidents::WATCHED;
use crate::script::Script;

/// How many hops are run one after the other, how long each takes in seconds, and how long all take at least: a little less than
/// together, as clocks differ.
const ONE_BY_ONE: (usize, f64, Duration) = (3, 1.2, Duration::from_millis(3500));
/// A rate of one in three seconds, how many hops are started at it, and how long that takes at least: twice three seconds, less the
/// tenth of a second that may be made up for, and a little less. A worker on a busy machine that keeps to nothing is faster.
const RATE: (u32, usize, Duration) = (1200, 3, Duration::from_millis(5800));

/// Has so many hops run: how long all of them took, from before the first ticket until the last has completed.
async fn run(court: &Court, name: &str, count: usize, script: &Script) -> Result<Duration, Fault> {
    let (began, mut works) = (Instant::now(), Vec::new());
    for number in 0..count {
        let (work, _) = court.send(&format!("{name}-{number}"), script.clone()).await?;
        works.push(work);
    }
    for work in &works {
        court.ends(work, "completed", "").await?;
    }
    Ok(began.elapsed())
}

pub(super) async fn keeps_to_its_share(court: &Court) -> Result<(), Fault> {
    let tried = in_flight(court).await;
    court.lifted(tried).await
}

async fn in_flight(court: &Court) -> Result<(), Fault> {
    court.until_in_use(0).await?;
    let (work, _) = court.send("share", Script::new().step("a").complete()).await?;
    tokio::time::sleep(WATCHED).await;
    let own = court.own(&work).await?;
    // It may give back what it has been handed.
    let is_begun = own.iter().any(|stored| stored.event() != "released");
    expect(!is_begun, "nothing begun while `in_flight` is 0", story(&own))?;
    court.tell_share(Some(1), None).await?;
    court.ends(&work, "completed", "").await?;
    let (count, seconds, least) = ONE_BY_ONE;
    let took = run(court, "one-by-one", count, &Script::new().wait(seconds).complete()).await?;
    expect(
        took >= least,
        format!("{count} hops of {seconds} s one after the other while `in_flight` is 1"),
        format!("all of them in {took:?}"),
    )
}

pub(super) async fn takes_no_older_share(court: &Court) -> Result<(), Fault> {
    let tried = older(court).await;
    court.lifted(tried).await
}

async fn older(court: &Court) -> Result<(), Fault> {
    let kept = court.tell_share(Some(1), None).await?;
    let held = court.tell_revision(kept.revision - 1, Some(7), None).await?;
    expect(
        held.revision == kept.revision && held.in_flight == Some(1),
        format!("the share of revision {}, with `in_flight` 1", kept.revision),
        format!("{held:?}"),
    )
}

pub(super) async fn keeps_to_its_rate(court: &Court) -> Result<(), Fault> {
    let tried = rate(court).await;
    court.lifted(tried).await
}

async fn rate(court: &Court) -> Result<(), Fault> {
    let (rate, count, least) = RATE;
    court.tell_share(None, Some(rate)).await?;
    let took = run(court, "rate", count, &Script::new().complete()).await?;
    expect(
        took >= least,
        format!("{count} hops started at {rate} in an hour"),
        format!("all of them in {took:?}"),
    )
}
