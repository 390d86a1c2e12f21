//! P11: after a kill nothing of the killed is committed.
//!
//! A kill is done from the revision of a route that says so, by the server's time, until one that lets the agent, or the
//! version, go on. In that time no worker of it writes anything of its own. And what is committed later was begun later:
//! the run of the handler that committed began after the kill.
//!
//! Not seen: a write that the server refused; and how long the kill took, which a test measures.

use std::collections::{BTreeMap, HashMap};

use serde::Deserialize;

use crate::checks::is_commit;
use crate::evidence::Effect;
use crate::history::{Context, History};
use crate::record::Record;
use crate::verdict::{Counts, Violation};

/// How much the machine's clock and the server's times may differ, in milliseconds: both are truncated.
const SLACK: i64 = 5;
/// What a worker writes of its own. What the head of an intent owes to all, such as `resumed`, anybody pays at any time.
const OWN: [&str; 11] = [
    "claimed",
    "started",
    "step",
    "progress",
    "handed_off",
    "waiting",
    "retry_scheduled",
    "parked",
    "completed",
    "rejected",
    "failed",
];

#[derive(Deserialize)]
struct Route {
    agent: String,
    #[serde(default)]
    paused: Option<Pause>,
    #[serde(default)]
    versions: BTreeMap<String, Entry>,
}

#[derive(Deserialize)]
struct Entry {
    #[serde(default)]
    paused: Option<Pause>,
}

#[derive(Deserialize)]
struct Pause {
    #[serde(default)]
    killed_at: Option<String>,
}

/// A time in which all that ran before it is fenced out, and nothing runs.
struct Kill {
    agent: String,
    /// `None` for all versions.
    version: Option<String>,
    from_ms: i64,
    until_ms: i64,
}

impl Kill {
    fn is_of(&self, agent: Option<&String>, version: Option<&String>) -> bool {
        agent == Some(&self.agent) && (self.version.is_none() || version == self.version.as_ref())
    }
}

pub(crate) fn check(context: &Context<'_>, counts: &mut Counts, found: &mut Vec<Violation>) {
    let kills = kills(context);
    counts.kills = kills.len();
    let records = context.histories.values().flat_map(|history| &history.records);
    counts.pauses = records
        .filter(|record| record.event.name == "parked" && record.snapshot.status.code.as_deref() == Some("PAUSED"))
        .count();
    if kills.is_empty() {
        return;
    }
    for history in context.histories.values() {
        for record in &history.records {
            written_within(&kills, history, record, found);
        }
        for (before, record) in history.pairs() {
            if is_commit(&record.event.name, &record.by.role) {
                begun_before(context, &kills, (history, before, record), found);
            }
        }
    }
}

fn written_within(kills: &[Kill], history: &History, record: &Record, found: &mut Vec<Violation>) {
    let by = &record.by;
    if by.role != "worker" || !OWN.contains(&record.event.name.as_str()) || record.snapshot.is_by_hand() {
        return;
    }
    let is_within = |kill: &&Kill| {
        kill.is_of(by.agent.as_ref(), by.version.as_ref())
            && kill.from_ms < record.time_ms
            && record.time_ms < kill.until_ms
    };
    if let Some(kill) = kills.iter().find(is_within) {
        let what = format!(
            "record {} ({}) is by {}, whose agent {} was killed {} ms before",
            record.seq,
            record.event.name,
            by.instance,
            kill.agent,
            record.time_ms - kill.from_ms
        );
        found.push(Violation::of("P11", &history.intent, what));
    }
}

/// Looks at the run that a commit comes from: the last one of its writer with that envelope.
fn begun_before(
    context: &Context<'_>,
    kills: &[Kill],
    (history, before, record): (&History, &Record, &Record),
    found: &mut Vec<Violation>,
) {
    let runs = context.effects_of(&history.intent).iter();
    let begun = runs.filter_map(|effect| match effect {
        Effect::Run {
            envelope,
            instance,
            at_ms,
            ..
        } if before.snapshot.envelope.as_ref() == Some(envelope) && *instance == record.by.instance => Some(*at_ms),
        Effect::Run { .. } | Effect::Ended { .. } | Effect::Step { .. } => None,
    });
    let Some(begun) = begun.max() else { return };
    let is_between = |kill: &&Kill| {
        kill.is_of(record.by.agent.as_ref(), record.by.version.as_ref())
            && begun + SLACK < kill.from_ms
            && kill.from_ms < record.time_ms
    };
    if let Some(kill) = kills.iter().find(is_between) {
        let what = format!(
            "record {} ({}) commits what {} began {} ms before {} was killed",
            record.seq,
            record.event.name,
            record.by.instance,
            kill.from_ms - begun,
            kill.agent
        );
        found.push(Violation::of("P11", &history.intent, what));
    }
}

/// What the routes say of kills, in order.
fn kills(context: &Context<'_>) -> Vec<Kill> {
    let mut kills: Vec<Kill> = Vec::new();
    // By agent and version: which kill it is, and its place in the list.
    let mut open: HashMap<(String, Option<String>), (String, usize)> = HashMap::new();
    for (message, route) in context.routes::<Route>() {
        let versions = route
            .versions
            .into_iter()
            .map(|(version, entry)| (Some(version), entry.paused));
        for (version, paused) in versions.chain([(None, route.paused)]) {
            let place = (route.agent.clone(), version.clone());
            let done = paused.and_then(|pause| pause.killed_at);
            if open.get(&place).map(|(at, _)| at) == done.as_ref() {
                continue;
            }
            if let Some((_, index)) = open.remove(&place)
                && let Some(kill) = kills.get_mut(index)
            {
                kill.until_ms = message.time_ms;
            }
            if let Some(at) = done {
                open.insert(place, (at, kills.len()));
                kills.push(Kill {
                    agent: route.agent.clone(),
                    version,
                    from_ms: message.time_ms,
                    until_ms: i64::MAX,
                });
            }
        }
    }
    kills
}
