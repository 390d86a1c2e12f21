//! The book of a cap: what is granted, settled and charged, and that no schedule of workers and leaders spends more.

use baton_envelope::budget::{Amounts, MeterName};
use baton_envelope::rollout::with_cap;
use baton_envelope::{
    CAP_DAYS, CapBook, CapGrant, CapRefused, ErrorInfo, Extra, MOST_GRANTS, PerDay, Timestamp, codes, day_of, next_day,
};
use proptest::prelude::*;

const NOON: i64 = 1_780_000_000_000;
const DAY: i64 = 24 * 3600 * 1000;

fn at(millis: i64) -> Timestamp {
    Timestamp::from_unix_millis(millis)
}

fn tokens(count: u64) -> Amounts {
    Amounts::NONE.with(MeterName::Tokens, baton_envelope::budget::Amount::whole(count))
}

fn amounts(count: u64, cost: &str) -> Amounts {
    tokens(count).with(MeterName::Cost, cost.parse().expect("an amount"))
}

fn book(per_day: Amounts) -> CapBook {
    CapBook {
        per_day,
        ..CapBook::new("research".parse().expect("a name"))
    }
}

fn call(id: &str, millis: i64, amounts: Amounts) -> CapGrant {
    CapGrant {
        id: id.to_owned(),
        intent: "order-1".parse().expect("an id"),
        epoch: 1,
        amounts,
        at: at(millis),
        extra: Extra::new(),
    }
}

fn grant(book: &mut CapBook, id: &str, millis: i64, amounts: Amounts) -> Result<bool, Box<CapRefused>> {
    book.grant("step \"plan\"", call(id, millis, amounts))
}

#[test]
fn a_call_is_granted_out_of_what_is_left_and_settled_by_what_it_took() {
    let (mut book, today) = (book(amounts(1_000, "0.5")), day_of(at(NOON)));
    assert_eq!(grant(&mut book, "a", NOON, amounts(600, "0.3")), Ok(true));
    assert_eq!(book.left(&today), amounts(400, "0.2"));
    // The same question once more.
    assert_eq!(grant(&mut book, "a", NOON, amounts(600, "0.3")), Ok(false));
    assert_eq!(book.grants().count(), 1);
    let refused = grant(&mut book, "b", NOON, amounts(500, "0.1")).expect_err("no room");
    let error = ErrorInfo::from(&*refused);
    assert_eq!(error.code, codes::CAP_REACHED);
    assert_eq!(error.need.as_deref(), Some(&amounts(500, "0.1")));
    for said in [
        "step \"plan\" needs 500 tokens and 0.1 of cost",
        "400 tokens are left",
        "baton agents budget research",
    ] {
        assert!(error.message.contains(said), "{said}: {}", error.message);
    }
    // It took less of one meter, and did not say of the other.
    assert!(book.settle("a", Some(&tokens(100))));
    assert!(!book.settle("a", None), "it is settled");
    assert_eq!(book.left(&today), amounts(900, "0.2"));
    assert_eq!(grant(&mut book, "b", NOON, amounts(500, "0.1")), Ok(true));
    // Nobody can say.
    assert!(book.settle("b", None));
    assert_eq!(book.left(&today), amounts(400, "0.1"));
    assert!(!book.is_full(&today));
    assert!(book.charge("c", at(NOON), &amounts(900, "0")));
    assert!(!book.charge("c", at(NOON), &amounts(900, "0")), "it counts once");
    assert_eq!(book.left(&today), amounts(0, "0.1"), "never less than nothing");
    assert!(book.is_full(&today));
    // A meter that is not capped is free.
    let time = Amounts::NONE.with(MeterName::Time, baton_envelope::budget::Amount::whole(7));
    assert_eq!(grant(&mut book, "d", NOON, time), Ok(true));
}

#[test]
fn each_day_has_the_cap_anew_and_a_call_counts_for_its_own() {
    let mut book = book(tokens(10));
    let tomorrow = next_day(at(NOON)).unix_millis();
    assert_eq!(day_of(at(tomorrow - 1)), day_of(at(NOON)));
    assert_ne!(day_of(at(tomorrow)), day_of(at(NOON)));
    assert_eq!(grant(&mut book, "late", tomorrow - 1, tokens(10)), Ok(true));
    assert!(book.is_full(&day_of(at(NOON))) && !book.is_full(&day_of(at(tomorrow))));
    assert_eq!(grant(&mut book, "early", tomorrow, tokens(10)), Ok(true));
    assert!(book.settle("late", Some(&tokens(4))));
    assert_eq!(book.left(&day_of(at(NOON))), tokens(6));
    assert_eq!(book.left(&day_of(at(tomorrow))), tokens(0));
    // Old pages go, but for one whose call is not settled.
    for day in 1..=2 * CAP_DAYS as i64 {
        assert!(book.charge(&format!("day-{day}"), at(tomorrow + day * DAY), &tokens(1)));
    }
    let days: Vec<&String> = book.days.keys().collect();
    assert_eq!(days.len(), CAP_DAYS + 1, "{days:?}");
    assert_eq!(days.first(), Some(&&day_of(at(tomorrow))));
    assert!(book.settle("early", None));
}

#[test]
fn a_lowered_cap_binds_what_is_not_granted_yet() {
    let mut book = book(tokens(10));
    assert_eq!(grant(&mut book, "a", NOON, tokens(8)), Ok(true));
    book.per_day = tokens(5);
    assert_eq!(book.left(&day_of(at(NOON))), tokens(0));
    let refused = grant(&mut book, "b", NOON, tokens(1)).expect_err("no room");
    assert!(refused.to_string().contains("0 tokens are left"), "{refused}");
    let never = grant(&mut book, "c", NOON, tokens(6)).expect_err("never").to_string();
    assert!(
        never.contains("may spend 5 tokens in a day") && never.contains("it never fits"),
        "{never}"
    );
    assert!(book.settle("a", Some(&tokens(2))));
    assert_eq!(grant(&mut book, "b", NOON, tokens(3)), Ok(true));
}

#[test]
fn a_book_has_so_many_calls_under_way_at_most() {
    let mut book = book(tokens(u64::from(u32::MAX)));
    for number in 0..MOST_GRANTS {
        assert_eq!(grant(&mut book, &number.to_string(), NOON, tokens(1)), Ok(true));
    }
    let refused = grant(&mut book, "more", NOON, tokens(1)).expect_err("too many");
    assert!(
        refused.to_string().contains("calls of research are under way"),
        "{refused}"
    );
    let size = serde_json::to_vec(&book).expect("JSON").len();
    assert!(size < 512 * 1024, "{size} bytes have to fit into a message");
}

#[test]
fn caps_are_changed_meter_by_meter() {
    let both = with_cap(None, &amounts(1_000, "5")).expect("a cap");
    assert_eq!(*both, amounts(1_000, "5"));
    assert_eq!(with_cap(Some(&both), &tokens(7)).as_deref(), Some(&amounts(7, "5")));
    let lifted = with_cap(Some(&both), &tokens(0)).expect("the cost is left");
    assert_eq!((lifted.tokens, lifted.cost), (None, both.cost));
    assert_eq!(with_cap(Some(&both), &amounts(0, "0")), None);
    assert_eq!(with_cap(None, &Amounts::NONE), None);
}

#[test]
fn amounts_of_a_day_are_read_as_people_write_them() {
    for (text, amount) in [
        ("50/day", "50"),
        ("0.25/day", "0.25"),
        ("200k/day", "200000"),
        ("2.5M/day", "2500000"),
        ("0", "0"),
    ] {
        assert_eq!(
            text.parse::<PerDay>().map(|PerDay(amount)| amount.to_string()),
            Ok(amount.to_owned()),
            "{text}"
        );
    }
    for text in ["50", "50/h", "/day", "M/day", "-1/day", "1e3/day", "2 M/day", ""] {
        let bad = text.parse::<PerDay>().expect_err(text);
        assert!(bad.contains("50/day"), "{bad}");
    }
}

/// The schedules of the model of caps on the real book: workers that ask, pay, settle, die and wake up late, and a leader that
/// counts whole what a holder of before was granted.
#[derive(Debug, Clone, Default)]
struct World {
    /// The epoch of each intent, and whether it is over.
    intents: [(u64, bool); 3],
    workers: [Option<Worker>; 3],
    /// A grant that the leader has found to be over, and has not settled yet.
    found: Option<String>,
    calls: u64,
    /// What all calls took.
    paid: u64,
}

#[derive(Debug, Clone)]
struct Worker {
    intent: usize,
    epoch: u64,
    granted: Option<String>,
    has_paid: bool,
}

const CAP: u64 = 4;
/// What a call may take, and what it takes.
const HELD: u64 = 2;

impl World {
    fn step(&mut self, book: &mut CapBook, choice: u8) {
        let (what, which) = (choice / 8, usize::from(choice % 8));
        let worker = which % self.workers.len();
        match what {
            // Takes an intent, from whoever has it.
            0 | 1 if self.workers[worker].is_none() => {
                let intent = which % self.intents.len();
                if !self.intents[intent].1 {
                    self.intents[intent].0 += 1;
                    let epoch = self.intents[intent].0;
                    self.workers[worker] = Some(Worker {
                        intent,
                        epoch,
                        granted: None,
                        has_paid: false,
                    });
                }
            }
            2 | 3 => self.go_on(book, worker),
            // Dies.
            4 => self.workers[worker] = None,
            // The leader finds a grant that nobody will settle, and settles it later.
            5 => {
                let over = book.grants().find(|grant| {
                    let number: usize = grant
                        .intent
                        .as_str()
                        .trim_start_matches("order-")
                        .parse()
                        .expect("a number");
                    self.intents[number] != (grant.epoch, false)
                });
                self.found = over.map(|grant| grant.id.clone());
            }
            6 => {
                if let Some(id) = self.found.take() {
                    book.settle(&id, None);
                }
            }
            _ => {}
        }
    }

    /// One step of a worker, whether it holds its intent still or not: it cannot know.
    fn go_on(&mut self, book: &mut CapBook, number: usize) {
        let Some(mut worker) = self.workers[number].take() else {
            return;
        };
        match (&worker.granted, worker.has_paid) {
            (None, _) => {
                self.calls += 1;
                let id = format!("call-{}", self.calls);
                let mut asked = call(&id, NOON, tokens(HELD));
                asked.intent = format!("order-{}", worker.intent).parse().expect("an id");
                asked.epoch = worker.epoch;
                match book.grant("a call", asked) {
                    Ok(_) => worker.granted = Some(id),
                    // It waits for room.
                    Err(_) => return,
                }
            }
            (Some(_), false) => {
                self.paid += 1;
                worker.has_paid = true;
            }
            (Some(id), true) => {
                book.settle(id, Some(&tokens(1)));
                if self.intents[worker.intent].0 == worker.epoch {
                    self.intents[worker.intent].1 = true;
                }
                return;
            }
        }
        self.workers[number] = Some(worker);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    /// B6: whatever dies, is frozen or comes twice.
    #[test]
    fn no_schedule_spends_more_than_the_cap(choices in prop::collection::vec(0_u8..56, 0..80)) {
        let (mut world, mut book, today) = (World::default(), book(tokens(CAP)), day_of(at(NOON)));
        for choice in choices {
            world.step(&mut book, choice);
            let used = book.days.get(&today).map(|day| day.used()).unwrap_or_default();
            prop_assert!(tokens(world.paid).get(MeterName::Tokens) <= used.get(MeterName::Tokens), "paid and not accounted for: {world:?} {book:?}");
            prop_assert!(used.get(MeterName::Tokens) <= tokens(CAP).get(MeterName::Tokens), "beyond the cap: {book:?}");
        }
        // Once nobody is at work the leader settles all of it: nothing stays granted for ever.
        world.workers = Default::default();
        for intent in &mut world.intents {
            intent.1 = true;
        }
        for _ in 0..=MOST_GRANTS {
            world.step(&mut book, 5 * 8);
            world.step(&mut book, 6 * 8);
            if book.grants().next().is_none() {
                break;
            }
        }
        prop_assert_eq!(book.grants().count(), 0);
    }
}
