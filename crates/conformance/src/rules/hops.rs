//! One hop that nothing disturbs.

use std::time::Duration;

use serde_json::json;

use crate::acks::Said;
use crate::court::{Court, Plan};
use crate::fault::{Fault, expect};
use crate::record::{Stored, story};
use crate::script::Script;

pub(super) async fn completes(court: &Court) -> Result<(), Fault> {
    let (work, ticket) = court.send("complete", Script::new().complete()).await?;
    let head = court.ends(&work, "completed", "").await?;
    expect(
        head.is_by(court.agent.as_str()) && head.text("/by/version") == court.version.as_str(),
        format!("a record by a worker of {}@{}", court.agent, court.version),
        head.raw(&["by"]).unwrap_or_default(),
    )?;
    expect(
        head.number("/snapshot/result/attempt") == 1,
        r#"the result {"attempt":1,"steps":{}}"#,
        head.raw(&["snapshot", "result"]).unwrap_or_default(),
    )?;
    court.acks(ticket).await
}

pub(super) async fn acks_last(court: &Court) -> Result<(), Fault> {
    let (work, ticket) = court.send("ack-last", Script::new().wait(0.7).complete()).await?;
    loop {
        // In this order: what was acked before the head was read was acked before the outcome.
        let acked = court.said(ticket).contains(&Said::Done);
        let head = court.until(&work, "a record", |_| true).await?;
        if head.is_over() {
            break;
        }
        let expected = "no ack before the record of the outcome";
        expect(
            !acked,
            expected,
            format!("an ack while the head was {}", head.in_words()),
        )?;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    court.ends(&work, "completed", "").await?;
    court.acks(ticket).await
}

pub(super) async fn extends(court: &Court) -> Result<(), Fault> {
    let (work, ticket) = court.send("extend", Script::new().wait(4.0).complete()).await?;
    court.ends(&work, "completed", "").await?;
    let said = court.said(ticket);
    expect(
        said.contains(&Said::Progress),
        "+WPI within 3.3 s",
        format!("none in 4 s; it said {said:?}"),
    )
}

pub(super) async fn records_steps(court: &Court) -> Result<(), Fault> {
    let (work, _) = court.send("step", Script::new().step("a").complete()).await?;
    let head = court.ends(&work, "completed", "").await?;
    let history = court.own(&work).await?;
    let steps: Vec<&Stored> = history.iter().filter(|record| record.event() == "step").collect();
    let [step] = steps.as_slice() else {
        return expect(false, "one record of the step \"a\"", story(&history));
    };
    let before = history
        .iter()
        .take_while(|record| record.event() != "step")
        .any(|record| ["claimed", "started"].contains(&record.event()));
    expect(before, "`claimed` or `started` before the step", story(&history))?;
    let key = format!("{}:1:a", work.intent);
    expect(
        step.text("/step/name") == "a" && step.text("/step/result/key") == key,
        format!("the step \"a\" whose effect got the key {key}"),
        step.raw(&["step"]).unwrap_or_default(),
    )?;
    same_result(&head, "a", &step.raw(&["step", "result"]).unwrap_or_default())
}

/// Breaks the rule unless the handler saw this result of a step, byte for byte.
pub(super) fn same_result(head: &Stored, step: &str, result: &str) -> Result<(), Fault> {
    let seen = head.raw(&["snapshot", "result", "steps", step]).unwrap_or_default();
    expect(
        seen == result,
        format!("the handler gets the recorded result of the step \"{step}\": {result}"),
        seen,
    )
}

pub(super) async fn fails(court: &Court) -> Result<(), Fault> {
    let plans = [
        ("failed", Script::new().fail("TOO_BIG")),
        ("rejected", Script::new().reject("TOO_BIG")),
    ];
    for (status, script) in plans {
        let (work, ticket) = court.send(status, script).await?;
        let head = court.ends(&work, status, "TOO_BIG").await?;
        for pointer in ["/event/code", "/snapshot/error/code", "/error/code"] {
            let found = head.text(pointer);
            expect(
                found == "TOO_BIG",
                format!("TOO_BIG at {pointer}"),
                format!("\"{found}\""),
            )?;
        }
        court.acks(ticket).await?;
    }
    Ok(())
}

pub(super) async fn answers(court: &Court) -> Result<(), Fault> {
    let namespace = court.mesh.subjects().namespace().as_str();
    let plan = |subject: &str| Plan {
        script: Script::new().complete(),
        envelope: format!(r#","reply_to":"{subject}""#),
        snapshot: json!({"reply_to": subject}).as_object().cloned().unwrap_or_default(),
        ..Plan::default()
    };
    let forbidden = format!("{namespace}.answer");
    let mut wrong = court.listen(&forbidden).await?;
    let (refused, ticket) = court.send("answer-inside", plan(&forbidden)).await?;
    court.ends(&refused, "completed", "").await?;
    court.acks(ticket).await?;
    let allowed = format!("conformance-answer.{namespace}");
    let mut right = court.listen(&allowed).await?;
    let (work, _) = court.send("answer", plan(&allowed)).await?;
    let head = court.ends(&work, "completed", "").await?;
    let answer = tokio::time::timeout(court.options.patience, right.next()).await;
    let Ok(Some(answer)) = answer else {
        return expect(false, "an answer on `reply_to`", "none");
    };
    let (body, result) = (
        String::from_utf8_lossy(&answer.body).into_owned(),
        head.raw(&["snapshot", "result"]).unwrap_or_default(),
    );
    expect(body == result, format!("the result as the answer: {result}"), body)?;
    for (name, value) in [("Baton-Intent", work.intent.as_str()), ("Baton-Status", "completed")] {
        let is_there = answer.headers.iter().any(|(key, found)| key == name && found == value);
        expect(
            is_there,
            format!("the header {name}: {value}"),
            format!("{:?}", answer.headers),
        )?;
    }
    // The answer to the first intent would have come before this one: it was settled before.
    let leaked = tokio::time::timeout(Duration::from_millis(200), wrong.next()).await;
    expect(
        leaked.is_err(),
        "no answer inside the namespace of the mesh",
        format!("one on {forbidden}"),
    )
}

pub(super) async fn ends_at_its_deadline(court: &Court) -> Result<(), Fault> {
    let mut own = Vec::new();
    for seconds in [1_u32, 5] {
        let plan = Plan {
            script: Script::new().wait(f64::from(seconds) + 2.0).complete(),
            deadline: Some(court.mesh.now().plus(Duration::from_secs(seconds.into()))),
            ..Plan::default()
        };
        let (work, ticket) = court.send("deadline", plan).await?;
        court.ends(&work, "timed_out", "").await?;
        court.acks(ticket).await?;
        own = court.own(&work).await?;
        // A busy machine may begin after the deadline, and then there is no hop to end: `late` is another rule.
        if own.iter().any(|record| record.event() != "timed_out") {
            return Ok(());
        }
    }
    expect(
        false,
        "a hop that begins before its deadline, and is ended at it",
        story(&own),
    )
}

pub(super) async fn does_not_run_late(court: &Court) -> Result<(), Fault> {
    let plan = Plan {
        script: Script::new().step("a").complete(),
        deadline: Some(court.mesh.now().minus(Duration::from_secs(1))),
        ..Plan::default()
    };
    let (work, ticket) = court.send("late", plan).await?;
    court.ends(&work, "timed_out", "").await?;
    let own = court.own(&work).await?;
    let ran = own.iter().any(|record| record.event() != "timed_out");
    expect(!ran, "`timed_out` and nothing else", story(&own))?;
    court.acks(ticket).await
}
