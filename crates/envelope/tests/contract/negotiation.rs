//! Which form a sender and a receiver have in common.

use baton_envelope::*;
use proptest::prelude::*;

use crate::generators::any_protocol;
use crate::samples::*;

fn protocol(text: &str) -> Protocol {
    text.parse().expect("a version")
}

fn range(text: &str) -> ProtocolRange {
    let (oldest, newest) = text.split_once('-').expect("two versions");
    ProtocolRange::new(protocol(oldest), protocol(newest)).expect("in order")
}

/// What two have in common, for every pair of the ranges in the first column; `-` is nothing. This build knows 1.7.0
/// and 2.0.0 as the newest of their majors.
const MATRIX: [(&str, [&str; 8]); 8] = [
    ("1.0-1.0", ["1.0", "1.0", "1.0", "1.0", "-", "-", "-", "-"]),
    ("1.0-1.1", ["1.0", "1.1", "1.1", "1.1", "-", "-", "-", "-"]),
    ("1.0-2.0", ["1.0", "1.1", "2.0", "1.7", "2.0", "2.0", "-", "2.0"]),
    ("1.3-1.8", ["1.0", "1.1", "1.7", "1.8", "-", "-", "-", "-"]),
    ("2.0-2.0", ["-", "-", "2.0", "-", "2.0", "2.0", "-", "2.0"]),
    ("2.0-3.1", ["-", "-", "2.0", "-", "2.0", "3.1", "3.1", "3.1"]),
    ("3.0-3.2", ["-", "-", "-", "-", "-", "3.1", "3.2", "3.2"]),
    ("2.4-4.0", ["-", "-", "2.0", "-", "2.0", "3.1", "3.2", "4.0"]),
];

#[test]
fn the_newest_form_in_common_is_as_the_matrix_has_it() {
    for (sender, row) in MATRIX {
        for (receiver, expected) in MATRIX.iter().map(|(receiver, _)| *receiver).zip(row) {
            let found = range(sender).newest_common(range(receiver));
            let expected = Some(expected).filter(|text| *text != "-").map(protocol);
            assert_eq!(found, expected, "{sender} to {receiver}");
        }
    }
}

proptest! {
    #[test]
    fn the_form_is_of_the_highest_major_that_both_cover(a in any_protocol(), b in any_protocol(), c in any_protocol(), d in any_protocol()) {
        let one = ProtocolRange::new(a.min(b), a.max(b)).expect("in order");
        let other = ProtocolRange::new(c.min(d), c.max(d)).expect("in order");
        let covers = |range: ProtocolRange, major: u32| (range.oldest.major()..=range.newest.major()).contains(&major);
        let highest = (0..9).rev().find(|major| covers(one, *major) && covers(other, *major));
        let found = one.newest_common(other);
        prop_assert_eq!(found.map(Protocol::major), highest);
        prop_assert_eq!(found, other.newest_common(one), "who sends makes no difference");
        for range in [one, other] {
            prop_assert!(found.is_none_or(|found| found <= range.newest), "newer than {} knows", range);
        }
    }

    #[test]
    fn a_range_contains_its_ends_and_what_lies_between(a in any_protocol(), b in any_protocol(), at in any_protocol()) {
        let Ok(range) = ProtocolRange::new(a, b) else {
            prop_assert!(a > b);
            return Ok(());
        };
        prop_assert!(range.contains(a) && range.contains(b));
        prop_assert_eq!(range.contains(at), a <= at && at <= b);
    }
}

#[test]
fn the_ranges_of_this_build_are_what_it_reads_and_what_it_writes() {
    assert_eq!(ProtocolRange::of_build(), range("1.0.0-1.7.0"));
    assert_eq!(ProtocolRange::of_forms(), range("1.0.0-2.0.0"));
    assert_eq!(ProtocolRange::of_build().to_string(), "1.0.0 - 1.7.0");
    let upside_down = ProtocolRange::new(protocol("2.0"), protocol("1.0")).expect_err("upside down");
    assert!(
        upside_down.contains("2.0.0") && upside_down.contains("1.0.0"),
        "{upside_down}"
    );
    for (version, readable) in [("1.9.0", true), ("2.0.0", true), ("3.0.0", false), ("0.9.0", false)] {
        assert_eq!(protocol(version).is_readable(), readable, "{version}");
    }
}

#[test]
fn a_declaration_without_a_range_means_the_first_version_for_ever() {
    assert_eq!(ProtocolRange::default(), range("1.0.0-1.0.0"));
    let mut declaration = full_declaration();
    // A build of 1.0 leaves its range out; one of this build must not, or it would be taken for one of those.
    declaration.protocol = ProtocolRange::default();
    let silent = serde_json::to_string(&declaration).expect("JSON");
    assert!(!silent.contains("\"protocol\""), "{silent}");
    let read: Declaration = serde_json::from_str(&silent).expect("a declaration");
    assert_eq!(read.protocol, range("1.0.0-1.0.0"));
    declaration.protocol = ProtocolRange::of_build();
    let said = serde_json::to_string(&declaration).expect("JSON");
    assert!(
        said.contains(r#""protocol":{"oldest":"1.0.0","newest":"1.7.0"}"#),
        "{said}"
    );
}

#[test]
fn two_without_a_common_major_are_told_both_ranges_and_the_fix() {
    let (sender, receiver) = (ProtocolRange::of_forms(), range("3.0-3.2"));
    assert_eq!(sender.newest_common(receiver), None);
    let error = NoCommonProtocol {
        agent: agent("code"),
        version: version("4.0.0"),
        sender,
        receiver,
    };
    let text = error.to_string();
    for part in [
        "\"code\"",
        "4.0.0",
        "1.0.0 - 2.0.0",
        "3.0.0 - 3.2.0",
        "route the work to",
        "upgrade",
    ] {
        assert!(text.contains(part), "{text}");
    }
}
