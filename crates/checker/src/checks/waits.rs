//! P1: a wait ends exactly once. P2: a signal is taken by at most one wait and never dropped unseen: it was taken, is unread in
//! an open intent, or is a dead letter. P3: a timer fires never before its time and, where a controller lived, soon after it.
//!
//! The waits and the unread signals of each snapshot must be those of the one before it, with what the record itself adds,
//! ends or takes. Times are those of the server that stored the records: a wait's is counted from the record that opened it.
//! A controller lived if it has written any record of any intent in the meantime. A timer that is due while its intent does not wait,
//! because somebody paused it or it was given to its agent again, is late from the time on at which it waits.
//!
//! Not seen: a signal whose acknowledgement the load did not hear. A timer of a deadline: I13 and I1 judge what becomes of it.

use std::collections::{BTreeMap, HashMap, HashSet};

use crate::evidence::Journal;
use crate::history::{Context, History};
use crate::record::{Record, Wait, millis};
use crate::table::is_terminal;
use crate::verdict::{Counts, Violation};

/// How much earlier than its time a timer may fire, in milliseconds: times are truncated to whole ones.
const SLACK: i64 = 2;
/// How late a timer may fire while a controller lives, in milliseconds: the lease of a leader that died, its start, a fault
/// of its server.
const LATE: i64 = 25_000;
/// How late it may fire while controllers come and go, and none of them lives for [`LATE`].
const LATE_FOR_ALL: i64 = 60_000;

/// When each controller wrote records.
type Controllers<'a> = HashMap<&'a str, Vec<i64>>;

/// A wait of a hop, by its name.
type Key = (u64, String);

/// An open wait: when it was opened, and how long it waits at most.
struct Open {
    since_ms: i64,
    after_ms: Option<i64>,
}

/// Dead letters of signals: the intent, and the id of the message.
type Letters<'a> = HashSet<(&'a str, &'a str)>;

pub(crate) fn check(context: &Context<'_>, counts: &mut Counts, found: &mut Vec<Violation>) {
    let histories = context.histories.values();
    let letters: Letters<'_> = histories.filter_map(|history| history.head()?.letter()).collect();
    let mut controllers: Controllers<'_> = HashMap::new();
    let records = context.histories.values().flat_map(|history| &history.records);
    for record in records.filter(|record| record.by.role == "controller") {
        controllers.entry(&record.by.instance).or_default().push(record.time_ms);
    }
    for history in context.histories.values() {
        let mut judge = Judge {
            history,
            letters: &letters,
            controllers: &controllers,
            open: BTreeMap::new(),
            ended: HashSet::new(),
            unread: Vec::new(),
            told: HashMap::new(),
            taken: HashSet::new(),
            waits_since_ms: 0,
            counts,
            found,
        };
        judge.walk();
    }
    sent(context, &letters, counts, found);
}

/// Every signal that the mesh has acknowledged was told, or is a dead letter.
fn sent(context: &Context<'_>, letters: &Letters<'_>, counts: &mut Counts, found: &mut Vec<Violation>) {
    for line in &context.evidence.journal {
        let Journal::Signal { intent, name, id } = line else {
            continue;
        };
        counts.signals += 1;
        let history = context.histories.get(intent);
        let told = history.is_some_and(|history| {
            let signals = history.records.iter().filter_map(|record| record.signal.as_ref());
            signals.into_iter().any(|signal| signal.id == *id)
        });
        if !told && !letters.contains(&(intent.as_str(), id.as_str())) {
            let what = format!("signal {name} ({id}) was acknowledged, and is neither told nor a dead letter");
            found.push(Violation::of("P2", intent, what));
        }
    }
}

struct Judge<'a> {
    history: &'a History,
    letters: &'a Letters<'a>,
    controllers: &'a Controllers<'a>,
    open: BTreeMap<Key, Open>,
    ended: HashSet<Key>,
    /// The ids of the signals that nobody has taken, oldest first.
    unread: Vec<String>,
    /// The name and id of each signal, by the sequence of its record.
    told: HashMap<u64, (String, String)>,
    /// The sequences of those that were taken.
    taken: HashSet<u64>,
    /// Since when it waits: what was paused, or runs again, fires no timer.
    waits_since_ms: i64,
    counts: &'a mut Counts,
    found: &'a mut Vec<Violation>,
}

impl Judge<'_> {
    fn complain(&mut self, invariant: &'static str, what: String) {
        self.found.push(Violation::of(invariant, &self.history.intent, what));
    }

    fn walk(&mut self) {
        let mut before: Option<&Record> = None;
        let history = self.history;
        for record in &history.records {
            self.tells(record);
            if record.event.name == "resumed" {
                self.resumes(before, record);
            }
            if matches!(record.event.name.as_str(), "parked" | "failed") {
                self.expires(record);
            }
            self.opens(record);
            self.compares(record);
            let waits = |record: &Record| record.snapshot.status.state == "waiting";
            if waits(record) && !before.is_some_and(waits) {
                self.waits_since_ms = record.time_ms;
            }
            before = Some(record);
        }
        if let Some(head) = history.head().filter(|head| is_terminal(&head.snapshot.status.state)) {
            self.buries(head);
        }
    }

    fn tells(&mut self, record: &Record) {
        let Some(signal) = &record.signal else { return };
        let again = self.told.values().any(|(_, id)| *id == signal.id);
        if again {
            self.complain("P2", format!("record {} tells {} again", record.seq, signal.id));
        }
        self.told.insert(record.seq, (signal.name.clone(), signal.id.clone()));
        self.unread.push(signal.id.clone());
    }

    fn resumes(&mut self, before: Option<&Record>, record: &Record) {
        let hop = record.snapshot.hop;
        let awaited_turn = before.is_some_and(|before| before.snapshot.is_before_its_turn());
        if self.open.is_empty() && !awaited_turn {
            let wake = before.and_then(|before| millis(before.snapshot.wake_at.as_deref()?));
            match wake {
                Some(due) => self.fires(record, due),
                None => self.complain("P1", format!("record {} resumes what waits for nothing", record.seq)),
            }
        }
        for result in &record.results {
            let key = (hop, result.name.clone());
            if !self.ended.insert(key.clone()) {
                self.complain("P1", format!("record {} ends wait {} again", record.seq, result.name));
            }
            let Some(open) = self.open.remove(&key) else {
                self.complain(
                    "P1",
                    format!("record {} ends {}, which is not open", record.seq, result.name),
                );
                continue;
            };
            match result.outcome.as_str() {
                "signalled" => self.takes(record, result.seq, &result.name),
                "timed_out" | "slept" => match open.after_ms {
                    Some(after) => self.fires(record, open.since_ms + after),
                    None => self.complain("P3", format!("record {}: {} has no time", record.seq, result.name)),
                },
                _ => {}
            }
        }
        let left: Vec<String> = self.open.keys().map(|(_, name)| name.clone()).collect();
        if !left.is_empty() {
            self.complain(
                "P1",
                format!("record {} resumes and leaves {left:?} without an end", record.seq),
            );
        }
        self.open.clear();
    }

    fn takes(&mut self, record: &Record, seq: Option<u64>, name: &str) {
        let told = seq.and_then(|seq| Some((seq, self.told.get(&seq)?.clone())));
        let Some((seq, (of, id))) = told else {
            let what = format!("record {}: {name} was ended by {seq:?}, which is no signal", record.seq);
            return self.complain("P2", what);
        };
        if of != name {
            self.complain("P2", format!("record {}: {name} has taken a signal {of}", record.seq));
        }
        if !self.taken.insert(seq) {
            self.complain("P2", format!("record {}: {name} has taken {id} once more", record.seq));
        }
        self.unread.retain(|unread| *unread != id);
        if self.letters.contains(&(self.history.intent.as_str(), id.as_str())) {
            self.complain("P2", format!("signal {id} was taken, and is a dead letter"));
        }
    }

    /// A wait that says so parks or fails its intent when its time is over.
    fn expires(&mut self, record: &Record) {
        let code = record.snapshot.status.code.as_deref();
        if code != Some("WAIT_EXPIRED") {
            return;
        }
        let dues = self
            .open
            .values()
            .filter_map(|open| Some(open.since_ms + open.after_ms?));
        match dues.min() {
            Some(due) => self.fires(record, due),
            None => self.complain("P3", format!("record {}: no open wait has a time", record.seq)),
        }
    }

    /// Whether a controller could have fired a timer in time. One that has just started takes the lead when it has seen
    /// for some seconds that nobody has it, and may be killed before: so one must have lived for all of the time that a timer may take.
    fn somebody_lived(&self, due: i64, fired: i64, late: i64) -> bool {
        if late > LATE_FOR_ALL {
            let wrote = |at: &&i64| due + LATE / 2 < **at && **at < fired;
            return self.controllers.values().flatten().filter(wrote).count() > 1;
        }
        let (begin, end) = (fired - LATE, fired - LATE / 2);
        let mut each = self.controllers.values();
        each.any(|wrote| wrote.iter().any(|at| *at <= begin) && wrote.iter().any(|at| end <= *at && *at < fired))
    }

    fn fires(&mut self, record: &Record, due: i64) {
        self.counts.timers += 1;
        let late = record.time_ms - due;
        if late < -SLACK {
            self.complain(
                "P3",
                format!("record {} fires {} ms before its time", record.seq, -late),
            );
        }
        let due = due.max(self.waits_since_ms);
        let late = record.time_ms - due;
        self.counts.latest_timer_ms = self.counts.latest_timer_ms.max(late);
        if late > LATE && self.somebody_lived(due, record.time_ms, late) {
            let what = format!(
                "record {} fires {late} ms after its time, and a controller lived",
                record.seq
            );
            self.complain("P3", what);
        }
    }

    /// Waits of a record: those that it opens itself have no sequence yet. Others of the same hop are over when it opens new
    /// ones: the hop was given to its agent again, and asked again.
    fn opens(&mut self, record: &Record) {
        if matches!(record.event.name.as_str(), "handed_off") {
            self.open.clear();
        }
        let hop = record.snapshot.hop;
        let opened: Vec<&Wait> = record.snapshot.waits.iter().filter(|wait| wait.seq.is_none()).collect();
        let is_root = record.snapshot.channel.is_some();
        if is_root && record.event.name == "completed" {
            // All its copies have ended: P9 judges it.
            self.open.clear();
        }
        let begins = is_root && record.event.name == "submitted";
        if !(begins || matches!(record.event.name.as_str(), "waiting" | "fanned_out")) {
            if !opened.is_empty() {
                self.complain(
                    "P1",
                    format!("record {} ({}) opens a wait", record.seq, record.event.name),
                );
            }
            return;
        }
        if !opened.is_empty() {
            self.open.clear();
        }
        for wait in opened {
            let open = Open {
                since_ms: record.time_ms,
                after_ms: wait.after_ms,
            };
            self.open.insert((hop, wait.name.clone()), open);
        }
    }

    fn compares(&mut self, record: &Record) {
        let unread: Vec<&str> = record
            .snapshot
            .signals
            .iter()
            .map(|signal| signal.id.as_str())
            .collect();
        if unread != self.unread {
            let what = format!(
                "record {}: unread are {unread:?}, and should be {:?}",
                record.seq, self.unread
            );
            self.complain("P2", what);
            self.unread = unread.into_iter().map(str::to_owned).collect();
        }
        let hop = record.snapshot.hop;
        let mut waits: Vec<Key> = record
            .snapshot
            .waits
            .iter()
            .map(|wait| (hop, wait.name.clone()))
            .collect();
        waits.sort_unstable();
        let expected: Vec<Key> = self.open.keys().cloned().collect();
        if waits != expected {
            let what = format!("record {}: open are {waits:?}, and should be {expected:?}", record.seq);
            self.complain("P1", what);
        }
    }

    fn buries(&mut self, head: &Record) {
        let unread = std::mem::take(&mut self.unread);
        for id in unread {
            self.counts.buried += 1;
            if !self.letters.contains(&(self.history.intent.as_str(), id.as_str())) {
                let what = format!(
                    "signal {id} was unread at record {}, the last, and is no dead letter",
                    head.seq
                );
                self.complain("P2", what);
            }
        }
    }
}
