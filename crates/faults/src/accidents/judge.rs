//! What the checker says of all accidents on one mesh, and which of them each violation belongs to.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;

use anyhow::Result;
use baton_checker::{Effect, Evidence, Journal as Line, Message, Violation};

/// What the accidents on one mesh took, and what must be known to judge the rest.
#[derive(Debug, Default)]
pub(super) struct Taken {
    /// What an archive held before it was taken away: bundles that were right.
    pub(super) bundles: Vec<Message>,
    /// Keys of raw intents that lay in the intake.
    pub(super) raw: HashSet<String>,
    /// Subjects and ids of the signals that lay there.
    pub(super) signals: HashSet<(String, String)>,
    /// Loads whose raw intents the server may have thrown away.
    pub(super) raw_of: HashSet<u64>,
    /// Only the work of this load can be judged.
    pub(super) only: Option<u64>,
}

/// The key of the work in a payload of the load, which is written without spaces.
pub(super) fn key(message: &Message) -> Option<&str> {
    let (_, rest) = message.body.as_deref()?.split_once(r#""key":""#)?;
    Some(rest.split_once('"')?.0)
}

/// The subject and the id of a signal.
pub(super) fn signal(message: &Message) -> Option<(String, String)> {
    let id = message
        .headers
        .iter()
        .find(|(name, _)| name == "Nats-Msg-Id")?
        .1
        .clone();
    message
        .subject
        .starts_with("mesh.signal.")
        .then(|| (message.subject.clone(), id))
}

/// The violations, by the seed of the load that they belong to.
#[derive(Debug, Default)]
pub(super) struct Judged {
    pub(super) violations: BTreeMap<u64, Vec<Violation>>,
    pub(super) told: Option<String>,
    /// How many intents were judged.
    pub(super) intents: usize,
}

/// Judges the evidence in a folder, whose dump is written already.
pub(super) fn judge(dir: &Path, taken: Taken) -> Result<Judged> {
    let mut evidence = Evidence::read(dir)?;
    evidence.messages.extend(taken.bundles);
    // What lay in a stream that was taken away is not acknowledged any more: it may be gone, or have become an intent.
    let vias: HashMap<&str, &str> = evidence.journal.iter().filter_map(via).collect();
    let is_gone = |key: &String| {
        let is_raw = vias.get(key.as_str()).is_some_and(|via| via.starts_with("raw"));
        taken.raw.contains(key) || is_raw && seed_of(key).is_some_and(|seed| taken.raw_of.contains(&seed))
    };
    let is_gone_signal = |intent: &str, name: &str, id: &str| {
        let subject = format!("mesh.signal.{intent}.{name}");
        taken.signals.contains(&(subject, id.to_owned()))
            || seed_of(intent).is_some_and(|seed| taken.raw_of.contains(&seed))
    };
    let is_lost = |line: &Line| {
        matches!(line, Line::Acked { key } if is_gone(key))
            || matches!(line, Line::Signal { intent, name, id } if is_gone_signal(intent, name, id))
    };
    let journal: Vec<Line> = evidence.journal.iter().filter(|line| !is_lost(line)).cloned().collect();
    evidence.journal = journal;
    if let Some(seed) = taken.only {
        restrict(&mut evidence, seed);
    }
    let verdict = baton_checker::check(&evidence);
    let keys: HashMap<&str, &str> = evidence
        .messages
        .iter()
        .filter_map(|message| Some((message.subject.rsplit('.').next()?, key(message)?)))
        .collect();
    let mut judged = Judged {
        told: verdict.told,
        intents: verdict.counts.intents,
        ..Judged::default()
    };
    for violation in verdict.violations {
        let named = violation.intent.as_deref();
        let seed = named
            .and_then(|intent| seed_of(keys.get(intent).unwrap_or(&intent)))
            .or_else(|| violation.what.split([' ', ':']).find_map(seed_of));
        judged
            .violations
            .entry(seed.unwrap_or(u64::MAX))
            .or_default()
            .push(violation);
    }
    Ok(judged)
}

/// The key of a piece of work, and how it was submitted.
fn via(line: &Line) -> Option<(&str, &str)> {
    let Line::Tried(tried) = line else { return None };
    Some((&tried.key, &tried.via))
}

/// The seed in a key of the load, `s<seed>-<number>`.
fn seed_of(key: &str) -> Option<u64> {
    key.strip_prefix('s')?.split_once('-')?.0.parse().ok()
}

/// Whether a message is the dead letter of a signal for the work of a load.
fn is_letter_of(message: &Message, seed: u64) -> bool {
    let body = message.body.as_deref().unwrap_or_default();
    body.contains(&format!(".signal.s{seed}-"))
}

/// Keeps what belongs to the work of one load.
fn restrict(evidence: &mut Evidence, seed: u64) {
    let is_of = |key: &str| seed_of(key) == Some(seed);
    let intents: HashSet<String> = evidence
        .messages
        .iter()
        .filter(|message| key(message).is_some_and(is_of))
        .filter_map(|message| {
            message
                .header("Baton-Intent")
                .or_else(|| message.subject.rsplit('.').next())
        })
        .map(str::to_owned)
        .collect();
    evidence.messages.retain(|message| {
        let named = message
            .header("Baton-Intent")
            .or_else(|| message.subject.rsplit('.').next());
        // The record of a rejection keeps its payload in base64.
        let is_named = |name: &str| intents.contains(name) || is_of(name) || is_letter_of(message, seed);
        key(message).map_or_else(|| named.is_some_and(is_named), is_of)
    });
    evidence.journal.retain(|line| match line {
        Line::Tried(tried) => is_of(&tried.key),
        Line::Acked { key } => is_of(key),
        Line::Signal { intent, .. } | Line::Cancel { intent, .. } => is_of(intent),
        Line::Stopped { .. }
        | Line::Burst { .. }
        | Line::Limit { .. }
        | Line::Killed { .. }
        | Line::OutOfReach { .. }
        | Line::Note { .. } => true,
    });
    evidence.effects.retain(|effect| match effect {
        Effect::Run { intent, .. } | Effect::Ended { intent, .. } | Effect::Step { intent, .. } => {
            intents.contains(intent)
        }
    });
}
