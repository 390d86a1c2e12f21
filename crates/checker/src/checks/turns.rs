//! P12: of the intents of an agent with one key as many at a time as it allows have their turn, in the order of their places.
//!
//! A place is the sequence of a record: of `submitted`, or of `placed` for what was published raw, and those come in the order
//! of the intake. An intent leaves its place when it ends or goes to another hop. When one gets its turn, fewer than are
//! allowed of those with an earlier place may still have theirs. Before its turn nobody works on it.
//!
//! Not seen: how many the agent allowed, only how many the record says. Turns among submitters: they promise a share, no order.

use std::collections::BTreeMap;

use crate::history::{Context, History};
use crate::record::{Record, Turn};
use crate::table::{is_terminal, is_workable};
use crate::verdict::{Counts, Violation};

const P12: &str = "P12";

/// One intent in the order of a key.
struct InLine<'a> {
    intent: &'a str,
    place: u64,
    /// The sequence of its message in the intake, if it was published raw.
    intake: Option<u64>,
    /// The record that gave it its turn, and how many could have theirs.
    turn: Option<(u64, u64)>,
    /// The record with which it left its place.
    left: Option<u64>,
}

pub(crate) fn check(context: &Context<'_>, counts: &mut Counts, found: &mut Vec<Violation>) {
    let mut lines: BTreeMap<(&str, &str), Vec<InLine<'_>>> = BTreeMap::new();
    for history in context.histories.values() {
        works_in_its_turn(history, counts, found);
        for (of, one) in in_line(history) {
            counts.keyed += 1;
            lines.entry(of).or_default().push(one);
        }
    }
    for ((agent, key), mut line) in lines {
        line.sort_by_key(|one| one.place);
        let mut complain = |intent: &str, what: String| {
            let what = format!("{what}, of {agent} with the key {key:?}");
            found.push(Violation::of(P12, intent, what));
        };
        let mut last: Option<(u64, &str)> = None;
        for (at, one) in line.iter().enumerate() {
            if let (Some(intake), Some((before, other))) = (one.intake, last)
                && intake < before
            {
                complain(one.intent, format!("it has its place behind {other}, which came later"));
            }
            last = one.intake.map(|intake| (intake, one.intent)).or(last);
            let Some((turn, of)) = one.turn else { continue };
            let earlier = line.iter().take(at);
            let there = earlier.filter(|other| other.left.is_none_or(|left| left > turn));
            let there: Vec<&str> = there.map(|other| other.intent).collect();
            if there.len() as u64 >= of {
                complain(
                    one.intent,
                    format!("record {turn} gives it one of {of} turns before {there:?} have left"),
                );
            }
        }
    }
}

/// Nobody works on it before its turn, and what a turn says stays as it is.
fn works_in_its_turn(history: &History, counts: &mut Counts, found: &mut Vec<Violation>) {
    let mut before: Option<(u64, Turn)> = None;
    for record in &history.records {
        let Some(turn) = record.turn() else {
            before = None;
            continue;
        };
        if turn.given.is_none() && is_workable(&record.snapshot.status.state) {
            let what = format!("record {} puts it before its agent before its turn", record.seq);
            found.push(Violation::of(P12, &history.intent, what));
        }
        // An id that is used again has another turn, and so has what came from another mesh.
        let is_anew = record.event.name == "submitted" || record.snapshot.status.code.as_deref() == Some("IMPORTED");
        if let Some((hop, before)) = before.as_ref().filter(|_| !is_anew)
            && *hop == turn.hop
        {
            let is_moved = before.place.is_some() && before.place != turn.place;
            let is_taken_back = before.given.is_some() && before.given != turn.given;
            if is_moved || is_taken_back {
                let what = format!("record {} changes its turn from {before:?} to {turn:?}", record.seq);
                found.push(Violation::of(P12, &history.intent, what));
            }
            counts.turns += usize::from(before.given.is_none() && turn.given.is_some());
        }
        before = Some((turn.hop, turn));
    }
}

/// The places that an intent had under keys: one for each time that its id was used.
fn in_line(history: &History) -> Vec<((&str, &str), InLine<'_>)> {
    let mut found: Vec<((&str, &str), InLine<'_>)> = Vec::new();
    let (mut intake, mut is_in) = (None, false);
    for record in &history.records {
        if record.event.name == "submitted" {
            (intake, is_in) = (record.turn().and_then(|turn| turn.intake), false);
        }
        let is_over = is_terminal(&record.snapshot.status.state);
        let turn = record.turn().filter(|_| !is_over);
        if let Some(((_, _), one)) = found.last_mut().filter(|_| is_in) {
            match &turn {
                None => (one.left, is_in) = (Some(record.seq), false),
                Some(turn) if one.turn.is_none() => one.turn = turn.given.map(|of| (record.seq, of)),
                Some(_) => {}
            }
            continue;
        }
        let (Some(turn), Some(order), Some(agent)) = (turn, &record.snapshot.order, &record.snapshot.agent) else {
            continue;
        };
        let (Some(place), Some(key)) = (turn.place, &order.key) else {
            continue;
        };
        is_in = true;
        let one = InLine {
            intent: &history.intent,
            place,
            intake,
            turn: turn.given.map(|of| (record.seq, of)),
            left: None,
        };
        found.push(((agent, key), one));
    }
    found
}

impl Record {
    /// The turn of the present hop; its place is that of this record where it gave it.
    fn turn(&self) -> Option<Turn> {
        let order = self.snapshot.order.as_ref()?;
        let is_of_hop = order.hop == self.snapshot.hop;
        let here = order.intake.is_none().then_some(self.seq);
        is_of_hop.then(|| Turn {
            place: order.place.or(here),
            ..order.clone()
        })
    }
}
