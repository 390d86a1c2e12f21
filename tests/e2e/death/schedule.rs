//! A schedule that fires twice, and is removed.

use std::time::Duration;

use baton_agent::{AgentBuilder, Outcome};
use baton_e2e::death::{Pattern, Run};
use baton_envelope::control::{AddSchedule, RemoveSchedule, ScheduleAct};
use baton_envelope::schedule::{Firing, Missed, Overlap, Schedule, Why};
use baton_envelope::{Json, Priority, ScheduleName};
use baton_jetstream::{Head, Mesh};

use super::completed_with;

/// The schedule fires each second, and ends before its third firing.
const EACH: Duration = Duration::from_secs(1);
const LASTS: Duration = Duration::from_millis(2_600);
/// How long adding it may take.
const LONG: Duration = Duration::from_secs(50);
/// The client knows when it fires.
const ADDED: usize = 1;

/// Each firing is made once.
pub(crate) struct Twice;

impl Pattern for Twice {
    const NAME: &'static str = "schedule";
    const ROLES: &'static [&'static str] = &["bell"];

    fn agent(&self, run: &Run, role: &'static str) -> AgentBuilder {
        run.scripted(role, |hop, run| {
            Box::pin(async move {
                run.step(hop, "rung").await?;
                Outcome::complete(&"rung")
            })
        })
    }

    async fn drive(&self, client: &Mesh, run: &Run) {
        if run.phase() < ADDED {
            let schedule = added(client, run).await;
            for number in 1.. {
                let at = schedule.created_at.plus(EACH * number);
                if schedule.until.is_none_or(|until| at > until) {
                    break;
                }
                run.also(Firing::of(&schedule, Why::Due, at).intent);
            }
            run.reach(ADDED);
        }
        run.until_ended(client).await;
        let (name, by) = (name(run), "test".to_owned());
        let question = RemoveSchedule(ScheduleAct { name, by });
        run.ask_until(client, &question, async || {
            let found = schedule(client, run).await?;
            Ok(found.is_none())
        })
        .await;
    }

    fn judge(&self, run: &Run, history: &[Head]) {
        completed_with(run, history, "rung");
        assert_eq!(run.intents().len(), 2, "{:?}", run.intents());
        let first = &history.first().expect("a record").record;
        let sender = first.envelope.as_ref().and_then(|envelope| envelope.from.clone());
        assert_eq!(sender, Some(format!("schedule/{}", name(run))));
        // The nominal time, and not that of the record.
        assert_eq!(first.at, first.snapshot.submitted_at, "{}", first.intent);
        assert!(
            first.at <= first.snapshot.updated_at,
            "{}: before its time",
            first.intent
        );
    }
}

fn name(run: &Run) -> ScheduleName {
    run.agent("bell").parse().expect("a name")
}

async fn schedule(client: &Mesh, run: &Run) -> Result<Option<Schedule>, String> {
    let found = client.schedule(&name(run)).await.map_err(|error| error.to_string())?;
    Ok(found.map(|found| found.schedule))
}

/// Adds it, unless it is there.
async fn added(client: &Mesh, run: &Run) -> Schedule {
    run.eventually(&format!("{} is added", name(run)), LONG, async || {
        if let Some(found) = schedule(client, run).await? {
            return Ok(found);
        }
        let question = AddSchedule {
            name: name(run),
            agent: run.agent("bell").parse().expect("agent name"),
            cron: None,
            tz: None,
            every_ms: Some(1_000),
            jitter_ms: 0,
            until: Some(client.now().plus(LASTS)),
            missed: Missed::All,
            overlap: Overlap::Allow,
            kind: None,
            priority: Priority::default(),
            deadline_ms: None,
            payload: Json::null(),
            payload_encoding: None,
            by: "test".to_owned(),
        };
        let asked = tokio::time::timeout(4 * EACH, client.ask_controller(&question)).await;
        let found = schedule(client, run).await?;
        found.ok_or_else(|| format!("{asked:?}"))
    })
    .await
}
