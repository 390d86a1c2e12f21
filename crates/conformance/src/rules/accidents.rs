//! What other workers, late tickets and newer ones do to a hop.

use std::time::Duration;

use serde_json::json;

use crate::acks::Said;
use crate::court::{Court, LATER_EVENT, SINK, Work};
use crate::fault::{Fault, expect};
use crate::record::story;
use crate::rules::hops::same_result;
use crate::script::Script;

/// How long a worker is watched that must do nothing more.
pub(super) const WATCHED: Duration = Duration::from_secs(3);
/// The result of the step that a worker before recorded: no other program writes this number like this.
pub(super) const PLANTED: &str = r#"{"key": "planted", "n": 1.50}"#;

/// Records the step "a" as a worker that died then.
pub(super) async fn plant_step(court: &Court, work: &Work) -> Result<(), Fault> {
    let step = format!(r#","step":{{"name":"a","result":{PLANTED}}}"#);
    court
        .append(work, json!({"type": "step"}), Some("in_progress"), &json!({}), &step)
        .await?;
    Ok(())
}

async fn resumes_after(court: &Court, work: &Work) -> Result<(), Fault> {
    court.ticket(work, true).await?;
    let head = court.ends(work, "completed", "").await?;
    let own = court.own(work).await?;
    let again = own.iter().any(|record| record.text("/step/name") == "a");
    expect(!again, "no second record of the step \"a\"", story(&own))?;
    same_result(&head, "a", PLANTED)
}

pub(super) async fn resumes(court: &Court) -> Result<(), Fault> {
    let work = court.submit("resume", Script::new().step("a").complete()).await?;
    court.overtake(&work).await?;
    plant_step(court, &work).await?;
    resumes_after(court, &work).await
}

pub(super) async fn reads_on(court: &Court) -> Result<(), Fault> {
    let work = court.submit("long-history", Script::new().step("a").complete()).await?;
    court.overtake(&work).await?;
    for number in 0..300 {
        let note = format!(r#","note":"{number}""#);
        court
            .append(&work, json!({"type": "progress"}), None, &json!({}), &note)
            .await?;
    }
    plant_step(court, &work).await?;
    resumes_after(court, &work).await
}

pub(super) async fn is_fenced(court: &Court) -> Result<(), Fault> {
    let (work, ticket) = court.send("fenced", Script::new().wait(1.5).complete()).await?;
    court.is_begun(&work).await?;
    let taken = court.overtake(&work).await?;
    tokio::time::sleep(WATCHED).await;
    let after: Vec<_> = court.own(&work).await?;
    let after: Vec<_> = after.into_iter().filter(|record| record.seq > taken).collect();
    let acked = court.said(ticket).contains(&Said::Done);
    if court.head(&work).await?.is_some_and(|head| head.has_ticket()) {
        court.close(&work).await?;
    }
    expect(
        after.is_empty(),
        "no record by the holder that was overtaken",
        story(&after),
    )?;
    expect(!acked, "no ack while the ticket may be another's", "an ack")
}

pub(super) async fn goes_on(court: &Court) -> Result<(), Fault> {
    let (work, _) = court.send("added", Script::new().wait(1.0).complete()).await?;
    court.is_begun(&work).await?;
    let event = json!({"type": "signalled"});
    let changes = json!({"acme-added": "kept"});
    let added = court
        .append(&work, event, None, &changes, r#","note":"planted""#)
        .await?;
    let head = court.ends(&work, "completed", "").await?;
    let kept = head.text("/snapshot/acme-added");
    expect(
        kept == "kept",
        "the snapshot of the record that was added",
        "the one before it",
    )?;
    let own = court.own(&work).await?;
    let again = own
        .iter()
        .any(|record| record.seq > added && record.event() == "claimed");
    expect(!again, "the holder ends the hop that it held", story(&own))
}

pub(super) async fn runs_once(court: &Court) -> Result<(), Fault> {
    let (work, _) = court
        .send("twice", Script::new().wait(1.5).step("a").complete())
        .await?;
    court.is_begun(&work).await?;
    let second = court.ticket(&work, true).await?;
    court.ends(&work, "completed", "").await?;
    court
        .says(second, "the second ticket is acked once the hop is over", |said| {
            said.contains(&Said::Done)
        })
        .await?;
    let own = court.own(&work).await?;
    let claims = own.iter().filter(|record| record.event() == "claimed").count();
    let steps = own.iter().filter(|record| record.event() == "step").count();
    expect(
        claims <= 1 && steps == 1,
        "one claim at most, and one step",
        story(&own),
    )
}

pub(super) async fn leaves_the_past(court: &Court) -> Result<(), Fault> {
    let plans = [
        ("late-ticket", Script::new().step("a").complete(), "completed"),
        ("superseded", Script::new().step("a").hand_off(SINK, "1"), "pending"),
    ];
    for (name, script, status) in plans {
        let (work, first) = court.send(name, script).await?;
        court
            .until(&work, &format!("the hop ends as `{status}`"), |head| {
                head.status() == status && head.text("/snapshot/envelope") != work.envelope
                    || head.status() == "completed"
            })
            .await?;
        court.acks(first).await?;
        let before = court.history(&work).await?.len();
        let late = court.ticket(&work, true).await?;
        court.acks(late).await?;
        let after = court.history(&work).await?;
        expect(
            after.len() == before,
            "no record after the ticket of a hop that is over",
            story(&after),
        )?;
    }
    Ok(())
}

pub(super) async fn leaves_the_unknown(court: &Court) -> Result<(), Fault> {
    let work = court.submit("unknown-status", Script::new().complete()).await?;
    let changes = json!({"acme-note": "of a later minor"});
    let unknown = court
        .append(&work, json!({"type": LATER_EVENT}), Some("dreaming"), &changes, "")
        .await?;
    let ticket = court.ticket(&work, true).await?;
    court
        .says(ticket, "a nak with a delay", |said| !said.is_empty())
        .await?;
    let said = court.said(ticket);
    let head = court.head(&work).await?;
    let untouched = head.as_ref().is_some_and(|head| head.seq == unknown);
    expect(
        untouched,
        "no record",
        head.map(|head| head.in_words()).unwrap_or_default(),
    )?;
    let is_delayed = said.iter().any(|one| matches!(one, Said::Again(delay) if *delay > 0));
    expect(
        is_delayed && !said.contains(&Said::Done),
        "a nak with a delay",
        format!("{said:?}"),
    )
}
