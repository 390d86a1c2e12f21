//! What an operator takes from a worker that runs it: a paused intent, a killed version. The judge plays the controller.

use std::time::Duration;

use baton_envelope::codes;
use tokio::time::Instant;

use crate::court::{Court, LOOK, Work};
use crate::fault::{Fault, expect};
use crate::record::{Stored, story};
use crate::rules::accidents::WATCHED;
use crate::rules::patterns::is_left;
use crate::script::Script;

/// How long a worker may take that is told to stop: a handler of Baton itself has a second to end by itself.
const STOPPED: Duration = Duration::from_secs(5);
/// How long a worker may take to write `started`: a hop that runs for longer than 200 ms should have it.
const STARTED: Duration = Duration::from_secs(2);
/// How many seconds a hop takes that is disturbed: shorter than a worker is watched that must do nothing more.
const SHORT: f64 = 2.0;
/// How many seconds a hop takes that nobody waits for.
const LONG: f64 = 15.0;

/// A hop with a step, which then takes a while.
fn script(seconds: f64) -> Script {
    Script::new().step("a").wait(seconds).complete()
}

/// Waits until the hop is so far that its worker writes nothing more by itself: a refused `started` would tell it what is up.
async fn is_quiet(court: &Court, work: &Work) -> Result<(), Fault> {
    let until = Instant::now() + STARTED;
    while Instant::now() < until {
        let own = court.own(work).await?;
        if own.iter().any(|record| record.event() == "started") {
            break;
        }
        tokio::time::sleep(LOOK).await;
    }
    Ok(())
}

/// Waits until the step is recorded: until then nobody knows that the hop is run.
async fn has_begun(court: &Court, work: &Work) -> Result<(), Fault> {
    let until = Instant::now() + court.options.patience;
    loop {
        let own = court.own(work).await?;
        if own.iter().any(|record| record.event() == "step") {
            return Ok(());
        }
        expect(Instant::now() < until, "the step \"a\"", story(&own))?;
        tokio::time::sleep(LOOK).await;
    }
}

/// What the agent wrote for an intent after a record.
async fn own_after(court: &Court, work: &Work, seq: u64) -> Result<Vec<Stored>, Fault> {
    let mut own = court.own(work).await?;
    own.retain(|record| record.seq > seq);
    Ok(own)
}

/// Breaks the rule unless the step was run once, in all attempts.
async fn ran_once(court: &Court, work: &Work) -> Result<(), Fault> {
    let own = court.own(work).await?;
    let steps = own.iter().filter(|record| record.event() == "step").count();
    expect(steps == 1, "one record of the step \"a\"", story(&own))
}

pub(super) async fn lets_go_of_the_paused(court: &Court) -> Result<(), Fault> {
    let (work, ticket) = court.send("paused", script(SHORT)).await?;
    has_begun(court, &work).await?;
    let paused = court.pause(&work).await?;
    tokio::time::sleep(WATCHED).await;
    let after = own_after(court, &work, paused).await?;
    expect(after.is_empty(), "no record after the pause", story(&after))?;
    court.acks(ticket).await?;
    is_left(court, &work).await?;
    let again = court.resume(&work).await?;
    court.ticket(&again, false).await?;
    court.ends(&again, "completed", "").await?;
    ran_once(court, &again).await
}

pub(super) async fn lets_go_of_the_killed(court: &Court) -> Result<(), Fault> {
    let (work, ticket) = court.send("killed", script(SHORT)).await?;
    has_begun(court, &work).await?;
    let again = court.kill(&work).await?;
    court.ticket(&again, false).await?;
    let head = court.ends(&again, "completed", "").await?;
    let after = own_after(court, &work, again.seq).await?;
    expect(
        after.first().map(Stored::event) == Some("claimed"),
        "`claimed` first of all after the kill: what ran then commits nothing",
        story(&after),
    )?;
    let attempt = head.number("/snapshot/result/attempt");
    expect(attempt == 1, "attempt 1: a kill burns none", attempt.to_string())?;
    ran_once(court, &again).await?;
    // One of before 1.4 leaves the old ticket to come again.
    if court.reads(4).is_err() {
        return Ok(());
    }
    court.acks(ticket).await
}

pub(super) async fn stops_when_told(court: &Court) -> Result<(), Fault> {
    let tried = told(court).await;
    court.lifted(tried).await
}

async fn told(court: &Court) -> Result<(), Fault> {
    // How much it has in use says whether it has stopped.
    court.tell_share(None, None).await?;
    let (work, _) = court.send("told-wrongly", script(SHORT)).await?;
    has_begun(court, &work).await?;
    court.tell_fenced(&work).await?;
    court.ends(&work, "completed", "").await?;
    let own = court.own(&work).await?;
    let claims = own.iter().filter(|record| record.event() == "claimed").count();
    expect(
        claims <= 1,
        "the holder goes on that was told so while the ledger says nothing of it",
        story(&own),
    )?;

    let (work, ticket) = court.send("told", script(LONG)).await?;
    has_begun(court, &work).await?;
    is_quiet(court, &work).await?;
    court.until_in_use(1).await?;
    let paused = court.pause(&work).await?;
    court.tell_fenced(&work).await?;
    let began = Instant::now();
    while court.tell_share(Some(0), None).await?.in_use > 0 {
        expect(
            began.elapsed() < STOPPED,
            format!("the hop stopped within {} s", STOPPED.as_secs()),
            "it has a hop in use still",
        )?;
        tokio::time::sleep(LOOK).await;
    }
    court.acks(ticket).await?;
    let after = own_after(court, &work, paused).await?;
    expect(after.is_empty(), "no record after the pause", story(&after))
}

/// What no worker may write, in any trial.
pub(super) async fn leaves_commands_to_controllers(court: &Court) -> Result<(), Fault> {
    for work in court.works().await {
        for record in court.own(&work).await? {
            let is_command = record.event() == "cancelled" || record.text("/event/code") == codes::PAUSED;
            expect(!is_command, format!("no command in {}", work.intent), record.in_words())?;
        }
    }
    Ok(())
}
