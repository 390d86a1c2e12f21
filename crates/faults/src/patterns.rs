//! The patterns of the load: pieces that ask others, go to many, are taken back, follow a way or keep an order. A pure function
//! of the seed and the number of the work; the seed also says how often each comes.

use std::time::Duration;

use baton_checker::Tried;
use rand::rngs::StdRng;
use rand::seq::{IndexedRandom as _, IteratorRandom as _};
use rand::{Rng as _, SeedableRng as _};

use crate::work::{self, AGENTS, Asks, End, Join, LISTENERS, More, Others, Piece, Then, Turn, Via, Work, kind};

/// The channels, with the agents that declare them.
pub const CHANNELS: [(&str, &[&str]); 3] = [
    ("all", &["alpha", "beta", "gamma", "delta", "epsilon"]),
    ("pair", &["alpha", "beta"]),
    ("some", &["gamma", "delta"]),
];
/// What an operator subscribes besides, when a run begins.
pub const SUBSCRIBED: (&str, &str) = ("some", "epsilon");
/// How many keys there are for what is done in order.
const KEYS: u32 = 5;
/// Calls go no deeper than this below the first.
const DEPTH: u32 = 2;
/// The code with which a child, a copy or a saga fails on purpose.
const SOLD_OUT: &str = "SOLD_OUT";
/// What work may come to whose attempts were used up by faults, where it is not parked then.
const USED_UP: [&str; 2] = ["failed:EXHAUSTED", "failed:POISON"];

/// One piece of so many has hops that remember.
const REMEMBERS: u64 = 4;
/// How many of those that ask others have a deadline.
const HURRY: f64 = 0.15;
/// How many of those ask somebody whom nobody has.
const ASK_NOBODY: f64 = 0.05;
/// What work with a deadline may come to: the first also as a child.
const TOO_LATE: [&str; 2] = ["timed_out", "rejected:DEADLINE_PAST"];

/// What a piece does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pattern {
    Call,
    FanOut,
    Detach,
    Broadcast,
    Announce,
    Saga,
    Way,
    Keyed,
}

const PATTERNS: [Pattern; 8] = [
    Pattern::Call,
    Pattern::FanOut,
    Pattern::Detach,
    Pattern::Broadcast,
    Pattern::Announce,
    Pattern::Saga,
    Pattern::Way,
    Pattern::Keyed,
];

/// How many of a hundred pieces each pattern has in this seed.
fn shares(seed: u64) -> Vec<(Pattern, u32)> {
    let mut random = StdRng::seed_from_u64(seed ^ 0x5AA5_0015);
    let share = |pattern| {
        let most = if pattern == Pattern::Saga { 10 } else { 6 };
        (pattern, random.random_range(2..=most))
    };
    PATTERNS.into_iter().map(share).collect()
}

/// The piece of work with this number, which may be one of [`work::piece`].
#[must_use]
pub fn piece(seed: u64, number: u64) -> Piece {
    let mut piece = plain(seed, number);
    piece.work.remembers = number.is_multiple_of(REMEMBERS);
    piece
}

fn plain(seed: u64, number: u64) -> Piece {
    let random = &mut StdRng::seed_from_u64(
        seed.wrapping_mul(0xD1B5_4A32_D192_ED03) ^ number.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ 0x0F15,
    );
    let mut at = random.random_range(0..100_u32);
    let found = shares(seed).into_iter().find(|(_, share)| {
        let is_here = at < *share;
        at = at.saturating_sub(*share);
        is_here
    });
    let Some((pattern, _)) = found else {
        return work::piece(seed, number);
    };
    let key = format!("s{seed}-{number}");
    let made = match pattern {
        Pattern::Call => call(random, &key),
        Pattern::FanOut => fan_out(random, &key),
        Pattern::Detach => detach(random, &key),
        Pattern::Broadcast => broadcast(random),
        Pattern::Announce => announce(random, &key),
        Pattern::Saga => saga(random, &key),
        Pattern::Way => way(random),
        Pattern::Keyed => keyed(random),
    };
    made.piece(random, key)
}

/// What a pattern makes; all else of a piece is the same for each.
struct Made {
    kind: &'static str,
    to: String,
    via: Via,
    turns: Vec<Turn>,
    expect: Vec<String>,
    path: Vec<String>,
    deadline: Option<Duration>,
    more: More,
}

impl Made {
    /// Turns of agents that hand on to each other, and are completed.
    fn of(random: &mut StdRng, turns: Vec<Turn>) -> Self {
        Self {
            kind: kind::CHAIN,
            to: agent(random),
            via: work::via(random),
            turns,
            expect: vec!["completed".to_owned()],
            path: Vec::new(),
            deadline: None,
            more: More::default(),
        }
    }

    /// Now and then it has a deadline, which its children have with it, less five seconds: theirs may be over before they begin.
    fn in_a_hurry(mut self, random: &mut StdRng) -> Self {
        if random.random_bool(HURRY) {
            self.deadline = Some(Duration::from_secs(random.random_range(2..10)));
            self.expect.extend(TOO_LATE.map(str::to_owned));
            self.turns.iter_mut().for_each(may_be_late);
        }
        self
    }

    /// It is parked since it asks an agent that nobody has, and nobody redrives it. No agent of it is one whose versions must be able
    /// to drain.
    fn that_stays(mut self) -> Self {
        self.kind = kind::STAY;
        self.expect = vec!["parked:UNKNOWN_AGENT".to_owned()];
        work::keep_from_gamma(&mut self.to, &mut self.turns);
        self
    }

    /// It stays where it asks an agent that nobody has; only what does not may have a deadline.
    fn stays_or_hurries(self, asks_nobody: bool, random: &mut StdRng) -> Self {
        match asks_nobody {
            true => self.that_stays(),
            false => self.in_a_hurry(random),
        }
    }

    fn piece(self, random: &mut StdRng, key: String) -> Piece {
        let mut piece = Piece {
            work: Work::default(),
            via: self.via,
            to: self.to,
            kind: self.kind,
            priority: random.random_range(1..=10),
            max_hops: 10,
            deadline: self.deadline,
            bad_header: false,
            later: None,
            signals: Vec::new(),
            tried: Tried::default(),
            more: self.more,
        };
        let tried = work::tried(random, &piece, &key, self.expect);
        piece.tried = Tried {
            path: self.path,
            ..tried
        };
        piece.work = Work {
            key,
            turns: self.turns,
            ..Work::default()
        };
        piece
    }
}

/// The children of a turn, and theirs, may end by the deadline of the first of them all.
fn may_be_late(turn: &mut Turn) {
    let too_late = |work: &mut Work| {
        if !work.expect.is_empty() {
            work.expect.push(TOO_LATE[0].to_owned());
        }
        work.turns.iter_mut().for_each(may_be_late);
    };
    if let Some(Asks::Others(others)) = &mut turn.asks {
        others.children.iter_mut().map(|(_, work)| work).for_each(too_late);
    }
    match &mut turn.end {
        End::FanOut(_, others) => others.children.iter_mut().map(|(_, work)| work).for_each(too_late),
        End::Broadcast(_, copy) => too_late(copy),
        End::Complete | End::HandOff(_) | End::Fail(_) | End::Reject(_) | End::Park(_) | End::ParkOnce | End::Next => {}
    }
}

fn agent(random: &mut StdRng) -> String {
    AGENTS.choose(random).copied().unwrap_or("alpha").to_owned()
}

/// So many turns that hand on to each other.
fn chain(random: &mut StdRng, hops: usize) -> Vec<Turn> {
    let mut turns: Vec<Turn> = (0..hops).map(|_| work::turn(random)).collect();
    let before_last = turns.len().saturating_sub(1);
    for turn in turns.iter_mut().take(before_last) {
        turn.end = End::HandOff(agent(random));
    }
    turns
}

fn call(random: &mut StdRng, key: &str) -> Made {
    let hops = random.random_range(1..=2);
    let mut turns = chain(random, hops);
    let mut asks = others(random, key, 1);
    let mut expect = vec!["completed".to_owned()];
    match random.random_range(0..100) {
        0..10 => {
            (asks.then, asks.within_ms) = (Then::Park, Some(random.random_range(100..1_500)));
        }
        10..20 => {
            (asks.then, asks.within_ms) = (Then::Fail, Some(random.random_range(100..1_500)));
            expect.push("failed:WAIT_EXPIRED".to_owned());
        }
        // Many, so that their ends come in several records.
        20..24 => asks.children.extend((asks.children.len()..40).map(|index| {
            let work = Work {
                key: format!("{key}.{index}"),
                ..Work::default()
            };
            (agent(random), work)
        })),
        _ => {}
    }
    let asks_nobody = one_is_nobodys(random, &mut asks);
    if let Some(turn) = turns.iter_mut().choose(random) {
        turn.asks = Some(Asks::Others(asks));
    }
    let made = Made {
        expect,
        ..Made::of(random, turns)
    };
    made.stays_or_hurries(asks_nobody, random)
}

fn fan_out(random: &mut StdRng, key: &str) -> Made {
    let hops = random.random_range(1..=2);
    let mut turns = chain(random, hops);
    let (to, mut asks) = (agent(random), others(random, key, 1));
    let asks_nobody = one_is_nobodys(random, &mut asks);
    if let Some(last) = turns.last_mut() {
        last.end = End::FanOut(to, asks);
    }
    let made = Made::of(random, turns);
    made.stays_or_hurries(asks_nobody, random)
}

/// Now and then asks an agent that nobody has ever heard of for one of the children; gives whether. Nobody is asked for anything
/// then.
fn one_is_nobodys(random: &mut StdRng, asks: &mut Others) -> bool {
    if !random.random_bool(ASK_NOBODY) {
        return false;
    }
    let found = asks.children.iter_mut().choose(random);
    found.map(|(to, _)| "nobody".clone_into(to)).is_some()
}

/// Ends with a message of a channel, of which each receiver gets a copy.
fn announce(random: &mut StdRng, key: &str) -> Made {
    let hops = random.random_range(1..=2);
    let mut turns = chain(random, hops);
    let (channel, _) = CHANNELS.choose(random).copied().unwrap_or(("all", &[]));
    let mut copy = Work {
        key: format!("{key}.copy"),
        turns: vec![work::turn(random)],
        expect: vec!["completed".to_owned()],
        ..Work::default()
    };
    if random.random_bool(0.15)
        && let Some(turn) = copy.turns.first_mut()
    {
        turn.end = End::Fail(SOLD_OUT.to_owned());
        copy.expect = vec![format!("failed:{SOLD_OUT}")];
    }
    if let Some(last) = turns.last_mut() {
        last.end = End::Broadcast(channel.to_owned(), Box::new(copy));
    }
    Made::of(random, turns).in_a_hurry(random)
}

/// A call whose hop goes on before most of its children have ended, which then end by themselves.
fn detach(random: &mut StdRng, key: &str) -> Made {
    let mut turns = chain(random, 1);
    let mut asks = others(random, key, DEPTH);
    asks.detach = true;
    asks.join = Join::Any;
    asks.within_ms = Some(random.random_range(50..2_000));
    for (_, child) in asks.children.iter_mut().skip(1) {
        if let Some(turn) = child.turns.first_mut() {
            turn.asks = Some(Asks::Sleep(random.random_range(300..3_000)));
        }
    }
    if let Some(turn) = turns.first_mut() {
        turn.asks = Some(Asks::Others(asks));
    }
    Made::of(random, turns).in_a_hurry(random)
}

/// Two to five children, some of which ask others in turn.
fn others(random: &mut StdRng, key: &str, depth: u32) -> Others {
    let count = random.random_range(2..=if depth > 1 { 3 } else { 5 });
    let children = (0..count).map(|index| {
        let work = child(random, &format!("{key}.{index}"), depth);
        (agent(random), work)
    });
    let children: Vec<_> = children.collect();
    let join = match random.random_range(0..4) {
        0 => Join::Collect,
        1 => Join::All,
        2 => Join::Any,
        _ => Join::AtLeast(random.random_range(1..=count)),
    };
    let within_ms = random.random_bool(0.25).then(|| random.random_range(100..2_500));
    Others {
        join,
        children,
        within_ms,
        detach: false,
        then: Then::Give,
    }
}

fn child(random: &mut StdRng, key: &str, depth: u32) -> Work {
    let mut turn = work::turn(random);
    let mut expect = vec!["completed".to_owned()];
    match random.random_range(0..100) {
        0..10 => {
            turn.end = End::Fail(SOLD_OUT.to_owned());
            expect = vec![format!("failed:{SOLD_OUT}")];
        }
        10..15 => {
            turn.end = End::Reject("NOT_MINE".to_owned());
            expect = vec!["rejected:NOT_MINE".to_owned()];
        }
        15..25 => {
            (turn.fails, turn.delay_ms, turn.steps) = (1, random.random_range(50..500), 1);
        }
        25..45 => turn.asks = Some(Asks::Sleep(random.random_range(100..1_500))),
        45..60 if depth < DEPTH => turn.asks = Some(Asks::Others(others(random, key, depth + 1))),
        _ => {}
    }
    let mut turns = vec![turn];
    if random.random_bool(0.2)
        && let [first] = turns.as_mut_slice()
        && first.end == End::Complete
    {
        first.end = End::HandOff(agent(random));
        turns.push(work::turn(random));
    }
    Work {
        key: key.to_owned(),
        turns,
        expect,
        ..Work::default()
    }
}

/// A message of a channel, or one that names its receivers.
fn broadcast(random: &mut StdRng) -> Made {
    let mut turns = chain(random, 1);
    let mut expect = vec!["completed".to_owned()];
    let (channel, _) = CHANNELS.choose(random).copied().unwrap_or(("all", &[]));
    let mut more = More {
        channel: Some(channel),
        ..More::default()
    };
    let is_bad = random.random_bool(0.05);
    if is_bad || random.random_bool(0.3) {
        let known = AGENTS.into_iter().chain(LISTENERS);
        let count = random.random_range(2..=3);
        more.receivers = known.map(str::to_owned).choose_multiple(random, count);
    }
    if is_bad {
        more.receivers.push("nobody".to_owned());
        expect = vec!["rejected:UNKNOWN_RECEIVER".to_owned()];
    }
    if random.random_bool(0.15)
        && let Some(turn) = turns.first_mut()
    {
        turn.end = End::Fail(SOLD_OUT.to_owned());
    }
    Made {
        via: Via::Channel,
        expect,
        more,
        ..Made::of(random, turns)
    }
}

/// Books things, hop by hop, and then fails, is caught while it waits, or is done.
fn saga(random: &mut StdRng, key: &str) -> Made {
    let hops = random.random_range(1..=3);
    let mut turns = chain(random, hops);
    for turn in &mut turns {
        turn.steps = random.random_range(1..=2);
        turn.undo = Some(agent(random));
        let is_handed_off = matches!(turn.end, End::HandOff(_));
        turn.undo_hop = (is_handed_off && random.random_bool(0.3)).then(|| agent(random));
    }
    let mut expect: Vec<String> = USED_UP.map(str::to_owned).to_vec();
    if let Some(first) = turns.first_mut()
        && random.random_bool(0.25)
    {
        first.asks = Some(Asks::Others(booking(random, key)));
    }
    let end = match (random.random_range(0..100), turns.last_mut()) {
        (0..45, Some(last)) => {
            last.end = End::Fail(SOLD_OUT.to_owned());
            format!("failed:{SOLD_OUT}")
        }
        (45..60, Some(last)) => {
            (last.end, last.delay_ms) = (End::Park("GIVE_UP".to_owned()), 50);
            "failed:GIVE_UP".to_owned()
        }
        (60..85, Some(last)) if last.asks.is_none() => {
            last.asks = Some(Asks::Sleep(random.random_range(1_500..6_000)));
            "completed".to_owned()
        }
        _ => "completed".to_owned(),
    };
    expect.push(end);
    let more = More {
        compensates: true,
        ..More::default()
    };
    let via = if random.random_bool(0.7) {
        Via::Record
    } else {
        Via::Enveloped
    };
    Made {
        kind: kind::SAGA,
        via,
        expect,
        more,
        ..Made::of(random, turns)
    }
}

/// Children that book something as well, and are often open when their parent is undone.
fn booking(random: &mut StdRng, key: &str) -> Others {
    let mut children = Vec::new();
    for index in 0..random.random_range(1..=2) {
        let turn = Turn {
            steps: 1,
            undo: Some(agent(random)),
            asks: Some(Asks::Sleep(random.random_range(500..3_000))),
            ..Turn::default()
        };
        let work = Work {
            key: format!("{key}.{index}"),
            turns: vec![turn],
            expect: vec!["completed".to_owned()],
            ..Work::default()
        };
        children.push((agent(random), work));
    }
    Others {
        join: Join::Collect,
        children,
        within_ms: None,
        detach: false,
        then: Then::Give,
    }
}

/// Goes through agents that do not name each other: by its itinerary, or by who follows whom, with a cycle.
fn way(random: &mut StdRng) -> Made {
    let hops = random.random_range(2..=5_usize);
    let mut turns: Vec<Turn> = (0..hops).map(|_| work::turn(random)).collect();
    for turn in &mut turns {
        turn.end = End::Next;
    }
    let mut more = More::default();
    let path: Vec<String> = if random.random_bool(0.6) {
        let path: Vec<String> = (0..hops).map(|_| agent(random)).collect();
        more.itinerary = path.iter().skip(1).cloned().collect();
        path
    } else {
        // Round and round; the last turn completes.
        let followers = AGENTS.iter().zip(AGENTS.iter().cycle().skip(1));
        let followers = followers.map(|(agent, next)| ((*agent).to_owned(), vec![(*next).to_owned()]));
        more.next = followers.collect();
        if let Some(last) = turns.last_mut() {
            last.end = End::Complete;
        }
        AGENTS
            .iter()
            .cycle()
            .take(hops)
            .map(|agent| (*agent).to_owned())
            .collect()
    };
    let via = match (more.next.is_empty(), random.random_range(0..3)) {
        (true, 0) => Via::RawIntent,
        (_, 1) => Via::Enveloped,
        (_, _) => Via::Record,
    };
    Made {
        to: path.first().cloned().unwrap_or_default(),
        via,
        path,
        more,
        ..Made::of(random, turns)
    }
}

/// One of a handful of keys: of one agent, what has the same key is done one at a time and in order.
fn keyed(random: &mut StdRng) -> Made {
    let hops = random.random_range(1..=2);
    let mut turns = chain(random, hops);
    if let Some(first) = turns.first_mut() {
        first.slow_ms = first.slow_ms.min(50);
        match random.random_range(0..5) {
            0 => (first.fails, first.delay_ms, first.steps) = (1, random.random_range(50..400), 1),
            1 => first.asks = Some(Asks::Sleep(random.random_range(50..400))),
            _ => {}
        }
    }
    let more = More {
        order_key: Some(format!("key-{}", random.random_range(0..KEYS))),
        ..More::default()
    };
    let mut made = Made {
        more,
        ..Made::of(random, turns)
    };
    if random.random_bool(0.1) {
        // It may be too late before its turn, and then leaves its place to the next one.
        made.deadline = Some(Duration::from_secs(random.random_range(2..6)));
        made.expect.extend(TOO_LATE.map(str::to_owned));
    }
    made
}

#[cfg(test)]
mod tests;
