//! Schedules: makes each firing when it is due, and makes up for what nobody made while no controller led.
//!
//! The intents come first, and then the document says that they were made. A leader that dies in between leaves firings
//! that the next one makes again, and each is the same intent again.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use baton_envelope::schedule::{Fired, Firing, Held, Missed, Overlap, Schedule, Skipped, Why};
use baton_envelope::{Extra, ScheduleName, Timestamp, codes};
use baton_jetstream::{Error, ScheduleTable, StoredSchedule, Trouble};
use futures::StreamExt as _;
use tokio::time::Instant;

use crate::alarm;
use crate::context::Context;
use crate::intake::rejection::Rejection;
use crate::rounds::error::RoundError;
use crate::rounds::round::{Period, Round};
use crate::rounds::term::Term;
use crate::schedules::{Timetable, is_open, make};

/// How often to look whether somebody changed a schedule.
const LOOK: Duration = Duration::from_millis(500);
/// How many schedules to serve at the same time.
const AT_ONCE: usize = 16;
/// How many firings of one schedule are made before the document says so.
const BATCH: usize = 100;
/// How late a firing must be to count as missed. A change of leaders takes less, and misses nothing.
const MISSED_AFTER: Duration = Duration::from_secs(60);
/// When to try again what was refused, and what failed.
const HELD_PAUSE: Duration = Duration::from_secs(2);
const FAILED_PAUSE: Duration = Duration::from_millis(500);

/// Fires.
#[derive(Debug, Default)]
pub(crate) struct Schedules {
    known: BTreeMap<ScheduleName, Entry>,
    /// The last revision of the bucket that `known` contains, and those after it that this leader wrote itself.
    seen: u64,
    own: BTreeSet<u64>,
    looked: Option<Instant>,
}

/// A schedule, and when to serve it next.
#[derive(Debug, Clone)]
struct Entry {
    stored: StoredSchedule,
    timetable: Timetable,
    /// `None` when it fires no more.
    due: Option<Timestamp>,
}

impl Round for Schedules {
    const NAME: &'static str = "schedules";
    const PERIOD: Period = Period::Time(LOOK);

    fn begin(_: &Term) -> Self {
        Self::default()
    }

    fn due(&mut self, term: &Term, turn: u64) -> Period {
        let now = term.cx.mesh.now();
        let next = self.known.values().filter_map(|entry| entry.due).min();
        Period::Time(match (turn, next) {
            (0, _) => Duration::ZERO,
            (_, Some(next)) => next.since(now).min(LOOK),
            (_, None) => LOOK,
        })
    }

    async fn round(&mut self, term: &Term) -> Result<(), RoundError> {
        self.look(term).await?;
        let now = term.cx.mesh.now();
        let is_due = |entry: &&Entry| entry.due.is_some_and(|due| due <= now);
        let due: Vec<Entry> = self.known.values().filter(is_due).cloned().collect();
        let mut served = futures::stream::iter(due.into_iter().map(|entry| Box::pin(serve(term, entry, now))))
            .buffer_unordered(AT_ONCE);
        let mut first = Ok(());
        while let Some((name, served)) = served.next().await {
            let Served { entry, is_gone, result } = served;
            if let Err(error) = result {
                tracing::debug!(%error, schedule = %name, "a schedule was not served");
                first = first.and(Err(error));
            }
            if is_gone {
                // Whether it was removed, or all of them with their bucket, the next look finds out.
                self.looked = None;
            } else {
                self.own.insert(entry.stored.revision);
            }
            self.known.insert(name, entry);
        }
        first
    }
}

impl Schedules {
    /// Reads the schedules again when somebody else changed one.
    async fn look(&mut self, term: &Term) -> Result<(), RoundError> {
        if self.looked.is_some_and(|at| at.elapsed() < LOOK) {
            return Ok(());
        }
        let mesh = &term.in_charge()?.mesh;
        let end = match mesh.schedules_end().await {
            // Somebody removed the bucket: a controller makes it again.
            Err(error) if error.trouble() == Some(Trouble::NoStream) => 0,
            end => end?,
        };
        self.looked = Some(Instant::now());
        while self.own.remove(&(self.seen + 1)) {
            self.seen += 1;
        }
        let seen = self.seen;
        self.own.retain(|revision| *revision > seen);
        if end == self.seen {
            return Ok(());
        }
        if end < self.seen {
            return self.restore(term).await;
        }
        let ScheduleTable { schedules, end } = mesh.schedules().await?;
        let now = mesh.now();
        let mut known = BTreeMap::new();
        for stored in schedules {
            let name = stored.schedule.name.clone();
            // What failed a moment ago waits as before.
            let before = self.known.get(&name).filter(|before| before.stored == stored);
            match before.cloned().map_or_else(|| Entry::of(stored, now), Ok) {
                Ok(entry) => {
                    known.insert(name, entry);
                }
                Err(problem) => {
                    tracing::warn!(schedule = %name, problem, "this build cannot tell when the schedule fires: it does not");
                }
            }
        }
        (self.known, self.seen) = (known, end);
        self.own.retain(|revision| *revision > end);
        Ok(())
    }

    /// Writes what this leader knows into a bucket that was removed and made again.
    async fn restore(&mut self, term: &Term) -> Result<(), RoundError> {
        for (name, entry) in &self.known {
            let mesh = &term.in_charge()?.mesh;
            match mesh.create_schedule(&entry.stored.schedule).await {
                Ok(Some(_)) => tracing::warn!(schedule = %name, "it was lost with its bucket, and is written again"),
                Ok(None) => {}
                // The bucket is not there yet.
                Err(error) => return Err(error.into()),
            }
        }
        self.own.clear();
        self.seen = 0;
        self.looked = None;
        Ok(())
    }
}

impl Entry {
    fn of(stored: StoredSchedule, now: Timestamp) -> Result<Self, String> {
        let timetable = Timetable::of(&stored.schedule).map_err(|refused| refused.message)?;
        let due = next(&stored.schedule, &timetable, stored.schedule.through).map(|(_, due)| due.max(now));
        Ok(Self { stored, timetable, due })
    }
}

/// The first firing after a nominal time, and when to make it.
fn next(schedule: &Schedule, timetable: &Timetable, through: Timestamp) -> Option<(Firing, Timestamp)> {
    if schedule.paused.is_some() {
        return None;
    }
    let firing = Firing::of(schedule, Why::Due, timetable.after(through)?);
    let due = firing.at.plus(firing.put_off(schedule));
    Some((firing, due))
}

/// What serving a schedule once came to.
#[derive(Debug)]
struct Progress {
    through: Timestamp,
    made: u64,
    last: Option<Fired>,
    skipped: Option<Skipped>,
    held: Option<Held>,
}

impl Progress {
    /// Leaves out what nobody made in time, as the schedule says. Of a long time not each firing is looked at.
    fn begin(schedule: &Schedule, timetable: &Timetable, now: Timestamp) -> Self {
        let mut progress = Self {
            through: schedule.through,
            made: 0,
            last: schedule.last.clone(),
            skipped: schedule.skipped.clone(),
            held: None,
        };
        let long_ago = now.minus(MISSED_AFTER).minus(schedule.jitter());
        let last = timetable.by(long_ago).filter(|last| *last > progress.through);
        match (&schedule.missed, last) {
            (Missed::All, _) | (_, None) => {}
            (Missed::Skip, Some(last)) => progress.skip(last, "missed: no controller made it in time"),
            (Missed::Once | Missed::Unknown(_), Some(last)) => {
                let before = last.minus(Duration::from_millis(1));
                if let Some(but_one) = timetable.by(before).filter(|but_one| *but_one > progress.through) {
                    progress.skip(
                        but_one,
                        "missed: no controller made it in time, and a later one makes up for it",
                    );
                }
            }
        }
        progress
    }

    fn skip(&mut self, at: Timestamp, why: &str) {
        self.through = at;
        self.skipped = Some(Skipped {
            at,
            why: why.to_owned(),
            extra: Extra::new(),
        });
    }

    fn fired(&mut self, firing: Firing) {
        self.through = firing.at;
        self.made += 1;
        self.last = Some(Fired {
            intent: firing.intent,
            at: firing.at,
            extra: Extra::new(),
        });
    }

    /// The schedule with what was done; `None` when it says so already, or is another one of the same name.
    fn over(&self, schedule: &Schedule, present: &Schedule) -> Option<Schedule> {
        if !present.is_same(schedule) {
            return None;
        }
        let mut next = present.clone();
        if self.through > present.through {
            next.through = self.through;
            next.fired = present.fired.saturating_add(self.made);
            next.skipped.clone_from(&self.skipped);
            if self.made > 0 {
                next.last.clone_from(&self.last);
            }
        }
        next.held.clone_from(&self.held);
        (next != *present).then_some(next)
    }
}

/// A schedule that was served.
struct Served {
    /// It as it stands then.
    entry: Entry,
    /// It is not there any more.
    is_gone: bool,
    result: Result<(), RoundError>,
}

/// Makes what is due of one schedule, and writes down that it was.
async fn serve(term: &Term, mut entry: Entry, now: Timestamp) -> (ScheduleName, Served) {
    let name = entry.stored.schedule.name.clone();
    let schedule = entry.stored.schedule.clone();
    let mut progress = Progress::begin(&schedule, &entry.timetable, now);
    let mut result = Box::pin(fire(term, &schedule, &entry.timetable, now, &mut progress)).await;
    let mut pause = Duration::ZERO;
    if let Err(RoundError::Failed(error)) = &result
        && let Some(refusal) = Rejection::of_error(error)
    {
        hold(term, &schedule, &mut progress, refusal).await;
        (result, pause) = (Ok(()), HELD_PAUSE);
    } else if result.is_err() {
        progress.held.clone_from(&schedule.held);
        pause = FAILED_PAUSE;
    }
    let written = match term.in_charge() {
        Ok(cx) => {
            let known = Some(entry.stored.clone());
            let change = |present: &Schedule| progress.over(&schedule, present);
            cx.mesh
                .change_schedule(&name, known, change)
                .await
                .map_err(RoundError::from)
        }
        Err(error) => Err(error),
    };
    match written {
        Ok(Some(stored)) if stored.schedule.is_same(&schedule) => entry.stored = stored,
        // Removed; or another one has the name.
        Ok(_) => {
            entry.due = None;
            let is_gone = true;
            return (name, Served { entry, is_gone, result });
        }
        Err(error) => {
            pause = FAILED_PAUSE;
            result = result.and(Err(error));
        }
    }
    let next = next(&entry.stored.schedule, &entry.timetable, entry.stored.schedule.through);
    entry.due = next.map(|(_, due)| due.max(term.cx.mesh.now().plus(pause)));
    let is_gone = false;
    (name, Served { entry, is_gone, result })
}

async fn fire(
    term: &Term,
    schedule: &Schedule,
    timetable: &Timetable,
    now: Timestamp,
    progress: &mut Progress,
) -> Result<(), RoundError> {
    for _ in 0..BATCH {
        let Some((firing, _)) = next(schedule, timetable, progress.through).filter(|(_, due)| *due <= now) else {
            return Ok(());
        };
        let cx = term.in_charge()?;
        let deadline = schedule.deadline(firing.at);
        if deadline.is_some_and(|deadline| deadline <= now) {
            progress.skip(firing.at, "its deadline had passed");
            continue;
        }
        if schedule.overlap == Overlap::Skip
            && let Some(open) = overlapped(cx, progress.last.as_ref(), &firing).await?
        {
            progress.skip(firing.at, &format!("the last firing's intent {open} was open"));
            continue;
        }
        Box::pin(make(cx, schedule, &firing, deadline, "due")).await?;
        progress.fired(firing);
    }
    Ok(())
}

/// The open intent of the last firing. A firing that a leader made before it died is none that overlaps.
async fn overlapped(cx: &Context, last: Option<&Fired>, firing: &Firing) -> Result<Option<String>, Error> {
    let Some(last) = last else { return Ok(None) };
    if cx.mesh.head(&firing.intent).await?.is_some() || !is_open(cx, &last.intent).await? {
        return Ok(None);
    }
    Ok(Some(last.intent.to_string()))
}

/// Notes why a firing cannot be submitted, and says so once.
async fn hold(term: &Term, schedule: &Schedule, progress: &mut Progress, refusal: Rejection) {
    let Rejection { code, message } = refusal;
    let before = schedule.held.as_ref().filter(|held| held.code == code);
    if before.is_none() {
        tracing::warn!(schedule = %schedule.name, code, "a firing that is due waits: {message}");
        let text = format!("schedule {} cannot fire: {message}", schedule.name);
        let ways_out = vec![
            format!("baton schedules show {}", schedule.name),
            format!("baton schedules pause {}", schedule.name),
        ];
        alarm::publish(&term.cx.mesh, codes::SCHEDULE_HELD, text, ways_out).await;
    }
    progress.held = Some(before.cloned().unwrap_or_else(|| Held {
        since: term.cx.mesh.now(),
        code,
        problem: message,
        extra: Extra::new(),
    }));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schedules::schedule;

    fn at(seconds: u64) -> Timestamp {
        schedule().created_at.plus(Duration::from_secs(seconds))
    }

    /// A schedule that fires each second, and its times.
    fn each_second(missed: Missed) -> (Schedule, Timetable) {
        let schedule = Schedule { missed, ..schedule() };
        let timetable = Timetable::of(&schedule).expect("a timetable");
        (schedule, timetable)
    }

    #[test]
    fn what_a_change_of_leaders_delays_is_not_missed() {
        for missed in [Missed::Once, Missed::Skip, Missed::All] {
            let (schedule, timetable) = each_second(missed);
            let progress = Progress::begin(&schedule, &timetable, at(60));
            assert_eq!(
                (progress.through, progress.skipped),
                (at(0), None),
                "{:?}",
                schedule.missed
            );
        }
    }

    #[test]
    fn what_nobody_made_in_time_is_left_out_as_the_schedule_says() {
        let through = |missed| {
            let (schedule, timetable) = each_second(missed);
            let progress = Progress::begin(&schedule, &timetable, at(1000));
            (progress.through, progress.skipped.map(|skipped| skipped.at))
        };
        // Up to 940 s they are missed.
        assert_eq!(through(Missed::All), (at(0), None));
        assert_eq!(through(Missed::Skip), (at(940), Some(at(940))));
        assert_eq!(through(Missed::Once), (at(939), Some(at(939))));
    }

    #[test]
    fn jitter_makes_nothing_miss() {
        let (mut schedule, timetable) = each_second(Missed::Skip);
        schedule.jitter_ms = 30_000;
        let progress = Progress::begin(&schedule, &timetable, at(100));
        assert_eq!(progress.through, at(10));
    }

    #[test]
    fn progress_goes_into_the_document_as_it_stands_and_never_back() {
        let (schedule, timetable) = each_second(Missed::All);
        let mut progress = Progress::begin(&schedule, &timetable, at(3));
        for n in 1..=3 {
            progress.fired(Firing::of(&schedule, Why::Due, at(n)));
        }
        let paused = Schedule {
            paused: Some(baton_envelope::schedule::Paused {
                since: at(2),
                by: "ada".to_owned(),
                extra: Extra::new(),
            }),
            ..schedule.clone()
        };
        let next = progress.over(&schedule, &paused).expect("a change");
        assert_eq!((next.through, next.fired, next.paused), (at(3), 3, paused.paused));
        // Another leader was there first, and further.
        let further = Schedule {
            through: at(5),
            fired: 5,
            ..schedule.clone()
        };
        assert_eq!(progress.over(&schedule, &further), None);
        let another = Schedule {
            revision: Some(99),
            ..schedule.clone()
        };
        assert_eq!(progress.over(&schedule, &another), None);
    }
}
