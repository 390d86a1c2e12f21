//! A piece of work: what its handlers will do, how it is submitted, and which ends are allowed. A pure function of the
//! seed and the number of the work.

use std::collections::BTreeMap;
use std::time::Duration;

use baton_checker::Tried;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{Rng as _, SeedableRng as _};
use serde::{Deserialize, Serialize};

/// The agents that pass the work among themselves.
pub const AGENTS: [&str; 3] = ["alpha", "beta", "gamma"];
/// The agents that get messages of channels besides, and nothing else.
pub const LISTENERS: [&str; 2] = ["delta", "epsilon"];
/// The agent of the bursts that test the order.
pub const LINE: &str = "line";

/// The payload: it contains everything that the handlers do.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Work {
    /// The key, unique in the run.
    pub key: String,
    /// What each hop does, in order; a hop beyond the end does nothing.
    #[serde(default)]
    pub turns: Vec<Turn>,
    /// What the hops so far have recorded.
    #[serde(default)]
    pub trail: Vec<Trace>,
    /// Padding, to make it large.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub pad: String,
    /// The hop before the first of the turns: a child goes on counting where its parent stands.
    #[serde(default, skip_serializing_if = "is_none")]
    pub after: u32,
    /// For what is no piece of its own: every end that is allowed. The checker reads it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub expect: Vec<String>,
    /// The token of the effect that this work takes back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub takes_back: Option<String>,
    /// Whether each of its hops remembers that it was there, and looks for what those before it remember.
    #[serde(default, skip_serializing_if = "is_false")]
    pub remembers: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
const fn is_false(yes: &bool) -> bool {
    !*yes
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
const fn is_none(count: &u32) -> bool {
    *count == 0
}

/// What one hop does.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Turn {
    /// How many recorded steps it runs.
    #[serde(default)]
    pub steps: u32,
    /// How long it takes besides, in milliseconds.
    #[serde(default)]
    pub slow_ms: u64,
    /// How many attempts fail before one succeeds.
    #[serde(default)]
    pub fails: u32,
    /// The delay that a failure requests, in milliseconds.
    #[serde(default)]
    pub delay_ms: u64,
    /// What it waits for after its steps, and what it does then again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asks: Option<Asks>,
    /// How it ends.
    #[serde(default)]
    pub end: End,
    /// The agent that takes its steps back, should that be needed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub undo: Option<String>,
    /// The agent that takes its handoff back, should that be needed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub undo_hop: Option<String>,
}

/// What a hop waits for. Each wait has a time, so that no signal that is lost can hold the work for ever: the checker, and
/// not the end of the work, says that none is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Asks {
    /// The signal `go`, for so many milliseconds at most.
    Signal(u64),
    /// The first of the signals `go` and `stop`, for so many milliseconds at most.
    Either(u64),
    /// Nothing but this many milliseconds.
    Sleep(u64),
    /// What others come to.
    Others(Others),
}

/// What a hop asks of other agents.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Others {
    /// When the hop goes on.
    pub join: Join,
    /// The agent of each child, and its work.
    pub children: Vec<(String, Work)>,
    /// It waits so many milliseconds at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub within_ms: Option<u64>,
    /// Whether those that are open then are left alone.
    #[serde(default)]
    pub detach: bool,
    /// What becomes of it when that time is over.
    #[serde(default)]
    pub then: Then,
}

/// What becomes of a hop that has waited for others long enough.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Then {
    /// It goes on with what there is.
    #[default]
    Give,
    /// It is parked, and waits on once it is redriven.
    Park,
    /// Its intent fails.
    Fail,
}

/// When a hop that asks others goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Join {
    /// When all have ended.
    Collect,
    /// When all have completed, or one cannot.
    All,
    /// When one has completed.
    Any,
    /// When so many have completed.
    AtLeast(u32),
}

/// A signal that the load sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sends {
    /// Its name.
    pub name: &'static str,
    /// How long after the submit.
    pub after: Duration,
    /// How often, under the same id.
    pub times: u8,
}

/// How a hop ends.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum End {
    /// The intent is completed.
    #[default]
    Complete,
    /// The intent is handed to this agent.
    HandOff(String),
    /// The intent fails permanently.
    Fail(String),
    /// The intent is declined.
    Reject(String),
    /// Each attempt fails with this code, so that the intent is parked.
    Park(String),
    /// Each attempt fails until it is redriven.
    ParkOnce,
    /// The intent is handed to whoever is next.
    Next,
    /// Others are asked, and this agent gets what they come to.
    FanOut(String, Others),
    /// Each that listens to this channel gets this work.
    Broadcast(String, Box<Work>),
}

/// What one hop has recorded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trace {
    /// The hop.
    pub hop: u32,
    /// What its steps returned.
    pub steps: BTreeMap<String, String>,
}

/// How a piece of work is submitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Via {
    /// As a client of Baton submits it, with a record.
    Record,
    /// As a raw message with `Baton-Intent`.
    RawIntent,
    /// As a raw message with `Nats-Msg-Id`.
    RawMessageId,
    /// As a raw message without an id.
    RawAlone,
    /// As an envelope in a raw message.
    Enveloped,
    /// As a message of a channel.
    Channel,
}

impl Via {
    /// A name for the journal.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Record => "record",
            Self::RawIntent => "raw, Baton-Intent",
            Self::RawMessageId => "raw, Nats-Msg-Id",
            Self::RawAlone => "raw, no id",
            Self::Enveloped => "raw, enveloped",
            Self::Channel => "channel",
        }
    }

    /// Whether it may be submitted again under the same id.
    #[must_use]
    pub const fn has_id(self) -> bool {
        !matches!(self, Self::RawAlone)
    }
}

/// A piece of work with its context.
#[derive(Debug, Clone)]
pub struct Piece {
    /// The payload.
    pub work: Work,
    /// How it is submitted.
    pub via: Via,
    /// The first agent.
    pub to: String,
    /// The kind; it tells the operator which work is meant to stay parked.
    pub kind: &'static str,
    /// The priority, 1 to 10.
    pub priority: i64,
    /// The limit on hops.
    pub max_hops: i64,
    /// The deadline, counted from its submission.
    pub deadline: Option<Duration>,
    /// A header that no router can read.
    pub bad_header: bool,
    /// How long after its submission it begins.
    pub later: Option<Duration>,
    /// The signals that are sent to it.
    pub signals: Vec<Sends>,
    /// What the journal says about it.
    pub tried: Tried,
    /// What else its envelope or its message says.
    pub more: More,
}

/// What the envelope or the message of a piece says besides.
#[derive(Debug, Clone, Default)]
pub struct More {
    /// The key in whose order it is done.
    pub order_key: Option<String>,
    /// The agents after the first.
    pub itinerary: Vec<String>,
    /// Who follows whom.
    pub next: Vec<(String, Vec<String>)>,
    /// What it did is undone when it fails for good.
    pub compensates: bool,
    /// The channel whose message it is.
    pub channel: Option<&'static str>,
    /// Who gets that message, in place of the subscribers.
    pub receivers: Vec<String>,
}

/// Kinds of work.
pub mod kind {
    /// Must complete, fail or be rejected; if it is parked, a fault was the cause.
    pub const CHAIN: &str = "chain.v1";
    /// Is parked permanently.
    pub const STAY: &str = "stay.v1";
    /// Is parked once, and completes when it is redriven.
    pub const ONCE: &str = "once.v1";
    /// Is parked at its limit on hops, and completes when it is redriven with more.
    pub const LIFT: &str = "lift.v1";
    /// Has a deadline that it cannot keep.
    pub const LATE: &str = "late.v1";
    /// Books things that can be taken back.
    pub const SAGA: &str = "saga.v1";
}

/// Constraints as people write them: the spelling must survive.
const CONSTRAINTS: [&str; 3] = [
    r#"{"max_cost":1.50,"do_not":["email"]}"#,
    r#"{ "do_not": ["e\u006dail", "\u00e9"], "max_cost": 1.50, "a": {} }"#,
    r#"{"region":"eu","format":{"width":80.0,"tabs":false},"note":"\"quoted\" and \\ \n"}"#,
];
/// Fields that the protocol does not know.
const UNKNOWN: [(&str, &str); 3] = [
    ("acme-ticket", r#"{"no": 7.10, "tags": [ "a", "b" ]}"#),
    ("x-cost", "1.0e3"),
    ("zeta-flag", "false"),
];

/// The piece of work with this number.
#[must_use]
pub fn piece(seed: u64, number: u64) -> Piece {
    // Mixed, so that neighbours in seed and number have nothing in common.
    let random = &mut StdRng::seed_from_u64(
        seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ number.wrapping_mul(0xD1B5_4A32_D192_ED03),
    );
    let key = format!("s{seed}-{number}");
    let hops = random.random_range(1..=5_usize);
    let mut turns: Vec<Turn> = (0..hops).map(|_| turn(random)).collect();
    let mut route: Vec<&str> = Vec::new();
    for _ in 0..hops {
        route.push(AGENTS.choose(random).copied().unwrap_or("alpha"));
    }
    let mut piece = Piece {
        work: Work::default(),
        via: via(random),
        to: (*route.first().unwrap_or(&"alpha")).to_owned(),
        kind: kind::CHAIN,
        priority: random.random_range(1..=10),
        max_hops: 10,
        deadline: None,
        bad_header: false,
        later: None,
        signals: Vec::new(),
        tried: Tried::default(),
        more: More::default(),
    };
    for (turn, next) in turns.iter_mut().zip(route.iter().skip(1)) {
        turn.end = End::HandOff((*next).to_owned());
    }
    let expect = fate(random, &mut piece, &mut turns);
    if piece.kind == kind::STAY {
        keep_from_gamma(&mut piece.to, &mut turns);
    }
    piece.tried = tried(random, &piece, &key, expect);
    piece.work = Work {
        key,
        turns,
        ..Work::default()
    };
    piece
}

/// Decides what becomes of a piece of work, and returns the ends that are allowed.
fn fate(random: &mut StdRng, piece: &mut Piece, turns: &mut Vec<Turn>) -> Vec<String> {
    let hops = turns.len();
    let mut expect = vec!["completed".to_owned()];
    let last = turns.last_mut();
    match (random.random_range(0..100), last) {
        (0..7, Some(last)) => {
            last.end = End::Fail("BROKEN".to_owned());
            expect = vec!["failed:BROKEN".to_owned()];
        }
        (7..13, Some(last)) => {
            last.end = End::Reject("NOT_MINE".to_owned());
            expect = vec!["rejected:NOT_MINE".to_owned()];
        }
        (13..26, Some(last)) => {
            last.fails = random.random_range(1..=2);
            last.delay_ms = random.random_range(50..1_500);
            last.steps = random.random_range(1..=3);
        }
        (26..28, Some(last)) => {
            last.end = End::Park("STAY".to_owned());
            last.delay_ms = 50;
            piece.kind = kind::STAY;
            expect = vec!["parked:STAY".to_owned()];
        }
        (28..32, _) => {
            if let Some(first) = turns.first_mut() {
                first.end = End::ParkOnce;
                first.delay_ms = 50;
                first.steps = 1;
            }
            turns.truncate(1);
            piece.kind = kind::ONCE;
        }
        (32..36, _) if hops > 1 => {
            piece.max_hops = i64::try_from(hops).unwrap_or(2) - 1;
            piece.kind = kind::LIFT;
        }
        (36..38, _) if hops > 1 => {
            piece.max_hops = i64::try_from(hops).unwrap_or(2) - 1;
            piece.kind = kind::STAY;
            expect = vec!["parked:HOP_LIMIT".to_owned()];
        }
        (38..41, _) => {
            *turns = vec![Turn {
                steps: 1,
                fails: u32::MAX,
                delay_ms: 4_000,
                ..Turn::default()
            }];
            piece.deadline = Some(Duration::from_secs(3));
            piece.kind = kind::LATE;
            // A worker whose clock is off may judge it early, and use up its attempts.
            expect = ["timed_out", "rejected:DEADLINE_PAST", "parked:EXHAUSTED"]
                .map(str::to_owned)
                .to_vec();
        }
        (41..43, _) => {
            piece.via = Via::RawIntent;
            if random.random_bool(0.5) {
                piece.bad_header = true;
                expect = vec!["rejected:BAD_HEADER".to_owned()];
            } else {
                piece.to = "nobody".to_owned();
                expect = vec!["rejected:UNKNOWN_AGENT".to_owned()];
            }
        }
        (43..58, _) => waits(random, piece, turns),
        (58..61, _) => {
            piece.later = Some(Duration::from_millis(random.random_range(300..3_000)));
            if piece.via == Via::Enveloped {
                piece.via = Via::Record;
            }
        }
        (_, _) => {}
    }
    expect
}

/// How long a wait lasts whose signal surely comes.
const LONG_MS: u64 = 30_000;

/// The first hop waits. Its signals come early, on time, twice or late, or there are none.
fn waits(random: &mut StdRng, piece: &mut Piece, turns: &mut [Turn]) {
    if !piece.via.has_id() {
        piece.via = Via::RawIntent;
    }
    let Some(first) = turns.first_mut() else { return };
    first.steps = first.steps.max(1);
    let short = random.random_range(100..1_500);
    let mut send = |name, after_ms, times| {
        let after = Duration::from_millis(after_ms);
        piece.signals.push(Sends { name, after, times });
    };
    first.asks = Some(match random.random_range(0..6) {
        0 => {
            send("go", 0, 1);
            Asks::Signal(LONG_MS)
        }
        1 => {
            send("go", short, 2);
            Asks::Signal(LONG_MS)
        }
        // The time and the signal come together, or the signal comes late.
        2 => {
            send("go", short + random.random_range(0..500), 1);
            Asks::Signal(short)
        }
        3 => {
            send("stop", short, 1);
            send("go", short + random.random_range(0..50), 1);
            Asks::Either(LONG_MS)
        }
        4 => Asks::Signal(short),
        _ => Asks::Sleep(short),
    });
}

/// What the journal says about a piece of work.
pub(crate) fn tried(random: &mut StdRng, piece: &Piece, key: &str, expect: Vec<String>) -> Tried {
    let carried = matches!(piece.via, Via::Record | Via::Enveloped);
    let mut tried = Tried {
        key: key.to_owned(),
        via: piece.via.name().to_owned(),
        intent: piece.via.has_id().then(|| key.to_owned()),
        expect,
        priority: piece.priority,
        ..Tried::default()
    };
    if carried && random.random_bool(0.5) {
        tried.constraints = CONSTRAINTS.choose(random).map(|text| (*text).to_owned());
    }
    if carried && random.random_bool(0.5) {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        let count = random.random_range(1..=UNKNOWN.len());
        tried.unknown = UNKNOWN.iter().take(count).map(owned).collect();
    }
    tried
}

/// The pieces of a burst: low work first, then high, all for the only worker of `line`.
#[must_use]
pub fn burst(seed: u64, group: &str, low: usize, high: usize) -> Vec<Piece> {
    let one = |number: usize| {
        let key = format!("s{seed}-{group}-{number}");
        let priority = if number < low {
            1 + (number % 3) as i64
        } else {
            8 + (number % 3) as i64
        };
        let turn = Turn {
            slow_ms: 5,
            ..Turn::default()
        };
        Piece {
            work: Work {
                key: key.clone(),
                turns: vec![turn],
                ..Work::default()
            },
            via: Via::Record,
            to: LINE.to_owned(),
            kind: kind::CHAIN,
            priority,
            max_hops: 10,
            deadline: None,
            bad_header: false,
            later: None,
            signals: Vec::new(),
            tried: Tried {
                key: key.clone(),
                via: Via::Record.name().to_owned(),
                intent: Some(key),
                expect: vec!["completed".to_owned()],
                group: Some(group.to_owned()),
                priority,
                ..Tried::default()
            },
            more: More::default(),
        }
    };
    (0..low + high).map(one).collect()
}

pub(crate) fn via(random: &mut StdRng) -> Via {
    match random.random_range(0..100) {
        0..40 => Via::Record,
        40..55 => Via::RawIntent,
        55..65 => Via::RawMessageId,
        65..85 => Via::RawAlone,
        _ => Via::Enveloped,
    }
}

pub(crate) fn turn(random: &mut StdRng) -> Turn {
    let slow_ms = match random.random_range(0..100) {
        0..60 => 0,
        60..94 => random.random_range(1..20),
        _ => random.random_range(250..900),
    };
    Turn {
        steps: random.random_range(0..=2),
        slow_ms,
        ..Turn::default()
    }
}

/// Sends work that stays parked to agents other than `gamma`, all the way: versions of `gamma` must be able to drain.
pub(crate) fn keep_from_gamma(to: &mut String, turns: &mut [Turn]) {
    let other = |name: &mut String| {
        if name == "gamma" {
            "beta".clone_into(name);
        }
    };
    other(to);
    for turn in turns {
        if let End::HandOff(name) = &mut turn.end {
            other(name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_gives_the_same_work_each_time_and_every_kind_comes() {
        let mut kinds = std::collections::BTreeSet::new();
        let mut ends = std::collections::BTreeSet::new();
        for number in 0..2_000 {
            let (one, same) = (piece(7, number), piece(7, number));
            assert_eq!(format!("{one:?}"), format!("{same:?}"));
            kinds.insert((one.kind, one.via.name()));
            ends.extend(one.tried.expect.clone());
            assert!(
                one.kind != kind::STAY || !format!("{one:?}").contains("gamma"),
                "{one:?}"
            );
        }
        assert!(kinds.len() >= 25, "{kinds:?}");
        assert_eq!(ends.len(), 10, "{ends:?}");
    }
}
