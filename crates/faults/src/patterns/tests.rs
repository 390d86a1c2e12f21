//! Every pattern comes, and a piece that stays parked holds nobody up.

use std::collections::BTreeSet;

use super::*;

#[test]
fn a_number_gives_the_same_work_each_time_and_every_pattern_comes() {
    let mut seen = BTreeSet::new();
    for number in 0..2_000 {
        let (one, same) = (piece(7, number), piece(7, number));
        assert_eq!(format!("{one:?}"), format!("{same:?}"));
        let text = serde_json::to_string(&one.work).expect("JSON");
        let words = [
            "fan_out",
            "collect",
            "all",
            "any",
            "at_least",
            "within_ms",
            "undo_hop",
            "\"detach\":true",
            "next",
            "\"broadcast\":",
            "\"nobody\"",
        ];
        seen.extend(words.into_iter().filter(|word| text.contains(word)));
        let more = [
            (one.more.order_key.is_some(), "a key"),
            (!one.more.itinerary.is_empty(), "a way"),
            (!one.more.receivers.is_empty(), "receivers"),
            (one.more.compensates, "a saga"),
            (text.matches("children").count() > 1, "children of children"),
            (
                one.deadline.is_some() && text.contains("children"),
                "children with a deadline",
            ),
        ];
        seen.extend(more.into_iter().filter(|(is, _)| *is).map(|(_, what)| what));
    }
    assert_eq!(seen.len(), 17, "{seen:?}");
}

#[test]
fn who_asks_nobody_is_meant_to_stay_parked_and_holds_no_version_that_must_drain() {
    let asks_nobody = |piece: &Piece| serde_json::to_string(&piece.work).expect("JSON").contains("\"nobody\"");
    let pieces = (0..4_000).map(|number| piece(7, number)).filter(asks_nobody);
    let mut count = 0;
    for piece in pieces {
        assert_eq!(
            (piece.kind, &*piece.tried.expect),
            (kind::STAY, &["parked:UNKNOWN_AGENT".to_owned()][..])
        );
        let ends = piece.work.turns.iter().map(|turn| &turn.end);
        assert!(piece.to != "gamma" && ends.into_iter().all(|end| *end != End::HandOff("gamma".to_owned())));
        count += 1;
    }
    assert!(count >= 5, "only {count}");
}

#[test]
fn each_seed_has_each_pattern_and_leaves_room_for_the_rest() {
    for seed in 0..200 {
        let shares = shares(seed);
        assert!(shares.iter().all(|(_, share)| *share >= 2));
        assert!(shares.iter().map(|(_, share)| share).sum::<u32>() < 60, "{shares:?}");
    }
}
