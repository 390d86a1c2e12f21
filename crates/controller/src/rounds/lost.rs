//! Open intents of which the ledger has nothing any more: somebody purged it, or deleted their records. The projection still
//! knows of them, and nothing else does.

use std::collections::BTreeMap;
use std::time::Duration;

use baton_envelope::codes;
use baton_envelope::control::Alarm;
use baton_envelope::{AgentName, AgentVersion, IntentId, Timestamp};
use tokio::time::Instant;

use crate::context::Context;
use crate::rounds::error::RoundError;

/// How long an intent must have stood still before this looks for its records: an intent that moves has some.
const UNMOVED: Duration = Duration::from_secs(4);
/// How often to look, and at how many: all are looked at in turn, so that a large backlog costs little.
const EVERY: Duration = Duration::from_secs(3);
const AT_ONCE: u32 = 20;
/// At how many of those that were found it looks again.
const CHECKED: usize = 20;
/// How long the projection may take to have read what the ledger has.
const CATCH_UP: Duration = Duration::from_secs(5);
/// How long an alarm lasts. After that nobody waits for the intents any more, and they hold no version.
const TOLD_FOR: Duration = Duration::from_secs(600);

/// What was found so far.
#[derive(Debug, Default)]
pub(super) struct Lost {
    found: BTreeMap<IntentId, (AgentName, AgentVersion, Timestamp)>,
    /// The intent that was looked at last.
    after: String,
    looked: Option<Instant>,
    /// How many of the found ones were looked at again in this turn.
    checked: usize,
    /// How many records the ledger lacked when this turn began, and when that was.
    turn: Option<(u64, Timestamp)>,
    /// How many records it lacked when a whole turn found nothing new. While it lacks no other number, none is lost.
    complete: Option<u64>,
}

impl Lost {
    /// Looks at some more of the open intents.
    pub(super) async fn look(&mut self, cx: &Context) -> Result<(), RoundError> {
        if self.looked.is_some_and(|at| at.elapsed() < EVERY) {
            return Ok(());
        }
        self.looked = Some(Instant::now());
        let now = cx.mesh.now();
        let removed = cx.mesh.ledger_end().await?.removed();
        if self.complete == Some(removed) && self.found.is_empty() {
            return Ok(());
        }
        let before = now.minus(UNMOVED);
        let turn = *self.turn.get_or_insert((removed, before));
        let some = cx.projection.unmoved(before, self.after.clone(), AT_ONCE).await?;
        let is_all = some.len() < usize::try_from(AT_ONCE).unwrap_or(usize::MAX);
        self.after = some
            .last()
            .filter(|_| !is_all)
            .map(ToString::to_string)
            .unwrap_or_default();
        let mut missing = Vec::new();
        for intent in some {
            if !self.found.contains_key(&intent) && cx.mesh.has_no_record(&intent).await? {
                missing.push(intent);
            }
        }
        // One that has ended may be archived and purged, and its end not be read here yet.
        if !missing.is_empty() {
            cx.projection.caught_up(CATCH_UP).await?;
            cx.projection.archive_caught_up(CATCH_UP).await?;
        }
        for intent in missing {
            let Some((agent, version)) = cx.projection.place(&intent).await? else {
                continue;
            };
            if cx.projection.find_archived(&intent).await?.is_empty() {
                tracing::error!(%intent, %agent, %version, code = codes::RECORDS_LOST, "the ledger has no record of an open intent any more");
                self.found.insert(intent, (agent, version, now));
            }
        }
        if is_all {
            self.turn = None;
            // What moved while this looked was left out.
            let (removed, before) = turn;
            self.complete = match cx.projection.has_moved_since(before).await? {
                true => None,
                false => Some(removed),
            };
        }
        self.forget(cx, now).await
    }

    /// Drops what is there again, such as what was submitted once more, and what was told for long.
    async fn forget(&mut self, cx: &Context, now: Timestamp) -> Result<(), RoundError> {
        let some = self.found.keys().skip(self.checked).take(CHECKED);
        let some: Vec<IntentId> = some.cloned().collect();
        self.checked = if some.len() < CHECKED {
            0
        } else {
            self.checked + CHECKED
        };
        for intent in some {
            if !cx.mesh.has_no_record(&intent).await? {
                self.found.remove(&intent);
            }
        }
        let mut over = Vec::new();
        for (intent, (_, _, since)) in &self.found {
            if now.since(*since) >= TOLD_FOR {
                over.push(intent.clone());
            }
        }
        if !over.is_empty() {
            tracing::warn!(
                intents = over.len(),
                "nobody waits any more for intents whose records are lost"
            );
            self.found.retain(|intent, _| !over.contains(intent));
            cx.projection.forget(over).await?;
        }
        Ok(())
    }

    /// The alarms of an agent.
    pub(super) fn alarms(&self, cx: &Context, agent: &AgentName) -> Vec<Alarm> {
        let mut of: BTreeMap<&AgentVersion, Vec<(&IntentId, Timestamp)>> = BTreeMap::new();
        for (intent, (_, version, since)) in self.found.iter().filter(|(_, (of, ..))| of == agent) {
            of.entry(version).or_default().push((intent, *since));
        }
        let alarm = |(version, lost): (&AgentVersion, Vec<(&IntentId, Timestamp)>)| {
            let (example, since) = lost.first()?;
            let (count, ledger) = (lost.len(), cx.mesh.subjects().ledger_stream());
            Some(Alarm {
                code: codes::RECORDS_LOST.to_owned(),
                agent: agent.clone(),
                version: version.clone(),
                since: *since,
                message: format!(
                    "{ledger} has no record any more of {count} open intents of {agent}@{version}, such as {example}: somebody \
                     purged it or deleted them, and that work is lost"
                ),
                ways_out: vec![
                    format!(
                        "stop the mesh, remove {ledger}, and restore it from a backup (`nats stream restore FOLDER`)"
                    ),
                    "submit that work again; the alarm ends by itself after ten minutes".to_owned(),
                ],
                critical: false,
            })
        };
        of.into_iter().filter_map(alarm).collect()
    }
}
