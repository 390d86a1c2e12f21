//! Decisions on routes, and what the evidence makes of them.

use baton_envelope::rollout::{self, Act, StartPlan};
use baton_envelope::*;

use crate::samples::{NOW, agent, version};

fn act(by: &str) -> Act {
    Act::new(by, NOW)
}

fn percent(value: u64) -> Percent {
    Percent::new(value).expect("percent")
}

fn declaration(text: &str) -> Declaration {
    Declaration {
        version: version(text),
        kinds: Vec::new(),
        ..crate::samples::full_declaration()
    }
}

/// 1.0.0 active, 2.0.0 ready.
fn route() -> Route {
    let first = rollout::declare(None, &declaration("1.0.0"), &act("controller")).expect("the first route");
    rollout::declare(Some(&first), &declaration("2.0.0"), &act("controller")).expect("a new version")
}

fn plan(steps: &[u64]) -> StartPlan {
    StartPlan {
        id: "r1".to_owned(),
        version: version("2.0.0"),
        steps: steps.iter().copied().map(percent).collect(),
        hold_seconds: 0,
        auto: true,
        at_once: false,
        margins: Margins::default(),
    }
}

fn state(route: &Route, text: &str) -> String {
    route.state(&version(text)).expect("a known version").to_string()
}

#[test]
fn a_rollout_ramps_promotes_drains_and_ends() {
    let route = rollout::start(&route(), plan(&[10, 50]), &act("alice")).expect("started");
    assert_eq!(
        (state(&route, "1.0.0"), state(&route, "2.0.0")),
        ("active".into(), "canary".into())
    );
    assert_eq!(route.canary.as_ref().map(|canary| canary.percent), Some(percent(10)));
    let route = rollout::advance(&route, false, &act("alice")).expect("50 %");
    assert_eq!(route.canary.as_ref().map(|canary| canary.percent), Some(percent(50)));
    let route = rollout::advance(&route, false, &act("alice")).expect("promoted");
    assert_eq!(
        (state(&route, "1.0.0"), state(&route, "2.0.0")),
        ("draining".into(), "active".into())
    );
    assert_eq!(
        (route.canary.clone(), route.previous.clone()),
        (None, Some(version("1.0.0")))
    );
    let error = rollout::retire(&route, &version("1.0.0"), &act("alice")).expect_err("it drains still");
    assert_eq!(error.code, "WRONG_STATE");
    let route = rollout::drained(&route, &version("1.0.0"), &act("controller")).expect("drained");
    assert_eq!(
        route.rollout.as_ref().map(|rollout| rollout.phase.clone()),
        Some(Phase::Done)
    );
    let route = rollout::retire(&route, &version("1.0.0"), &act("alice")).expect("retired");
    assert_eq!(state(&route, "1.0.0"), "retired");
    assert_eq!(route.decision.map(|decision| decision.what), Some("retired".to_owned()));
}

/// The names that an older command wrote where the environment had none.
#[test]
fn a_rollout_of_nobody_at_a_host_is_of_everybody_there() {
    let route = rollout::start(&route(), plan(&[10]), &act("cli@build-1")).expect("started");
    rollout::pause(&route, &act("ada@build-1")).expect("her own");
    for other in ["ada@build-2", "ada", "cli"] {
        let error = rollout::pause(&route, &act(other)).expect_err("not there");
        assert_eq!(error.code, "ROLLOUT_OWNED");
    }
}

#[test]
fn a_second_person_is_refused_with_the_owners_name_but_may_roll_back() {
    let route = rollout::start(&route(), plan(&[10]), &act("alice")).expect("started");
    for refused in [
        rollout::start(&route, plan(&[10]), &act("bob")),
        rollout::advance(&route, false, &act("bob")),
        rollout::pause(&route, &act("bob")),
        rollout::abort(&route, &act("bob")),
        rollout::activate(&route, &version("2.0.0"), &act("bob")),
    ] {
        let error = refused.expect_err("alice's");
        assert_eq!(error.code, "ROLLOUT_OWNED");
        assert!(error.to_string().contains("alice"), "{error}");
    }
    let taken = Act {
        take_over: true,
        ..act("bob")
    };
    rollout::pause(&route, &taken).expect("taken over");
    let back = rollout::rollback(&route, None, &act("bob")).expect("anyone may");
    assert_eq!(
        (state(&back, "1.0.0"), state(&back, "2.0.0")),
        ("active".into(), "draining".into())
    );
    assert_eq!(back.rollout.map(|rollout| rollout.phase), Some(Phase::RolledBack));
}

#[test]
fn a_rollback_works_after_the_promotion_too_even_from_drained_and_retired() {
    let promoted = rollout::start(&route(), plan(&[100]), &act("alice")).expect("at once");
    let drained = rollout::drained(&promoted, &version("1.0.0"), &act("controller")).expect("drained");
    let retired = rollout::retire(&drained, &version("1.0.0"), &act("alice")).expect("retired");
    for route in [promoted, drained, retired] {
        let back = rollout::rollback(&route, None, &act("bob")).expect("back to 1.0.0");
        assert_eq!((back.active.clone(), back.canary.clone()), (version("1.0.0"), None));
        assert_eq!(
            (state(&back, "1.0.0"), state(&back, "2.0.0")),
            ("active".into(), "draining".into())
        );
        // What comes between makes no difference: drains and declarations come by themselves.
        let back = rollout::drained(&back, &version("2.0.0"), &act("controller")).expect("drained");
        let error =
            rollout::rollback(&back, None, &act("bob")).expect_err("not on to an older one, nor to the bad one");
        assert_eq!(error.code, "ALREADY_ROLLED_BACK");
        let again = rollout::rollback(&back, Some(&version("2.0.0")), &act("bob")).expect("and forth, when named");
        assert_eq!(again.active, version("2.0.0"));
        assert_eq!(back.rollout.map(|rollout| rollout.phase), Some(Phase::RolledBack));
    }
}

#[test]
fn a_bad_active_version_that_is_quarantined_leaves_new_work_to_the_one_before() {
    let promoted = rollout::start(&route(), plan(&[100]), &act("alice")).expect("at once");
    let after = rollout::quarantine(&promoted, &version("2.0.0"), &act("bob")).expect("quarantined");
    assert_eq!(
        (state(&after, "1.0.0"), state(&after, "2.0.0")),
        ("active".into(), "quarantined".into())
    );
    let lifted = rollout::lift(&after, &version("2.0.0"), &act("bob")).expect("lifted");
    assert_eq!(state(&lifted, "2.0.0"), "draining");
    // The only version: new work waits on it.
    let alone = rollout::declare(None, &declaration("1.0.0"), &act("controller")).expect("a route");
    let alone = rollout::quarantine(&alone, &version("1.0.0"), &act("bob")).expect("quarantined");
    assert_eq!(
        (alone.active.clone(), state(&alone, "1.0.0")),
        (version("1.0.0"), "quarantined".into())
    );
    let lifted = rollout::lift(&alone, &version("1.0.0"), &act("bob")).expect("lifted");
    assert_eq!(state(&lifted, "1.0.0"), "active");
}

#[test]
fn a_declaration_is_news_once() {
    let route = route();
    assert_eq!(
        rollout::declare(Some(&route), &declaration("2.0.0"), &act("controller")),
        None
    );
    let silent = rollout::silent(&route, &version("2.0.0"), &act("controller")).expect("ready before");
    assert_eq!(state(&silent, "2.0.0"), "declared");
    assert_eq!(
        rollout::silent(&route, &version("1.0.0"), &act("controller")),
        None,
        "the active one stays"
    );
    let error = rollout::start(&silent, plan(&[10]), &act("alice")).expect_err("no workers");
    assert_eq!(error.code, "WRONG_STATE");
    let heard = rollout::declare(Some(&silent), &declaration("2.0.0"), &act("controller")).expect("heard again");
    assert_eq!(state(&heard, "2.0.0"), "ready");
}

#[test]
fn a_route_of_a_1_0_controller_knows_its_active_version_only() {
    let old: Route = serde_json::from_str(
        r#"{"agent":"code","active":"1.0.0","updated_at":"2026-11-21T05:00:00.000Z","updated_by":"x","acme-note":1}"#,
    )
    .expect("a route of 1.0");
    assert_eq!(state(&old, "1.0.0"), "active");
    let next = rollout::declare(Some(&old), &declaration("2.0.0"), &act("controller")).expect("news");
    let next = rollout::start(&next, plan(&[100]), &act("alice")).expect("at once");
    assert_eq!(state(&next, "1.0.0"), "draining");
    assert!(next.extra.contains_key("acme-note"));
}

// --- which version takes it -------------------------------------------------------------------------------------

fn asked<'a>(root: &'a IntentId, pins: &'a std::collections::BTreeMap<AgentName, AgentVersion>) -> Asked<'a> {
    Asked {
        root,
        kind: None,
        pins,
        path: &[],
    }
}

#[test]
fn a_chain_that_is_on_the_canary_stays_there_while_the_share_grows() {
    let pins = std::collections::BTreeMap::new();
    let mut route = rollout::start(&route(), plan(&[1, 100]), &act("alice")).expect("started");
    let ids: Vec<IntentId> = (0..5000).map(|n| format!("intent-{n}").parse().expect("id")).collect();
    let mut before = vec![false; ids.len()];
    for share in [0, 1, 10, 25, 50, 99, 100] {
        route.canary.as_mut().expect("a canary").percent = percent(share);
        let now: Vec<bool> = ids
            .iter()
            .map(|id| choose(&route, &asked(id, &pins)).expect("routable").version == version("2.0.0"))
            .collect();
        assert!(
            before.iter().zip(&now).all(|(before, now)| !before || *now),
            "it flaps at {share} %"
        );
        let count = now.iter().filter(|side| **side).count() as f64;
        // Six standard deviations of a binomial share of 5000.
        let (expected, spread) = (50.0 * share as f64, 6.0 * (5000.0_f64 * 0.25).sqrt());
        assert!((count - expected).abs() <= spread, "{count} of 5000 at {share} %");
        before = now;
    }
}

#[test]
fn pins_come_first_then_the_version_of_before_while_it_is_alive() {
    let route = rollout::start(&route(), plan(&[100]), &act("alice")).expect("1.0.0 drains");
    let root: IntentId = "order-1".parse().expect("id");
    let path = [PathEntry {
        agent: agent("code"),
        version: version("1.0.0"),
        extra: Extra::new(),
    }];
    let none = std::collections::BTreeMap::new();
    let pinned = [(agent("code"), version("1.0.0"))].into();
    let seen = Asked {
        path: &path,
        ..asked(&root, &none)
    };
    assert_eq!(
        choose(&route, &asked(&root, &none)).expect("routable").version,
        version("2.0.0")
    );
    assert_eq!(
        choose(&route, &asked(&root, &pinned)).expect("routable").why,
        Why::Pinned
    );
    assert_eq!(choose(&route, &seen).expect("routable").why, Why::SeenBefore);
    let drained = rollout::drained(&route, &version("1.0.0"), &act("controller")).expect("drained");
    assert_eq!(
        choose(&drained, &seen).expect("routable").version,
        version("2.0.0"),
        "it is not alive"
    );
    let retired = rollout::retire(&drained, &version("1.0.0"), &act("alice")).expect("retired");
    let refused = choose(&retired, &asked(&root, &pinned)).expect_err("retired");
    assert!(refused.to_string().contains("retired"), "{refused}");
}

#[test]
fn work_of_a_kind_that_the_canary_does_not_take_stays_with_the_active_version() {
    let mut route = rollout::start(&route(), plan(&[99, 100]), &act("alice")).expect("started");
    let none = std::collections::BTreeMap::new();
    let root: IntentId = "order-1".parse().expect("id");
    let of_kind = Asked {
        kind: Some("b"),
        ..asked(&root, &none)
    };
    route.versions.get_mut(&version("2.0.0")).expect("an entry").kinds = vec!["a".to_owned()];
    assert_eq!(choose(&route, &of_kind).expect("routable").version, version("1.0.0"));
    route.versions.get_mut(&version("1.0.0")).expect("an entry").kinds = vec!["a".to_owned()];
    let refused = choose(&route, &of_kind).expect_err("nobody takes it");
    assert!(refused.to_string().contains("\"b\""), "{refused}");
}

/// What of a version is held back, and why.
fn held(route: &Route, text: &str) -> (bool, Option<String>) {
    let pause = route.pause_of(&version(text)).and_then(|pause| pause.reason.clone());
    (route.holds_back(&version(text), NOW), pause)
}

#[test]
fn a_pause_is_of_a_version_or_of_all_and_each_is_lifted_for_itself() {
    let because = |why: &str| act("ada").because(why);
    let two = version("2.0.0");
    let route = rollout::pause_work(&route(), Some(&two), &because("bad")).expect("paused");
    assert_eq!(held(&route, "1.0.0"), (false, None));
    assert_eq!(held(&route, "2.0.0"), (true, Some("bad".to_owned())));
    let again = rollout::pause_work(&route, Some(&two), &act("bob")).expect_err("it is paused");
    assert!(
        again.message.contains("ada") && again.message.contains("bad"),
        "{again}"
    );
    let wrong = rollout::resume_work(&route, None, &act("bob")).expect_err("the agent is not paused");
    assert_eq!(wrong.code, "WRONG_STATE");
    assert!(wrong.fix.contains("baton agents resume code 2.0.0"), "{}", wrong.fix);

    let route = rollout::pause_work(&route, None, &because("all")).expect("paused");
    // A version that nobody has heard of yet is held back, too.
    for text in ["1.0.0", "3.0.0"] {
        assert_eq!(held(&route, text), (true, Some("all".to_owned())), "{text}");
    }
    let wrong = rollout::resume_work(&route, Some(&version("1.0.0")), &act("bob")).expect_err("not by itself");
    assert!(wrong.fix.ends_with("baton agents resume code"), "{}", wrong.fix);
    let route = rollout::resume_work(&route, None, &act("bob")).expect("resumed");
    assert_eq!((held(&route, "1.0.0").0, held(&route, "2.0.0").0), (false, true));
    let route = rollout::resume_work(&route, Some(&two), &act("bob")).expect("resumed");
    assert!(!held(&route, "2.0.0").0);
    assert_eq!(
        route.decision.map(|decision| decision.what).as_deref(),
        Some("agent_resumed")
    );
    let unknown = rollout::pause_work(&self::route(), Some(&version("9.0.0")), &act("ada")).expect_err("unknown");
    assert_eq!(unknown.code, "UNKNOWN_VERSION");
}

/// Would fail if a resume could come between a kill and its end: what had run before could commit then.
#[test]
fn a_kill_is_owed_until_somebody_has_done_it_and_only_then_resumed() {
    let two = version("2.0.0");
    let paused = rollout::pause_work(&route(), Some(&two), &act("ada")).expect("paused");
    let route = rollout::kill_work(&paused, Some(&two), &act("bob"))
        .expect("known")
        .expect("a kill");
    let route = rollout::kill_work(&route, None, &act("bob"))
        .expect("known")
        .expect("another");
    assert_eq!(route.kills(), [None, Some(two.clone())]);
    assert_eq!(
        rollout::kill_work(&route, None, &act("eve")).expect("known"),
        None,
        "it is being done"
    );
    for of in [None, Some(&two)] {
        let early = rollout::resume_work(&route, of, &act("bob")).expect_err("it is not done");
        assert!(early.message.contains("bob"), "{early}");
    }
    let route = rollout::work_killed(&route, Some(&two), 3, &act("controller c-1")).expect("done");
    assert_eq!(route.kills(), [None]);
    assert_eq!(
        rollout::work_killed(&route, Some(&two), 4, &act("controller c-2")),
        None,
        "once"
    );
    let pause = route.pause_of(&two).expect("paused");
    assert_eq!(
        (pause.by.as_str(), pause.fenced, pause.killed_at),
        ("bob", 3, Some(NOW))
    );
    rollout::resume_work(&route, Some(&two), &act("bob")).expect("resumed");
}
