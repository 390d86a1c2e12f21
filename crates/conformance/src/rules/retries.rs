//! Attempts: failed, early, silent, and too many.

use std::time::Duration;

use baton_envelope::codes;
use serde_json::json;

use crate::acks::Said;
use crate::court::{Court, Work};
use crate::fault::{Fault, expect};
use crate::record::{Stored, story};
use crate::rules::hops::same_result;
use crate::script::Script;

pub(super) async fn retries(court: &Court) -> Result<(), Fault> {
    let script = Script::new().step("a").retry(1, "FLAKY", 0.5).step("b").complete();
    let (work, ticket) = court.send("retry", script).await?;
    let head = court.ends(&work, "completed", "").await?;
    let own = court.own(&work).await?;
    let Some(given) = own.iter().find(|record| record.event() == "retry_scheduled") else {
        return expect(false, "`retry_scheduled` after the first attempt", story(&own));
    };
    let attempt = given.number("/snapshot/attempt");
    expect(attempt == 2, "attempt 2 in `retry_scheduled`", attempt.to_string())?;
    expect(
        given.text("/error/code") == "FLAKY",
        "the error FLAKY",
        given.raw(&["error"]).unwrap_or_default(),
    )?;
    let (back, epoch) = (given.number("/snapshot/given_back"), given.number("/snapshot/epoch"));
    expect(
        back == epoch,
        format!("`given_back` {epoch}, the new epoch"),
        back.to_string(),
    )?;
    expect(
        !given.text("/snapshot/wake_at").is_empty() && given.at("/snapshot/holder").is_null(),
        "`wake_at`, and no `holder`",
        given.raw(&["snapshot"]).unwrap_or_default(),
    )?;
    let delays: Vec<Said> = court.said(ticket);
    let is_delayed = delays
        .iter()
        .any(|said| matches!(said, Said::Again(delay) if *delay > 100_000_000));
    expect(
        is_delayed,
        "a nak with the delay until `wake_at`",
        format!("{delays:?}"),
    )?;
    let attempt = head.number("/snapshot/result/attempt");
    expect(
        attempt == 2,
        "the second attempt completes",
        format!("attempt {attempt}"),
    )?;
    let steps: Vec<&Stored> = own.iter().filter(|record| record.text("/step/name") == "a").collect();
    let [step] = steps.as_slice() else {
        return expect(false, "one record of the step \"a\"", story(&own));
    };
    same_result(&head, "a", &step.raw(&["step", "result"]).unwrap_or_default())
}

pub(super) async fn gives_up(court: &Court) -> Result<(), Fault> {
    let (work, ticket) = court
        .send("exhausted", Script::new().retry(1000, "DOWN", 0.1).complete())
        .await?;
    let limit = u64::from(court.options.attempts);
    let head = court.ends(&work, "parked", "DOWN").await?;
    let attempt = head.number("/snapshot/attempt");
    expect(
        attempt == limit,
        format!("parked after attempt {limit}"),
        format!("after attempt {attempt}"),
    )?;
    court.acks(ticket).await
}

/// An intent whose next attempt has its time soon, and its ticket, which the agent has sent back.
async fn early(court: &Court, name: &str, attempt: u32) -> Result<(Work, u64), Fault> {
    let work = court.submit(name, Script::new().complete()).await?;
    court.overtake(&work).await?;
    let wake_at = court.mesh.now().plus(Duration::from_millis(1500)).to_string();
    let changes = json!({"attempt": attempt, "epoch": "+1", "given_back": 3, "holder": null, "wake_at": wake_at,
                         "error": {"code": "FLAKY", "message": "planted"}});
    court
        .append(&work, json!({"type": "retry_scheduled"}), Some("pending"), &changes, "")
        .await?;
    let ticket = court.ticket(&work, true).await?;
    let expected = "a nak with the delay until `wake_at`";
    court
        .says(ticket, expected, |said| {
            said.iter().any(|one| matches!(one, Said::Again(delay) if *delay > 0))
        })
        .await?;
    let own = court.own(&work).await?;
    expect(own.is_empty(), "no record before `wake_at`", story(&own))?;
    Ok((work, ticket))
}

pub(super) async fn waits(court: &Court) -> Result<(), Fault> {
    let (work, _) = early(court, "early", 2).await?;
    let head = court.ends(&work, "completed", "").await?;
    let attempt = head.number("/snapshot/attempt");
    expect(
        attempt == 2,
        "attempt 2, as `retry_scheduled` says",
        format!("attempt {attempt}"),
    )
}

pub(super) async fn counts_silence(court: &Court) -> Result<(), Fault> {
    let limit = court.options.attempts;
    let (work, _) = early(court, "silence", limit.saturating_sub(1).max(1)).await?;
    // Another worker took it and died: its attempt counts, and the delivery that the agent gets is not the first.
    court.overtake(&work).await?;
    let head = court.ends(&work, "completed", "").await?;
    let attempt = head.number("/snapshot/attempt");
    expect(
        attempt == u64::from(limit),
        format!("attempt {limit}: one more than that of the silent holder"),
        format!("attempt {attempt}"),
    )
}

pub(super) async fn parks_poison(court: &Court) -> Result<(), Fault> {
    let (work, ticket) = early(court, "poison", court.options.attempts).await?;
    court.overtake(&work).await?;
    court.ends(&work, "parked", codes::POISON).await?;
    court.acks(ticket).await
}
