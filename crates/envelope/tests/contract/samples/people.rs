//! What people are asked and answer, with every field set.

use baton_envelope::people::{
    Approval, Ballot, Cause, Choice, Decided, Decision, PeopleAct, PeopleEntry, Preset, Seat, Vote,
};
use baton_envelope::*;

use super::{NOW, json};

fn person(name: &str) -> PersonName {
    name.parse().expect("a person")
}

pub(crate) fn full_choice() -> Choice {
    Choice {
        title: Some("No".to_owned()),
        ..Choice::rejects("reject")
    }
}

/// An approval in which every field is set, none to its default.
pub(crate) fn full_approval() -> Approval {
    let day = std::time::Duration::from_secs(86_400);
    let approval = Approval::of(Preset::Review, "May this be published?")
        .text("The article names the zoo.")
        .choices([Choice::accepts("approve"), full_choice()])
        .form(json("{\"type\":\"object\"}"))
        .who(["ada", "group:editors"])
        .quorum(2)
        .four_eyes()
        .remind(day / 4)
        .escalate(day / 2, ["boss"])
        .due(day)
        .or_else("approve");
    Approval {
        barred: vec![person("bob")],
        ..approval
    }
}

/// A ballot in which every field is set, none to its default.
pub(crate) fn full_ballot() -> Ballot {
    Ballot {
        seats: vec![Seat {
            person: Some(person("ada")),
            choice: Some("approve".to_owned()),
            said: 7,
            seq: Some(17),
            extra: Extra::new(),
        }],
        reminded: 1,
        decided: Some(Decided {
            choice: "approve".to_owned(),
            accepted: true,
            cause: Cause::Quorum,
            extra: Extra::new(),
        }),
        ..Ballot::of(&full_approval())
    }
}

/// A decision in which every field is set, none to its default.
pub(crate) fn full_decision() -> Decision {
    let vote = Vote {
        form: json("{\"comment\":\"good\"}"),
        at: Some(NOW),
        seq: Some(17),
        ..Vote::new("ada", "approve")
    };
    Decision {
        votes: vec![vote],
        ..Decision::of(&full_ballot()).expect("decided")
    }
}

pub(crate) fn full_people() -> PeopleEntry {
    PeopleEntry {
        by: Some("ada".to_owned()),
        choice: Some("approve".to_owned()),
        form: json("{\"comment\":\"good\"}"),
        from: Some(person("ada")),
        to: vec!["bob".to_owned()],
        number: Some(1),
        id: Some("m-2".to_owned()),
        said: Some(7),
        at: Some(NOW),
        ..PeopleEntry::new(PeopleAct::Decided, 3, "legal")
    }
}
