//! B1: budgets are conserved: after each record the numbers of each meter are those of the record before, changed by what the record
//! says and by nothing else, and over a whole tree what came in is where the numbers say. B2: nothing is held or lent beyond what
//! is available, and nothing is held after an overrun. B3: the end of a child settles once, with what its last record says. B4: what
//! is held counts as spent once another may hold the hop. B5: a child has what its parent lent it, and no more; what it is lent
//! later it gets once its parent has said so, and its parent owes it that until then.
//!
//! Not seen: what a handler spent that no record tells of.

mod lending;

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::checks::children::id_of;
use crate::history::{Context, History};
use crate::table::is_terminal;
use crate::verdict::{Counts, Violation};

/// The parts of one, and the meters.
const PARTS: i128 = 1_000_000_000;
const METERS: [&str; 3] = ["tokens", "cost", "time"];

/// Amounts by meter, in parts.
type Amounts = BTreeMap<String, Box<RawValue>>;

#[derive(Debug, Clone, Default, Deserialize)]
struct Record {
    #[serde(skip)]
    seq: u64,
    #[serde(default)]
    snapshot: Snapshot,
    #[serde(default)]
    envelope: Option<Envelope>,
    #[serde(default)]
    hold: Option<Hold>,
    #[serde(default)]
    spend: Option<Spend>,
    #[serde(default)]
    assumed: Option<Amounts>,
    #[serde(default)]
    top_up: Option<TopUp>,
    #[serde(default)]
    took_ms: Option<i128>,
    #[serde(default)]
    children: Vec<Done>,
}

#[derive(Debug, Clone, Default, Deserialize)]
struct Snapshot {
    #[serde(default)]
    attempt: u64,
    #[serde(default)]
    epoch: u64,
    #[serde(default)]
    parent: Option<String>,
    #[serde(default)]
    budget: Option<Budget>,
    #[serde(default)]
    children: Vec<Set>,
}

#[derive(Debug, Clone, Deserialize)]
struct Envelope {
    protocol: String,
    #[serde(default)]
    budget: Option<Budget>,
}

#[derive(Debug, Clone, Default, Deserialize)]
struct Budget {
    #[serde(default)]
    tokens: Option<Meter>,
    #[serde(default)]
    cost: Option<Meter>,
    #[serde(default)]
    time: Option<Meter>,
    #[serde(default)]
    keep: Option<Box<RawValue>>,
    #[serde(default)]
    epoch: Option<u64>,
    #[serde(default)]
    overran: bool,
}

#[derive(Debug, Clone, Default, Deserialize)]
struct Meter {
    #[serde(default)]
    allotted: Option<Box<RawValue>>,
    #[serde(default)]
    spent: Option<Box<RawValue>>,
    #[serde(default)]
    held: Option<Box<RawValue>>,
    #[serde(default)]
    lent: Option<Box<RawValue>>,
    #[serde(default)]
    overrun: Option<Box<RawValue>>,
}

#[derive(Debug, Clone, Deserialize)]
struct Hold {
    amounts: Amounts,
    epoch: u64,
}

#[derive(Debug, Clone, Deserialize)]
struct Spend {
    amounts: Amounts,
    #[serde(default)]
    held: Option<Amounts>,
}

#[derive(Debug, Clone, Deserialize)]
struct TopUp {
    id: String,
    amounts: Amounts,
    #[serde(default)]
    lent_to: Option<String>,
    #[serde(default)]
    paid: bool,
}

#[derive(Debug, Clone, Deserialize)]
struct Set {
    hop: u64,
    name: String,
    #[serde(default)]
    ended: String,
    #[serde(default)]
    shares: Vec<Share>,
    #[serde(default)]
    owed: Vec<Owed>,
}

#[derive(Debug, Clone, Deserialize)]
struct Owed {
    index: usize,
    id: String,
}

#[derive(Debug, Clone, Deserialize)]
struct Share {
    count: usize,
    amounts: Amounts,
}

#[derive(Debug, Clone, Deserialize)]
struct Done {
    hop: u64,
    name: String,
    ends: Vec<End>,
}

#[derive(Debug, Clone, Deserialize)]
struct End {
    index: usize,
    #[serde(default)]
    spent: Amounts,
    #[serde(default)]
    overrun: Amounts,
}

/// The numbers of one meter, in parts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Numbers {
    allotted: i128,
    spent: i128,
    held: i128,
    lent: i128,
    overrun: i128,
}

impl Numbers {
    fn available(&self) -> i128 {
        self.allotted + self.overrun - self.spent - self.held - self.lent
    }

    fn take(&mut self, amount: i128) {
        self.overrun += (amount - self.available().max(0)).max(0);
        self.spent += amount;
    }
}

/// The parts of a decimal, a JSON number or a string.
fn parts(text: &str) -> Option<i128> {
    let text = text.trim_matches('"');
    let (whole, behind) = text.split_once('.').unwrap_or((text, ""));
    let behind = behind.trim_end_matches('0');
    let is_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || behind.len() > 9 || !is_digits(whole) || !is_digits(behind) {
        return None;
    }
    let padded: i128 = format!("{behind:0<9}").parse().ok()?;
    whole.parse::<i128>().ok()?.checked_mul(PARTS)?.checked_add(padded)
}

fn of(amounts: &Amounts, meter: &str) -> Option<i128> {
    parts(amounts.get(meter)?.get())
}

impl Budget {
    fn numbers(&self, meter: &str) -> Option<Numbers> {
        let meter = match meter {
            "tokens" => &self.tokens,
            "cost" => &self.cost,
            _ => &self.time,
        };
        let meter = meter.as_ref()?;
        let read = |field: &Option<Box<RawValue>>| field.as_ref().and_then(|value| parts(value.get()));
        Some(Numbers {
            allotted: read(&meter.allotted)?,
            spent: read(&meter.spent).unwrap_or_default(),
            held: read(&meter.held).unwrap_or_default(),
            lent: read(&meter.lent).unwrap_or_default(),
            overrun: read(&meter.overrun).unwrap_or_default(),
        })
    }
}

impl Set {
    fn has_ended(&self) -> impl Fn(usize) -> bool {
        let bits = STANDARD_NO_PAD.decode(&self.ended).unwrap_or_default();
        move |index| bits.get(index / 8).is_some_and(|byte| byte & (1 << (index % 8)) != 0)
    }

    /// What each child has of a meter, in their order.
    fn shares(&self, meter: &str) -> Vec<Option<i128>> {
        let runs = self.shares.iter();
        runs.flat_map(|run| std::iter::repeat_n(of(&run.amounts, meter), run.count))
            .collect()
    }

    fn lent(&self, meter: &str) -> i128 {
        let shares = self.shares(meter).into_iter().enumerate();
        let has_ended = self.has_ended();
        let open = shares.filter(|(index, _)| !has_ended(*index));
        open.filter_map(|(_, share)| share).sum()
    }
}

impl Snapshot {
    fn numbers(&self, meter: &str) -> Option<Numbers> {
        self.budget.as_ref()?.numbers(meter)
    }

    fn set(&self, hop: u64, name: &str) -> Option<&Set> {
        self.children.iter().find(|set| set.hop == hop && set.name == name)
    }
}

pub(crate) fn check(context: &Context<'_>, counts: &mut Counts, found: &mut Vec<Violation>) {
    let mut read: BTreeMap<&str, Vec<Record>> = BTreeMap::new();
    for history in context.histories.values() {
        let records = history.records.iter().map(|record| {
            let body = context.evidence.messages.get(record.message).map(crate::Message::bytes);
            let read: Option<Record> = body.and_then(|body| serde_json::from_slice(&body).ok());
            Record {
                seq: record.seq,
                ..read.unwrap_or_default()
            }
        });
        read.insert(&history.intent, records.collect());
    }
    for history in context.histories.values() {
        let records = read.get(history.intent.as_str()).map_or(&[][..], Vec::as_slice);
        if records.iter().all(|record| record.snapshot.budget.is_none()) {
            continue;
        }
        counts.budgets += 1;
        let mut judge = Judge {
            history,
            read: &read,
            topped: Vec::new(),
            found,
        };
        judge.begins(records);
        for (number, pair) in records.windows(2).enumerate() {
            if let [before, after] = pair {
                judge.follows(number + 1, before, after);
                counts.holds += usize::from(after.hold.is_some());
                counts.assumed += usize::from(after.assumed.is_some());
            }
        }
        judge.equation(records);
    }
}

struct Judge<'a> {
    history: &'a History,
    read: &'a BTreeMap<&'a str, Vec<Record>>,
    topped: Vec<(String, Option<String>)>,
    found: &'a mut Vec<Violation>,
}

impl Judge<'_> {
    fn complain(&mut self, invariant: &'static str, number: usize, what: &str) {
        let seq = self.history.records.get(number).map_or(0, |record| record.seq);
        let what = format!("record {seq}: {what}");
        self.found.push(Violation::of(invariant, &self.history.intent, what));
    }

    fn record(&self, number: usize) -> Option<&crate::record::Record> {
        self.history.records.get(number)
    }

    /// The first record has what its envelope allots; a child what its parent has lent it.
    fn begins(&mut self, records: &[Record]) {
        let Some(first) = records.first() else { return };
        let stated = first.envelope.as_ref();
        let stated = stated.filter(|envelope| !envelope.protocol.starts_with("1.") || minor(&envelope.protocol) >= 7);
        for meter in METERS {
            let Some(is) = first.snapshot.numbers(meter) else {
                continue;
            };
            let allots = stated.and_then(|envelope| envelope.budget.as_ref()?.numbers(meter));
            if stated.is_some() && allots.map(|allots| allots.allotted) != Some(is.allotted) {
                self.complain(
                    "B1",
                    0,
                    &format!("it begins with {is:?} of {meter}, and its envelope allots {allots:?}"),
                );
            }
            if is.available() < 0 {
                self.complain("B2", 0, &format!("it begins with {is:?} of {meter}, less than nothing"));
            }
        }
    }

    fn follows(&mut self, number: usize, before: &Record, after: &Record) {
        let Some(record) = self.record(number) else { return };
        let (event, status) = (record.event.name.clone(), record.snapshot.status.state.clone());
        if let Some(top_up) = after.top_up.as_ref().filter(|top_up| !top_up.paid) {
            let request = (top_up.id.clone(), top_up.lent_to.clone());
            if self.topped.contains(&request) {
                self.complain("B1", number, &format!("the top-up {} counts again", top_up.id));
            }
            self.topped.push(request);
        }
        self.owes(number, before, after);
        if after.top_up.is_some() != (event == "topped_up") {
            self.complain("B1", number, &format!("a top-up by the event {event}"));
        }
        let had = before.snapshot.budget.as_ref();
        if after.hold.is_some() && had.is_some_and(|had| had.overran) {
            self.complain("B2", number, "it holds after an overrun that nobody has topped up");
        }
        for meter in METERS {
            let (Some(was), is) = (before.snapshot.numbers(meter), after.snapshot.numbers(meter)) else {
                if before.snapshot.numbers(meter).is_none() && after.snapshot.numbers(meter).is_some() {
                    self.complain("B1", number, &format!("{meter} is bounded from here on"));
                }
                continue;
            };
            let Some(is) = is else {
                self.complain("B1", number, &format!("{meter} is bounded no more"));
                continue;
            };
            let mut now = was;
            if let Some(amount) = after.hold.as_ref().and_then(|hold| of(&hold.amounts, meter)) {
                if amount > was.available() {
                    let what = format!("it holds {amount} of {meter}, and {} is available", was.available());
                    self.complain("B2", number, &what);
                }
                now.held += amount;
            }
            self.lends((number, meter), before, after, &mut now);
            self.settles((number, meter), before, after, &mut now);
            self.lends_more((number, meter), before, after, &mut now);
            let added = after.top_up.as_ref().filter(|top_up| top_up.lent_to.is_none());
            now.allotted += added.and_then(|top_up| of(&top_up.amounts, meter)).unwrap_or(0);
            if let Some(spend) = &after.spend {
                spends(spend, meter, &mut now);
            }
            if let (Some(took_ms), "time") = (after.took_ms, meter) {
                now.take(took_ms * (PARTS / 1_000));
            }
            self.assumes((number, meter), before, after, &mut now);
            let loans = match is_terminal(&status) {
                true => 0,
                false => after.snapshot.children.iter().map(|set| set.lent(meter)).sum(),
            };
            let lost = (now.lent - loans).max(0);
            now.lent -= lost;
            now.spent += lost;
            if now != is {
                self.complain(
                    "B1",
                    number,
                    &format!("({event}) {meter} is {is:?}, and follows to {now:?} from {was:?}"),
                );
            }
            if is.available() < 0 {
                self.complain("B2", number, &format!("{meter} is {is:?}, less than nothing"));
            }
        }
    }

    /// What was held and counts as spent, because nobody holds the hop any more who could say what became of it.
    fn assumes(&mut self, (number, meter): (usize, &str), before: &Record, after: &Record, now: &mut Numbers) {
        let status = self.record(number).map(|record| record.snapshot.status.state.as_str());
        let works = matches!(status, Some("pending" | "accepted" | "in_progress"));
        let had_epoch = before.snapshot.budget.as_ref().and_then(|had| had.epoch);
        let had_epoch = after.hold.as_ref().map(|hold| hold.epoch).or(had_epoch);
        let is_held = works && had_epoch == Some(after.snapshot.epoch);
        let assumed = if is_held { 0 } else { now.held };
        let told = after.assumed.as_ref().and_then(|assumed| of(assumed, meter));
        let told = told.unwrap_or_default();
        let still = after.snapshot.numbers(meter).map_or(0, |is| is.held);
        if told != assumed || (!is_held && still != 0) {
            let what = format!("{assumed} of {meter} is held by nobody any more, and it assumes {told}");
            self.complain("B4", number, &what);
        }
        now.spent += assumed;
        now.held -= assumed;
    }

    /// The calls that the record opens.
    fn lends(&mut self, (number, meter): (usize, &str), before: &Record, after: &Record, now: &mut Numbers) {
        let is_new = |set: &&Set| before.snapshot.set(set.hop, &set.name).is_none();
        let lent: i128 = after
            .snapshot
            .children
            .iter()
            .filter(is_new)
            .map(|set| set.lent(meter))
            .sum();
        if lent > now.available() {
            let what = format!("it lends {lent} of {meter}, and {} is available", now.available());
            self.complain("B2", number, &what);
        }
        now.lent += lent;
    }

    /// The ends that the record tells of, each with what the last record of the child says.
    fn settles(&mut self, (number, meter): (usize, &str), before: &Record, after: &Record, now: &mut Numbers) {
        for done in &after.children {
            let Some(set) = before.snapshot.set(done.hop, &done.name) else {
                continue;
            };
            let (shares, has_ended) = (set.shares(meter), set.has_ended());
            for end in &done.ends {
                let Some(Some(share)) = shares.get(end.index).copied() else {
                    continue;
                };
                let (spent, over) = (of(&end.spent, meter).unwrap_or(0), of(&end.overrun, meter).unwrap_or(0));
                if has_ended(end.index) {
                    self.complain(
                        "B3",
                        number,
                        &format!("child {} of {} settles again", end.index, done.name),
                    );
                    continue;
                }
                let id = id_of(&self.history.intent, (done.hop, &done.name), end.index);
                let last = self.read.get(id.as_str()).and_then(|records| records.last());
                let told = last.and_then(|last| last.snapshot.numbers(meter));
                let right = match told {
                    Some(told) => (told.spent, told.overrun),
                    None if last.is_some_and(|last| last.snapshot.attempt == 0) => (0, 0),
                    None => (share, 0),
                };
                if (spent, over) != right {
                    let what = format!(
                        "child {} of {} settles with {spent} and {over} over of {meter}; its last record has {told:?}",
                        end.index, done.name
                    );
                    self.complain("B3", number, &what);
                }
                let over = over + (spent - share - over).max(0);
                now.lent -= share;
                now.spent += spent;
                now.overrun += over;
            }
        }
    }

    /// What each child of an open call was lent is what it began with; and over the tree, what came in is where it is.
    fn equation(&mut self, records: &[Record]) {
        let last = records.len().saturating_sub(1);
        let mut before: &[Set] = &[];
        for record in records {
            let is_new = |set: &&Set| !before.iter().any(|had| had.hop == set.hop && had.name == set.name);
            for set in record.snapshot.children.iter().filter(is_new) {
                for meter in METERS {
                    for (index, share) in set.shares(meter).into_iter().enumerate() {
                        let id = id_of(&self.history.intent, (set.hop, &set.name), index);
                        let first = self.read.get(id.as_str()).and_then(|records| records.first());
                        let began = first.and_then(|first| first.snapshot.numbers(meter));
                        if let (Some(share), Some(began)) = (share, began)
                            && share != began.allotted
                        {
                            let what = format!("{id} was lent {share} of {meter}, and began with {}", began.allotted);
                            self.complain("B5", last, &what);
                        }
                    }
                }
            }
            before = &record.snapshot.children;
        }
        let is_root = self
            .history
            .records
            .iter()
            .all(|record| record.snapshot.parent.is_none());
        for meter in METERS.into_iter().filter(|_| is_root) {
            if let Some((came, is)) = self.sides(&self.history.intent, meter)
                && came != is
            {
                self.complain(
                    "B1",
                    last,
                    &format!("over the tree {came} of {meter} came in, and {is} is accounted for"),
                );
            }
        }
    }

    /// What came into an intent and its open loans, and where it is, by their last records.
    fn sides(&self, intent: &str, meter: &str) -> Option<(i128, i128)> {
        let head = &self.read.get(intent)?.last()?.snapshot;
        let own = head.numbers(meter)?;
        let (mut came, mut is) = (own.allotted + own.overrun, own.spent + own.held + own.available());
        for set in head.children.iter().filter(|_| own.lent > 0) {
            let has_ended = set.has_ended();
            for (index, share) in set.shares(meter).into_iter().enumerate() {
                let Some(share) = share.filter(|_| !has_ended(index)) else {
                    continue;
                };
                let id = id_of(intent, (set.hop, &set.name), index);
                let child = self.read.get(id.as_str()).and_then(|records| records.last());
                let has = child.and_then(|child| child.snapshot.numbers(meter));
                match (self.sides(&id, meter), has) {
                    (Some((child_came, child_is)), Some(has)) => {
                        came += child_came - has.allotted;
                        // What it is lent more and has not got yet.
                        is += child_is + share - has.allotted;
                    }
                    (_, _) => is += share,
                }
            }
        }
        Some((came, is))
    }
}

fn spends(spend: &Spend, meter: &str, now: &mut Numbers) {
    let held = spend.held.as_ref().and_then(|held| of(held, meter));
    match (of(&spend.amounts, meter), held) {
        (Some(amount), Some(held)) => {
            now.held -= held;
            now.spent += amount;
            now.overrun += (amount - held).max(0);
        }
        (Some(amount), None) => now.take(amount),
        (None, Some(held)) => {
            now.held -= held;
            now.spent += held;
        }
        (None, None) => {}
    }
}

fn minor(protocol: &str) -> u64 {
    protocol
        .split('.')
        .nth(1)
        .and_then(|minor| minor.parse().ok())
        .unwrap_or_default()
}
