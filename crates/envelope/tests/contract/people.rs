//! Approvals: who may decide, what a word is worth, when the outcome is certain. Each schedule that broke an earlier form
//! of the design in a model is a test here.

use std::collections::BTreeSet;
use std::time::Duration;

use baton_envelope::people::*;
use baton_envelope::{Json, PersonName};
use proptest::prelude::*;

fn person(name: &str) -> PersonName {
    name.parse().expect("a person")
}

fn nobody_known(_: &str) -> Option<Vec<PersonName>> {
    None
}

fn fixed(
    approval: &Approval,
    members: impl Fn(&str) -> Option<Vec<PersonName>>,
    workers: Option<&[PersonName]>,
) -> Result<Ballot, BadApproval> {
    approval.fixed(members, workers).map(|fixed| Ballot::of(&fixed))
}

fn open(approval: &Approval) -> Ballot {
    fixed(approval, nobody_known, Some(&[])).expect("an approval that can be decided")
}

/// Two of three.
fn two_of_three() -> Ballot {
    open(&Approval::new("Publish?").who(["a", "b", "c"]).quorum(2))
}

fn says(by: &str, choice: &str, seq: u64) -> Said {
    Said {
        by: Decider::from_token(by).expect("a decider"),
        word: Word::Choice(choice.to_owned()),
        seq,
    }
}

fn delegates(by: &str, to: &str, seq: u64) -> Said {
    Said {
        word: Word::Delegate(person(to)),
        ..says(by, "", seq)
    }
}

fn after(ballot: &Ballot, said: &Said) -> Ballot {
    let ruling = ballot.rule(said, false);
    let Ruling::Counts(after) = ruling else {
        panic!("{said:?}: {ruling:?}");
    };
    *after
}

fn refusal(ballot: &Ballot, said: &Said) -> Refusal {
    let ruling = ballot.rule(said, false);
    let Ruling::Refused(refusal) = ruling else {
        panic!("{said:?}: {ruling:?}");
    };
    refusal
}

fn ended(ballot: &Ballot) -> Option<(&str, bool, &Cause)> {
    let decided = ballot.decided.as_ref()?;
    Some((decided.choice.as_str(), decided.accepted, &decided.cause))
}

// The schedules of the model.

#[test]
fn the_record_that_completes_the_quorum_fixes_the_outcome() {
    let ballot = after(&two_of_three(), &says("a", "approve", 1));
    assert_eq!(ended(&ballot), None);
    let ballot = after(&ballot, &says("b", "approve", 2));
    assert_eq!(ended(&ballot), Some(("approve", true, &Cause::Quorum)));
    // Before `resumed` is written, one of the two changes her mind: too late.
    assert_eq!(ballot.rule(&says("a", "reject", 3), false), Ruling::TooLate);
}

#[test]
fn a_word_that_was_said_earlier_does_not_beat_a_later_one() {
    let ballot = after(&two_of_three(), &says("a", "reject", 2));
    assert_eq!(ballot.rule(&says("a", "approve", 1), false), Ruling::Older);
    let seat = ballot.seats.iter().find(|seat| seat.person == Some(person("a")));
    assert_eq!(seat.and_then(|seat| seat.choice.as_deref()), Some("reject"));
    // A later one does.
    let ballot = after(&ballot, &says("a", "approve", 3));
    assert_eq!(
        ended(&after(&ballot, &says("c", "approve", 4))),
        Some(("approve", true, &Cause::Quorum))
    );
}

#[test]
fn a_decision_of_after_due_does_not_count_though_no_timer_has_fired() {
    assert_eq!(two_of_three().rule(&says("a", "approve", 1), true), Ruling::TooLate);
}

#[test]
fn a_seat_has_one_vote_whoever_sits_on_it() {
    let ballot = after(&two_of_three(), &says("a", "approve", 1));
    let ballot = after(&ballot, &delegates("a", "d", 2));
    let ballot = after(&ballot, &says("d", "approve", 3));
    assert_eq!(ended(&ballot), None, "one seat has voted, not two");
    assert_eq!(ballot.silent(), ["b", "c"]);
    // Nothing is left to whoever gave the seat away.
    assert!(matches!(
        refusal(&ballot, &says("a", "approve", 4)),
        Refusal::NoSeat { .. }
    ));
}

#[test]
fn a_vote_that_was_cast_before_its_seat_was_given_away_is_older() {
    let ballot = after(&two_of_three(), &delegates("a", "d", 5));
    assert_eq!(ballot.rule(&says("d", "approve", 4), false), Ruling::Older);
    let back = after(&ballot, &delegates("d", "a", 6));
    assert_eq!(back.rule(&says("a", "approve", 1), false), Ruling::Older);
}

#[test]
fn nobody_gets_a_second_seat_by_delegation() {
    let ballot = after(&two_of_three(), &says("b", "approve", 1));
    assert_eq!(refusal(&ballot, &delegates("a", "b", 2)), Refusal::HasSeat(person("b")));
    // Nor by an escalation.
    let approval = Approval::new("Publish?").who(["a", "b"]).quorum(2);
    let ballot = open(&approval.escalate(Duration::from_secs(60), ["b", "boss"]));
    let names = |ballot: &Ballot| ballot.may_decide();
    assert_eq!(names(&ballot.escalated().expect("not yet")), ["a", "b", "boss"]);
}

#[test]
fn a_reminder_and_an_escalation_happen_once() {
    let approval = Approval::new("Publish?").who(["a"]).remind(Duration::from_secs(5));
    let ballot = open(&approval.escalate(Duration::from_secs(60), ["boss"]));
    let once = ballot.reminded(1).expect("due");
    assert_eq!(once.reminded(1), None, "the second leader finds it sent");
    assert!(once.reminded(2).is_some());
    let asked = once.escalated().expect("due");
    assert_eq!(asked.escalated(), None);
    let decided = after(&asked, &says("boss", "approve", 1));
    assert_eq!(
        (decided.reminded(2), decided.escalated()),
        (None, None),
        "nobody waits any more"
    );
}

// The rules.

#[test]
fn an_unreachable_quorum_rejects() {
    let ballot = after(&two_of_three(), &says("a", "reject", 1));
    assert_eq!(ended(&ballot), None, "b and c can still approve");
    let ballot = after(&ballot, &says("c", "reject", 2));
    assert_eq!(ended(&ballot), Some(("reject", false, &Cause::Unreachable)));
    assert_eq!(ballot.rule(&says("b", "approve", 3), false), Ruling::TooLate);
}

#[test]
fn votes_that_split_reject_with_the_choice_against_it() {
    let choices = [
        Choice::accepts("tea"),
        Choice::accepts("coffee"),
        Choice::rejects("nothing"),
    ];
    let approval = Approval::new("What to drink?")
        .choices(choices)
        .who(["a", "b"])
        .quorum(2);
    let ballot = after(&open(&approval), &says("a", "tea", 1));
    let ballot = after(&ballot, &says("b", "coffee", 2));
    assert_eq!(ended(&ballot), Some(("nothing", false, &Cause::Unreachable)));
}

#[test]
fn only_who_is_named_may_decide() {
    let ballot = two_of_three();
    let Refusal::NoSeat { may } = refusal(&ballot, &says("eve", "approve", 1)) else {
        panic!("another refusal");
    };
    assert_eq!(may, ["a", "b", "c"]);
    assert_eq!(refusal(&ballot, &says(NOBODY, "approve", 1)), Refusal::Nobody);
    let refused = refusal(&ballot, &says("a", "maybe", 1));
    let Refusal::NoChoice { choices, .. } = &refused else {
        panic!("another refusal");
    };
    assert_eq!(choices, &["approve", "reject"]);
    assert!(refused.to_string().contains("chose \"maybe\""), "{refused}");
}

#[test]
fn a_choice_against_it_needs_no_form() {
    let schema = Json::parse(r#"{"type":"object","required":["n"]}"#).expect("JSON");
    let ballot = open(&Approval::of(Preset::Form, "How many?").form(schema));
    assert!(ballot.needs_form("submit") && !ballot.needs_form("decline") && !ballot.needs_form("maybe"));
    assert!(!two_of_three().needs_form("approve"), "nothing asks for one");
}

#[test]
fn where_nobody_is_named_whoever_comes_first_decides() {
    let anybody = open(&Approval::new("Publish?"));
    for (by, choice, accepted) in [(NOBODY, "approve", true), ("eve", "reject", false)] {
        let decided = after(&anybody, &says(by, choice, 1)).decided.expect("an outcome");
        assert_eq!((decided.choice.as_str(), decided.accepted), (choice, accepted));
    }
    assert_eq!(refusal(&anybody, &delegates("a", "b", 1)), Refusal::NoSeats);
}

#[test]
fn four_eyes_keep_out_whoever_worked_on_it() {
    let approval = Approval::new("Publish?").who(["ada", "bob", "eve"]).four_eyes();
    let barred = [person("ada"), person("zoe")];
    let ballot = fixed(&approval, nobody_known, Some(&barred)).expect("two are left");
    assert_eq!(ballot.may_decide(), ["bob", "eve"]);
    assert_eq!(refusal(&ballot, &says("ada", "approve", 1)), Refusal::FourEyes);
    assert_eq!(
        refusal(&ballot, &delegates("bob", "zoe", 1)),
        Refusal::Barred(person("zoe"))
    );
    assert_eq!(
        ended(&after(&ballot, &says("eve", "approve", 1))),
        Some(("approve", true, &Cause::Quorum))
    );

    // Where anybody may decide, nobody in particular might be one of those.
    let anybody = fixed(&Approval::new("Publish?").four_eyes(), nobody_known, Some(&barred)).expect("open");
    assert_eq!(refusal(&anybody, &says(NOBODY, "approve", 1)), Refusal::FourEyes);
    assert_eq!(refusal(&anybody, &says("zoe", "approve", 1)), Refusal::FourEyes);

    let unknown = fixed(&approval, nobody_known, None).expect_err("the submitter is not known");
    assert_eq!(unknown.field, "four_eyes");
    let too_few = fixed(&approval.quorum(3), nobody_known, Some(&barred)).expect_err("two cannot be three");
    assert_eq!(too_few.field, "quorum");
}

#[test]
fn the_members_of_a_group_are_fixed_when_it_opens() {
    let members = |group: &str| (group == "editors").then(|| vec![person("bob"), person("ada")]);
    let approval = Approval::new("Publish?").who(["ada", "group:editors"]).quorum(2);
    let ballot = fixed(&approval, members, None).expect("known");
    assert_eq!(ballot.may_decide(), ["ada", "bob"]);
    let unknown = fixed(&approval.who(["group:none"]), members, None).expect_err("unknown");
    assert!(unknown.to_string().contains("group:none"), "{unknown}");
}

#[test]
fn its_time_over_it_is_denied_unless_it_says_otherwise() {
    let due = |approval: Approval| open(&approval.due(Duration::from_secs(60))).at_due();
    let denied = due(Approval::new("Publish?"));
    assert_eq!(
        (denied.choice.as_str(), denied.accepted, denied.cause),
        ("reject", false, Cause::Due)
    );
    let accepted = due(Approval::new("Publish?").or_else("approve"));
    assert_eq!((accepted.choice.as_str(), accepted.accepted), ("approve", true));
    let nothing_against = due(Approval::of(Preset::Clarification, "Which one?"));
    assert_eq!(
        (nothing_against.choice.as_str(), nothing_against.accepted),
        (DENY, false)
    );
}

#[test]
fn an_operator_may_decide_in_the_place_of_all_until_it_is_certain() {
    let ballot = after(&two_of_three(), &says("a", "reject", 1));
    let overridden = ballot.overridden("approve").expect("open");
    assert_eq!(ended(&overridden), Some(("approve", true, &Cause::Override)));
    assert_eq!(overridden.overridden("reject"), None);
    assert_eq!(ballot.overridden("maybe"), None);
}

#[test]
fn an_approval_that_nobody_could_decide_is_refused_by_its_field() {
    let long = format!("{{\"title\":\"{}\"}}", "x".repeat(LONGEST_FORM));
    let json = |text: &str| Json::parse(text).expect("JSON");
    let minute = Duration::from_secs(60);
    for (field, approval) in [
        ("title", Approval::new("two\nlines")),
        ("preset", Approval::of(Preset::Override, "x")),
        ("preset", Approval::of(Preset::Unknown("vote".to_owned()), "x")),
        ("choices", Approval::new("x").choices([Choice::accepts("delegate")])),
        (
            "choices",
            Approval::new("x").choices([Choice::accepts("a"), Choice::rejects("a")]),
        ),
        ("choices", Approval::new("x").choices([Choice::accepts("a.b")])),
        ("choices", Approval::new("x").choices([Choice::rejects("no")])),
        (
            "choices",
            Approval::new("x").choices((0..17).map(|n| Choice::accepts(format!("c{n}")))),
        ),
        ("form", Approval::of(Preset::Form, "x")),
        ("form", Approval::new("x").form(json(&long))),
        ("who", Approval::new("x").who(["Ada"])),
        ("who", Approval::new("x").who((0..65).map(|n| format!("p{n}")))),
        ("quorum", Approval::new("x").quorum(2)),
        ("quorum", Approval::new("x").who(["ada", "ada"]).quorum(2)),
        ("remind_ms", Approval::new("x").remind(Duration::from_millis(10))),
        ("due_ms", Approval::new("x").due(Duration::ZERO)),
        ("escalate.to", Approval::new("x").escalate(minute, [""; 0])),
        ("default", Approval::new("x").or_else("maybe")),
    ] {
        let refused = fixed(&approval, nobody_known, Some(&[])).expect_err(field);
        assert_eq!(refused.field, field, "{refused}");
    }
}

#[test]
fn what_a_body_says_is_read_or_refused() {
    assert_eq!(
        Word::read("approve", b"whatever"),
        Ok(Word::Choice("approve".to_owned()))
    );
    assert_eq!(
        Word::read(DELEGATE, br#"{"to": "bob"}"#),
        Ok(Word::Delegate(person("bob")))
    );
    for bad in ["", "bob", "{}", r#"{"to": "Bob"}"#] {
        let refused = Word::read(DELEGATE, bad.as_bytes()).expect_err(bad);
        assert!(refused.contains(r#"{"to": "bob"}"#), "{refused}");
    }
}

#[test]
fn the_subject_of_a_decision_is_read_token_by_token() {
    let read = DecisionSubject::read("ada.order-42.2.publish.approve").expect("a decision");
    assert_eq!((read.by, read.hop), (Decider::Person(person("ada")), 2));
    assert_eq!(
        (read.intent.as_str(), read.wait.as_str(), read.choice.as_str()),
        ("order-42", "publish", "approve")
    );
    assert_eq!(
        DecisionSubject::read("-.o.1.w.no").map(|read| read.by),
        Ok(Decider::Nobody)
    );
    for (bad, said) in [
        ("ada.order-42.publish.approve", "<hop>"),
        ("Ada.order-42.2.publish.approve", "person"),
        ("ada.order-42.two.publish.approve", "number"),
        ("ada.order-42.0.publish.approve", "number"),
        ("ada.order-42.02.publish.approve", "number"),
        ("ada..2.publish.approve", "intent"),
    ] {
        let problem = DecisionSubject::read(bad).expect_err(bad);
        assert!(problem.contains(said), "{bad}: {problem}");
    }
}

#[test]
fn a_ballot_survives_a_round_trip() {
    let approval = Approval::new("Publish?")
        .who(["a", "b", "c"])
        .quorum(2)
        .due(Duration::from_secs(1));
    let ballot = after(&open(&approval), &says("a", "approve", 7));
    let text = serde_json::to_string(&ballot).expect("JSON");
    assert_eq!(
        serde_json::from_str::<Ballot>(&text).expect("a ballot"),
        ballot,
        "{text}"
    );
    let text = serde_json::to_string(&approval).expect("JSON");
    assert_eq!(
        serde_json::from_str::<Approval>(&text).expect("an approval"),
        approval,
        "{text}"
    );
    assert_eq!(
        serde_json::from_str::<Approval>("{}").expect("an approval"),
        Approval::default()
    );
}

// The presets.

#[test]
fn each_preset_that_a_hop_may_ask_for_is_decided_by_its_choices() {
    for row in &PRESETS {
        let mut approval = Approval::of(row.preset.clone(), "A question");
        if row.form == "*" {
            approval = approval.form(Json::parse("{}").expect("JSON"));
        }
        if row.accepts.is_empty() {
            let refused = fixed(&approval, nobody_known, Some(&[])).expect_err("an operator's act");
            assert_eq!(refused.field, "preset", "{refused}");
            continue;
        }
        let ballot = open(&approval);
        assert_eq!(ballot.form, !row.form.is_empty(), "{:?}", row.preset);
        for (choices, accepted) in [(row.accepts, true), (row.rejects, false)] {
            for choice in choices {
                let decided = after(&ballot, &says(NOBODY, choice, 1)).decided.expect("an outcome");
                assert_eq!((decided.choice.as_str(), decided.accepted), (*choice, accepted));
            }
        }
    }
    assert_eq!(PRESETS.len(), Preset::ALL.len());
}

#[test]
fn an_assignment_moves_a_seat_and_an_override_decides() {
    let ballot = after(&two_of_three(), &says("a", "approve", 1));
    let assigned = ballot.assigned(&person("a"), &person("d")).expect("a has a seat");
    assert_eq!(
        (assigned.may_decide(), assigned.silent().len()),
        (vec!["d".into(), "b".into(), "c".into()], 3)
    );
    assert_eq!(
        ballot.assigned(&person("a"), &person("b")),
        Err(Refusal::HasSeat(person("b")))
    );
    assert!(matches!(
        ballot.assigned(&person("x"), &person("d")),
        Err(Refusal::NoSeat { .. })
    ));
}

// Against a reference.

const PEOPLE: [&str; 5] = ["a", "b", "c", "d", "e"];
const CHOICES: [&str; 3] = ["tea", "coffee", "nothing"];

/// The outcome by trying every way in which the seats that have not voted could still vote.
fn by_brute_force(votes: &[Option<usize>], quorum: usize) -> Option<bool> {
    let has =
        |votes: &[Option<usize>]| (0..2).any(|choice| votes.iter().filter(|v| **v == Some(choice)).count() >= quorum);
    if has(votes) {
        return Some(true);
    }
    let mut ways = vec![votes.to_vec()];
    for at in 0..votes.len() {
        if votes[at].is_none() {
            let one = |way: &Vec<Option<usize>>, choice| {
                let mut way = way.clone();
                way[at] = Some(choice);
                way
            };
            ways = ways
                .iter()
                .flat_map(|way| (0..3).map(move |choice| one(way, choice)))
                .collect();
        }
    }
    (!ways.iter().any(|way| has(way))).then_some(false)
}

/// A seat of the reference: who sits there, the vote, and the place of the last word about it.
type Place = (usize, Option<usize>, u64);

/// What a word is worth, step by step and without the code under test.
fn judged(
    seats: &mut [Place],
    decided: &mut Option<bool>,
    quorum: usize,
    said: (usize, Result<usize, usize>, u64),
) -> &'static str {
    let (by, word, seq) = said;
    if decided.is_some() {
        return "late";
    }
    let Some(at) = seats.iter().position(|seat| seat.0 == by) else {
        return "refused";
    };
    if seats[at].2 > seq {
        return "older";
    }
    match word {
        Ok(choice) => seats[at] = (by, Some(choice), seq),
        Err(to) if seats.iter().any(|seat| seat.0 == to) => return "refused",
        Err(to) => seats[at] = (to, None, seq),
    }
    if word.is_ok() {
        let votes: Vec<Option<usize>> = seats.iter().map(|seat| seat.1).collect();
        *decided = by_brute_force(&votes, quorum);
    }
    "counts"
}

proptest! {
    #[test]
    fn every_schedule_ends_as_the_reference_says(
        sitting in 1_usize..4,
        quorum in 1_usize..4,
        words in proptest::collection::vec((0_usize..5, 0_usize..8), 1..9),
        order in proptest::collection::vec(any::<prop::sample::Index>(), 9),
    ) {
        prop_assume!(quorum <= sitting);
        let choices = [Choice::accepts(CHOICES[0]), Choice::accepts(CHOICES[1]), Choice::rejects(CHOICES[2])];
        let approval = Approval::new("?").choices(choices).who(PEOPLE[..sitting].iter().copied()).quorum(u32::try_from(quorum).expect("small"));
        let mut ballot = open(&approval);
        let mut seats: Vec<Place> = (0..sitting).map(|person| (person, None, 0)).collect();
        let mut decided = None;
        // They come in any order, and some twice.
        let arrivals = order.iter().map(|index| index.index(words.len()));
        for at in (0..words.len()).chain(arrivals) {
            let (by, word) = words[at];
            let seq = u64::try_from(at).expect("small") + 1;
            let (word, said) = match word.checked_sub(3) {
                None => (Ok(word), says(PEOPLE[by], CHOICES[word], seq)),
                Some(to) => (Err(to), delegates(PEOPLE[by], PEOPLE[to], seq)),
            };
            let ruling = ballot.rule(&said, false);
            let found = match &ruling {
                Ruling::Counts(_) => "counts",
                Ruling::Older => "older",
                Ruling::TooLate => "late",
                Ruling::Refused(_) => "refused",
            };
            prop_assert_eq!(found, judged(&mut seats, &mut decided, quorum, (by, word, seq)), "{:?}", said);
            if let Ruling::Counts(after) = ruling {
                ballot = *after;
            }
            prop_assert_eq!(ballot.decided.as_ref().map(|decided| decided.accepted), decided);
            // One person, one vote.
            let people: BTreeSet<_> = ballot.seats.iter().map(|seat| seat.person.clone()).collect();
            prop_assert_eq!(people.len(), sitting);
        }
    }
}
