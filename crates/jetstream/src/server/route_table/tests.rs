//! What the table takes, refuses and trusts.

use super::*;

fn moment(seconds: u64) -> Moment {
    static START: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
    let start = *START.get_or_init(Instant::now);
    Moment {
        at: start + Duration::from_secs(seconds),
        wall: Timestamp::from_unix_millis(0).plus(Duration::from_secs(seconds)),
    }
}

fn mark(seq: u64) -> RouteMark {
    let stored = Timestamp::from_unix_millis(0)
        .plus(Duration::from_secs(seq))
        .to_string();
    RouteMark { seq, stored }
}

fn change(seq: u64, agent: &str, version: &str) -> RouteChange {
    let agent: AgentName = agent.parse().expect("name");
    let version = version.parse().expect("version");
    RouteChange {
        at: mark(seq),
        route: Some(Route::first(
            agent.clone(),
            version,
            Timestamp::from_unix_millis(0),
            "test",
        )),
        agent: Some(agent),
    }
}

fn active(table: &RouteTable, agent: &str) -> Option<String> {
    let (route, _) = table.get(&agent.parse().expect("name"), moment(0));
    route.map(|route| route.active.to_string())
}

fn loaded() -> RouteTable {
    let table = RouteTable::default();
    table.follow(1);
    table.load(vec![change(3, "a", "1.0.0"), change(5, "b", "1.0.0")], mark(5));
    table.proved(moment(0), 0);
    table
}

#[test]
fn the_loss_of_another_agents_change_is_a_gap() {
    let table = loaded();
    assert_eq!(table.take(change(5, "b", "9.0.0")), Taken::Known);
    assert_eq!(table.take(change(6, "a", "2.0.0")), Taken::Applied);
    assert_eq!(table.freshness(moment(0)), Freshness::Fresh);
    assert_eq!(table.take(change(8, "a", "3.0.0")), Taken::Gap);
    assert_eq!(table.freshness(moment(0)), Freshness::Stale, "until the delta is read");
    assert_eq!(active(&table, "a").as_deref(), Some("2.0.0"));
    assert_eq!(table.advance([change(7, "b", "2.0.0"), change(8, "a", "3.0.0")]), 2);
    assert_eq!(
        (active(&table, "a").as_deref(), active(&table, "b").as_deref()),
        (Some("3.0.0"), Some("2.0.0"))
    );
    assert_eq!(table.mark(), mark(8));
}

#[test]
fn a_revision_is_never_lowered() {
    let table = loaded();
    let RouteChange { route, .. } = change(7, "a", "3.0.0");
    table.put(route.expect("a route"), 7);
    assert_eq!(table.take(change(6, "a", "2.0.0")), Taken::Applied);
    assert_eq!(
        active(&table, "a").as_deref(),
        Some("3.0.0"),
        "its own decision is newer"
    );
    assert_eq!(table.take(change(7, "a", "3.0.0")), Taken::Applied);
    assert_eq!(table.mark(), mark(7));
}

#[test]
fn a_removed_route_is_kept_as_lost_and_an_odd_key_only_moves_the_mark() {
    let table = loaded();
    let deleted = RouteChange {
        route: None,
        ..change(6, "a", "1.0.0")
    };
    assert_eq!(table.take(deleted), Taken::Applied);
    assert_eq!(
        active(&table, "a").as_deref(),
        Some("1.0.0"),
        "a removal is no decision"
    );
    assert_eq!(table.lost(), ["a".parse().expect("name")]);
    let odd = RouteChange {
        agent: None,
        ..change(7, "a", "1.0.0")
    };
    assert_eq!(table.take(odd), Taken::Applied);
    assert_eq!((active(&table, "a").as_deref(), table.mark()), (Some("1.0.0"), mark(7)));
    assert_eq!(table.take(change(8, "a", "2.0.0")), Taken::Applied);
    assert_eq!(active(&table, "a").as_deref(), Some("2.0.0"));
    assert!(table.lost().is_empty(), "it was decided anew");
}

#[test]
fn age_counts_by_the_clock_that_says_more() {
    let table = loaded();
    assert_eq!(table.freshness(moment(2)), Freshness::Fresh);
    assert_eq!(table.freshness(moment(4)), Freshness::Aging);
    assert_eq!(table.freshness(moment(5)), Freshness::Stale);
    // The machine slept: its monotonic clock did not run.
    let (at, wall) = (moment(0).at, moment(60).wall);
    assert_eq!(table.freshness(Moment { at, wall }), Freshness::Stale);
    // The wall clock was set back.
    let (at, wall) = (moment(60).at, moment(0).wall);
    assert_eq!(table.freshness(Moment { at, wall }), Freshness::Stale);
    table.fail();
    assert_eq!(table.freshness(moment(5)), Freshness::Unprovable);
    assert_eq!(
        table.freshness(moment(2)),
        Freshness::Fresh,
        "a failed proof takes nothing away"
    );
}

#[test]
fn a_time_that_does_not_fit_its_sequence_shows_another_bucket() {
    for (seq, time) in [(2, 9), (5, 9), (6, 3)] {
        let table = loaded();
        let mut change = change(seq, "a", "7.0.0");
        change.at.stored = mark(time).stored;
        assert_eq!(table.take(change), Taken::Gap, "{seq} at {time}");
        assert_eq!(active(&table, "a").as_deref(), Some("1.0.0"));
    }
}

#[test]
fn a_bucket_that_was_made_again_starts_from_its_first_revision() {
    let table = loaded();
    table.reset();
    assert_eq!(table.take(change(6, "a", "8.0.0")), Taken::Gap, "of the old bucket");
    table.load(vec![change(1, "a", "0.1.0")], mark(1));
    assert_eq!(
        (active(&table, "a").as_deref(), active(&table, "b").as_deref()),
        (Some("0.1.0"), Some("1.0.0"))
    );
    assert_eq!(table.lost(), ["b".parse().expect("name")], "the new bucket has none");
    table.unfollow();
    assert!(!table.is_loaded());
}
