//! Repeats, lost acknowledgements, full streams.

use std::time::Duration;

use baton_jetstream::WireMessage;
use serde_json::{Value, json};

use crate::fault::{Fault, expect};
use crate::submitter::arrival::{Arrival, Way, list};
use crate::submitter::desk::Desk;
use crate::submitter::ending::Play;
use crate::submitter::job::Job;
use crate::submitter::rules::routing::SOON;
use crate::submitter::trial::{Accident, Trial, Until};

/// How long what was published may take to be overheard.
const HEARD: Duration = Duration::from_millis(300);

pub(super) async fn repeats(desk: &Desk) -> Result<(), Fault> {
    let job = Job::of(r#"{"n": 1.50}"#).intent(&desk.new_id("again"));
    desk.run(&job, Play::Route).await?.into_submitted()?;
    // The message that repeats a raw intent may be dropped by the server, or by the router.
    let again = desk.run(&job, Play::Route).await?;
    expect(again.run.is_good(), "exit code 0 for the repeat", again.run.in_words())?;
    let wanted = job.chosen().unwrap_or_default();
    let others = again
        .arrivals
        .iter()
        .find(|arrival| arrival.intent != wanted || arrival.way == Way::Record);
    expect(
        others.is_none(),
        format!("nothing but \"{wanted}\" once more"),
        list(&again.arrivals),
    )
}

pub(super) async fn meets_a_conflict(desk: &Desk) -> Result<(), Fault> {
    let id = desk.new_id("conflict");
    let first = desk
        .run(&Job::of("1").intent(&id), Play::Route)
        .await?
        .into_submitted()?;
    let other = Job::of("2").intent(&id);
    // Who writes records sees it at once; else the router tells, so that one has to wait for it.
    let other = match first.way {
        Way::Record => other,
        Way::Raw | Way::Envelope => other.wait(SOON),
    };
    let other = desk.run(&other, Play::Route).await?;
    expect(
        other.run.has_failed(),
        "an exit code other than 0",
        other.run.in_words(),
    )?;
    let written = other.arrivals.iter().any(|arrival| arrival.way == Way::Record);
    expect(!written, "no record", list(&other.arrivals))
}

/// The server stores, and does not say so.
fn without_acks(streams: Vec<String>, until: Until) -> Accident {
    Accident {
        streams,
        broken: json!({"no_ack": true}),
        healed: json!({"no_ack": false}),
        until,
    }
}

/// What the program published for the intake or the ledger in a trial, whether or not it was stored.
async fn published(desk: &Desk, trial: &Trial) -> Vec<WireMessage> {
    tokio::time::sleep(HEARD).await;
    let doorsteps = desk.doorsteps();
    let ledger = desk.ledger("");
    let mut heard = desk.overheard.after(trial.heard_before);
    heard.retain(|message| {
        let is_door = doorsteps.contains(&message.subject) || message.subject.starts_with(&ledger);
        is_door && !desk.hands.is_own(&message.subject, &message.body)
    });
    heard
}

/// By what a message is known again: its subject, its ids and its body.
fn identity(message: &WireMessage) -> (&str, Vec<&str>, &[u8]) {
    let ids = ["Baton-Intent", "Nats-Msg-Id"].map(|name| {
        let found = message.headers.iter().find(|(key, _)| key == name);
        found.map_or("", |(_, value)| value.as_str())
    });
    (&message.subject, ids.to_vec(), &message.body)
}

/// Breaks the rule unless whatever was published more than once was the same each time, and can be known again.
async fn is_the_same(desk: &Desk, trial: &Trial) -> Result<(), Fault> {
    let heard = published(desk, trial).await;
    let Some((first, more)) = heard.split_first() else {
        return Ok(());
    };
    for message in more {
        expect(
            identity(message) == identity(first),
            format!("what was published first once more: {}", shown(first)),
            shown(message),
        )?;
    }
    let (_, ids, _) = identity(first);
    let is_known = ids.iter().any(|id| !id.is_empty()) || trial.arrivals.iter().all(|arrival| arrival.way != Way::Raw);
    expect(
        more.is_empty() || is_known,
        "`Baton-Intent` or `Nats-Msg-Id`, by which a repeat is known",
        shown(first),
    )
}

fn shown(message: &WireMessage) -> String {
    let mut headers = message.headers.clone();
    headers.sort();
    format!(
        "{} {headers:?} {}",
        message.subject,
        String::from_utf8_lossy(&message.body)
    )
}

pub(super) async fn writes_the_same_again(desk: &Desk) -> Result<(), Fault> {
    let accident = without_acks(desk.doors(), Until::Intent);
    let trial = desk.run_through(&Job::of("1"), Play::Nothing, Some(accident)).await?;
    is_the_same(desk, &trial).await?;
    let heard = published(desk, &trial).await.len();
    let has_asked = heard > 1 || trial.arrivals.iter().any(|arrival| arrival.way == Way::Record);
    expect(
        !trial.run.is_good() || has_asked,
        "another try, or an exit code other than 0: the server has acknowledged nothing",
        trial.run.in_words(),
    )?;
    are_one(&trial.arrivals, None)
}

/// Breaks the rule unless all of these are one intent.
fn are_one(arrivals: &[Arrival], wanted: Option<&str>) -> Result<(), Fault> {
    let first = wanted.or_else(|| arrivals.first().map(|arrival| arrival.intent.as_str()));
    let other = arrivals.iter().find(|arrival| Some(arrival.intent.as_str()) != first);
    expect(other.is_none(), "one intent", list(arrivals))
}

pub(super) async fn survives_a_lost_ack(desk: &Desk) -> Result<(), Fault> {
    let job = Job::of("1").intent(&desk.new_id("lost-ack"));
    let accident = without_acks(desk.doors(), Until::Intent);
    let trial = desk.run_through(&job, Play::Route, Some(accident)).await?;
    expect(
        !trial.arrivals.is_empty(),
        "an intent, stored without an acknowledgement",
        trial.run.in_words(),
    )?;
    are_one(&trial.arrivals, job.chosen())?;
    if trial.run.is_good() {
        return Ok(());
    }
    // It said that it does not know; whoever started it tries again.
    let again = desk.run(&job, Play::Route).await?;
    expect(
        again.run.is_good(),
        "exit code 0 for the repeat of what was not acknowledged",
        again.run.in_words(),
    )?;
    are_one(&again.arrivals, job.chosen())
}

pub(super) async fn writes_the_ticket_again(desk: &Desk) -> Result<(), Fault> {
    desk.writes_records().await?;
    let accident = without_acks(vec![desk.work_stream()], Until::Ticket);
    let trial = desk.run_through(&Job::of("1"), Play::Nothing, Some(accident)).await?;
    let said = trial.run.is_good();
    tokio::time::sleep(HEARD).await;
    let tickets = trial.arrivals.first().map(|arrival| arrival.intent.clone());
    let heard = desk.overheard.after(trial.heard_before);
    let written: Vec<&WireMessage> = heard
        .iter()
        .filter(|message| {
            let of = message.headers.iter().find(|(name, _)| name == "Baton-Intent");
            message.subject.contains(".work.") && of.map(|(_, intent)| intent) == tickets.as_ref()
        })
        .collect();
    expect(
        !said || written.len() > 1,
        "the ticket once more, or an exit code other than 0: the server has acknowledged none",
        format!("{} tickets; {}", written.len(), trial.run.in_words()),
    )?;
    if let Some((first, more)) = written.split_first() {
        let other = more.iter().find(|message| identity(message) != identity(first));
        expect(
            other.is_none(),
            format!("the same ticket once more: {}", shown(first)),
            other.map_or_else(String::new, |other| shown(other)),
        )?;
    }
    Ok(())
}

pub(super) async fn meets_a_full_stream(desk: &Desk) -> Result<(), Fault> {
    let job = Job::of("1").intent(&desk.new_id("full"));
    let mut accidents = Vec::new();
    for stream in desk.doors() {
        let count = desk.hands.count(&stream).await?;
        desk.hands.change_stream(&stream, &json!({"max_msgs": count})).await?;
        accidents.push(stream);
    }
    let open: Value = json!({"max_msgs": -1});
    let accident = Accident {
        streams: accidents,
        broken: json!({}),
        healed: open,
        until: Until::End,
    };
    let trial = desk.run_through(&job, Play::Route, Some(accident)).await?;
    expect(
        !trial.run.is_good(),
        "an exit code other than 0, or another try: the stream was full",
        trial.run.in_words(),
    )?;
    expect(trial.arrivals.is_empty(), "nothing", list(&trial.arrivals))?;
    let again = desk.run(&job, Play::Route).await?.into_submitted()?;
    expect(
        Some(again.intent.as_str()) == job.chosen(),
        "the intent, once there is room",
        again.in_words(),
    )
}
