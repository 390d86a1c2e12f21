//! Schedules, as operators ask for them. Each change is a compare-and-set on the document, so any controller may make it.

use std::time::Duration;

use baton_envelope::control::{
    AddSchedule, BackfillSchedule, ControlError, FiringView, FiringsView, ListSchedules, PauseSchedule, RemoveSchedule,
    ResumeSchedule, RunSchedule, ScheduleAct, ScheduleView, SchedulesView, ShowSchedule,
};
use baton_envelope::schedule::{Fired, Firing, Paused, Schedule, Why};
use baton_envelope::{Extra, IntentId, Record, ScheduleName, Timestamp, codes};
use baton_jetstream::{Error, StoredSchedule};
use futures::{StreamExt as _, TryStreamExt as _};

use crate::context::Context;
use crate::schedules::{Made, Timetable, check, make};

/// How many of the next firings are told at most, and how many a backfill makes.
const MOST: usize = 1000;
/// How many firings of a backfill are made at the same time.
const AT_ONCE: usize = 16;
/// How far a clock of whoever asks may be ahead.
const AHEAD: Duration = Duration::from_secs(60);

pub(super) async fn add(cx: &Context, asked: AddSchedule) -> Result<ScheduleView, Error> {
    let now = cx.mesh.now();
    let schedule = Schedule {
        name: asked.name,
        agent: asked.agent,
        cron: asked.cron,
        tz: asked.tz,
        every_ms: asked.every_ms,
        jitter_ms: asked.jitter_ms,
        until: asked.until,
        missed: asked.missed,
        overlap: asked.overlap,
        kind: asked.kind,
        priority: asked.priority,
        deadline_ms: asked.deadline_ms,
        payload: asked.payload,
        payload_encoding: asked.payload_encoding,
        created_at: now,
        created_by: asked.by,
        revision: None,
        through: now,
        paused: None,
        fired: 0,
        last: None,
        skipped: None,
        held: None,
        extra: Extra::new(),
    };
    let timetable = check(&schedule, now)?;
    cx.route(&schedule.agent).await?;
    let created = match cx.mesh.create_schedule(&schedule).await {
        Err(error @ Error::TooLarge { .. }) => {
            let fix = "put the data elsewhere, and a reference to it into the payload";
            return Err(ControlError::new(codes::BAD_SCHEDULE, error.to_string(), fix).into());
        }
        created => created?,
    };
    let Some(StoredSchedule { schedule, .. }) = created else {
        let message = format!("schedule \"{}\" is there already", schedule.name);
        let fix = format!(
            "choose another name, or remove it first: baton schedules remove {}",
            schedule.name
        );
        return Err(ControlError::new(codes::SCHEDULE_EXISTS, message, fix).into());
    };
    tracing::info!(schedule = %schedule.name, agent = %schedule.agent, by = schedule.created_by, "a schedule was added");
    let next = timetable.next(schedule.through, 1);
    let status = None;
    Ok(ScheduleView { schedule, next, status })
}

pub(super) async fn list(cx: &Context, ListSchedules {}: ListSchedules) -> Result<SchedulesView, Error> {
    let now = cx.mesh.now();
    let table = cx.mesh.schedules().await?;
    let schedules = table.schedules.into_iter().map(|one| view(one.schedule, now, 1));
    Ok(SchedulesView {
        schedules: schedules.collect(),
    })
}

pub(super) async fn show(cx: &Context, asked: ShowSchedule) -> Result<ScheduleView, Error> {
    let schedule = find(cx, &asked.name).await?.schedule;
    let mut view = view(schedule, cx.mesh.now(), asked.next.min(MOST));
    if let Some(last) = &view.schedule.last {
        view.status = status(cx, &last.intent).await?;
    }
    Ok(view)
}

pub(super) async fn pause(cx: &Context, PauseSchedule(asked): PauseSchedule) -> Result<ScheduleView, Error> {
    let ScheduleAct { name, by } = asked;
    let since = cx.mesh.now();
    let paused = Paused {
        since,
        by,
        extra: Extra::new(),
    };
    change(cx, &name, |schedule| {
        let paused = Some(paused.clone());
        schedule.paused.is_none().then(|| Schedule {
            paused,
            ..schedule.clone()
        })
    })
    .await
}

/// What it would have fired meanwhile is not made up for.
pub(super) async fn resume(cx: &Context, ResumeSchedule(asked): ResumeSchedule) -> Result<ScheduleView, Error> {
    let now = cx.mesh.now();
    change(cx, &asked.name, |schedule| {
        schedule.paused.is_some().then(|| Schedule {
            paused: None,
            through: schedule.through.max(now),
            held: None,
            ..schedule.clone()
        })
    })
    .await
}

pub(super) async fn remove(cx: &Context, RemoveSchedule(asked): RemoveSchedule) -> Result<ScheduleView, Error> {
    match cx.mesh.remove_schedule(&asked.name).await? {
        Some(removed) => {
            tracing::info!(schedule = %asked.name, by = asked.by, "a schedule was removed");
            Ok(view(removed.schedule, cx.mesh.now(), 0))
        }
        None => Err(unknown(cx, &asked.name).await),
    }
}

/// Fires out of turn. Its deadline counts from now.
pub(super) async fn run(cx: &Context, asked: RunSchedule) -> Result<FiringsView, Error> {
    let RunSchedule { name, at, by } = asked;
    let now = cx.mesh.now();
    if at > now.plus(AHEAD) {
        let problem = format!("{at} is in the future (now {now})");
        return Err(bad(problem, "give the time now; or add a schedule that fires then"));
    }
    let schedule = find(cx, &name).await?.schedule;
    let firing = Firing::of(&schedule, Why::Asked, at);
    let why = format!("asked for by {by} at");
    let made = Box::pin(make(cx, &schedule, &firing, schedule.deadline(now), &why)).await?;
    let fired = Fired {
        intent: firing.intent.clone(),
        at,
        extra: Extra::new(),
    };
    if made == Made::New {
        let tell = |present: &Schedule| {
            let is_told = present.last.as_ref().is_some_and(|last| last.intent == fired.intent);
            (present.is_same(&schedule) && !is_told).then(|| Schedule {
                fired: present.fired.saturating_add(1),
                last: Some(fired.clone()),
                ..present.clone()
            })
        };
        cx.mesh.change_schedule(&name, None, tell).await?;
    }
    let firings = vec![outcome(firing, made)];
    Ok(FiringsView { name, firings })
}

/// Makes what was not made in a span of the past, the overlap and the deadline aside: the deadline counts from now.
pub(super) async fn backfill(cx: &Context, asked: BackfillSchedule) -> Result<FiringsView, Error> {
    let BackfillSchedule { name, from, to, by } = asked;
    let now = cx.mesh.now();
    if from > to || to > now {
        let problem = format!("{from} to {to} is no span of the past (now {now})");
        return Err(bad(problem, "give the earlier time first, and none in the future"));
    }
    let schedule = find(cx, &name).await?.schedule;
    let timetable = Timetable::of(&schedule)?;
    let mut times = timetable.next(from.minus(Duration::from_millis(1)), MOST + 1);
    times.retain(|at| *at <= to);
    if times.len() > MOST {
        let problem = format!("{from} to {to} has more than {MOST} firings");
        return Err(bad(problem, "take a shorter span, and repeat it for the rest"));
    }
    let why = format!("made up for by {by}, due");
    let deadline = schedule.deadline(now);
    let made = futures::stream::iter(times)
        .map(|at| {
            let (schedule, why) = (&schedule, &why);
            Box::pin(async move {
                let firing = Firing::of(schedule, Why::Due, at);
                let made = Box::pin(make(cx, schedule, &firing, deadline, why)).await?;
                Ok::<_, Error>(outcome(firing, made))
            })
        })
        .buffered(AT_ONCE);
    let firings = made.try_collect().await?;
    Ok(FiringsView { name, firings })
}

fn outcome(firing: Firing, made: Made) -> FiringView {
    FiringView {
        at: firing.at,
        intent: firing.intent,
        outcome: made.name().to_owned(),
    }
}

async fn change(
    cx: &Context,
    name: &ScheduleName,
    change: impl Fn(&Schedule) -> Option<Schedule> + Send,
) -> Result<ScheduleView, Error> {
    match cx.mesh.change_schedule(name, None, change).await? {
        Some(stored) => Ok(view(stored.schedule, cx.mesh.now(), 1)),
        None => Err(unknown(cx, name).await),
    }
}

async fn find(cx: &Context, name: &ScheduleName) -> Result<StoredSchedule, Error> {
    match cx.mesh.schedule(name).await? {
        Some(found) => Ok(found),
        None => Err(unknown(cx, name).await),
    }
}

async fn unknown(cx: &Context, name: &ScheduleName) -> Error {
    let known = cx.mesh.schedules().await.unwrap_or_default().schedules;
    let known: Vec<String> = known.iter().map(|one| one.schedule.name.to_string()).collect();
    let message = match known.is_empty() {
        true => format!("there is no schedule \"{name}\"; there are none"),
        false => format!("there is no schedule \"{name}\"; there are {}", known.join(", ")),
    };
    let fix = "`baton schedules list` shows them";
    ControlError::new(codes::UNKNOWN_SCHEDULE, message, fix).into()
}

fn bad(problem: String, fix: &str) -> Error {
    ControlError::new(codes::BAD_SCHEDULE, problem, fix).into()
}

/// A schedule with the times of its next firings: those that are due and not made yet first.
fn view(schedule: Schedule, now: Timestamp, count: usize) -> ScheduleView {
    let next = match (Timetable::of(&schedule), &schedule.paused) {
        (Ok(timetable), None) => timetable.next(schedule.through, count),
        // It goes on from when it is resumed.
        (Ok(timetable), Some(_)) => timetable.next(schedule.through.max(now), count),
        (Err(_), _) => Vec::new(),
    };
    let status = None;
    ScheduleView { schedule, next, status }
}

/// The status of an intent, wherever it stands.
async fn status(cx: &Context, intent: &IntentId) -> Result<Option<String>, Error> {
    if let Some(head) = cx.mesh.head(intent).await? {
        return Ok(Some(head.record.snapshot.status.to_string()));
    }
    let at = cx.projection.find_archived(intent).await?;
    let bundle = cx.mesh.bundle_of(intent, at).await?;
    let last = bundle.and_then(|(_, bundle)| Record::decode(&bundle.records.last()?.body).ok());
    Ok(last.map(|record| record.snapshot.status.to_string()))
}
