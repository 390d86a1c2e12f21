//! What agents pass on: unknown fields, must-carry constraints, the hop counter.

use std::collections::BTreeMap;

use baton_envelope::*;
use proptest::prelude::*;

use crate::generators::*;
use crate::samples::*;

fn successor_of(n: u8, to: &str) -> Successor {
    Successor {
        id: envelope_id(n),
        to: agent(to),
        to_version: version("1.0.0"),
        from: "research@1.0.0".to_owned(),
        payload: json("1"),
        kind: None,
        history: None,
    }
}

/// One relay as an older agent does it: read, make the next, write.
fn relay(text: &str, n: u8) -> String {
    let envelope = Envelope::decode(text.as_bytes()).expect("an envelope");
    let next = envelope.successor(successor_of(n, "code")).expect("below max_hops");
    serde_json::to_string(&next).expect("it can be written")
}

fn members(text: &str) -> BTreeMap<String, Json> {
    serde_json::from_str(text).expect("an object")
}

/// The fields of an object that start with `x`: those that no version knows.
fn unknown(object: &Json) -> BTreeMap<String, String> {
    object
        .read::<BTreeMap<String, Json>>()
        .unwrap_or_default()
        .into_iter()
        .filter(|(key, _)| key.starts_with('x'))
        .map(|(key, value)| (key, value.get().to_owned()))
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn unknown_fields_survive_any_chain_byte_for_byte(mut envelope in any_envelope(), relays in 1_u8..12) {
        envelope.hop = 1;
        envelope.max_hops = MaxHops::new(64).expect("in range");
        let first = serde_json::to_string(&envelope).expect("JSON");
        let last = (0..relays).fold(first.clone(), |text, n| relay(&text, n));
        let (before, after) = (members(&first), members(&last));

        let top = |fields: &BTreeMap<String, Json>| unknown(&Json::of(fields).expect("JSON"));
        prop_assert_eq!(top(&before), top(&after));
        for carried in ["task", "memory", "expects", "budget", "constraints", "join"] {
            prop_assert_eq!(before.get(carried), after.get(carried), "{}", carried);
        }
        let history = |fields: &BTreeMap<String, Json>| -> Vec<Json> {
            fields.get("history").map(|list| list.read().expect("a list")).unwrap_or_default()
        };
        prop_assert!(history(&after).starts_with(&history(&before)));
        let hop = (1 + relays).to_string();
        prop_assert_eq!(after.get("hop").map(Json::get), Some(hop.as_str()));
    }

    #[test]
    fn constraints_arrive_unchanged_or_are_found_out(constraints in any_json_but_null(), other in any_json(), relays in 1_u8..5) {
        let mut envelope = full_envelope().with_constraints(constraints.clone());
        envelope.hop = 1;
        let mut at = envelope;
        for n in 0..relays {
            let text = serde_json::to_string(&at.successor(successor_of(n, "code")).expect("a hop")).expect("JSON");
            let next = Envelope::decode(text.as_bytes()).expect("an envelope");
            prop_assert_eq!(at.check_must_carry(&next), Ok(()));
            at = next;
        }
        prop_assert_eq!(at.constraints.as_ref(), Some(&constraints));

        let mut altered = at.successor(successor_of(9, "code")).expect("a hop");
        altered.constraints = Some(other.clone()).filter(|json| !json.is_null());
        let same = at.clone().with_constraints(other).constraints_hash == at.constraints_hash;
        prop_assert_eq!(at.check_must_carry(&altered).is_ok(), same);
        altered.constraints = None;
        altered.constraints_hash = None;
        prop_assert!(at.check_must_carry(&altered).is_err(), "dropped with their hash");
    }

    #[test]
    fn white_space_and_key_order_do_not_change_the_hash(value in any_json_but_null()) {
        // A map in a map: what serde_json writes has its own white space; keys are sorted by the map.
        let Ok(object) = value.read::<BTreeMap<String, Json>>() else { return Ok(()) };
        let mut text = String::from("{\n");
        for (index, (key, member)) in object.iter().rev().enumerate() {
            let comma = if index == 0 { "" } else { " , " };
            text.push_str(&format!("{comma}{} :\t{}", serde_json::to_string(key).expect("a key"), member.get()));
        }
        text.push('}');
        let hash = |json: Json| full_envelope().with_constraints(json).constraints_hash;
        prop_assert_eq!(hash(json(&text)), hash(value));
    }

    #[test]
    fn no_chain_grows_past_max_hops(max in any_max_hops()) {
        let mut envelope = full_envelope();
        envelope.hop = 1;
        envelope.max_hops = max;
        let mut hops = 1;
        loop {
            match envelope.successor(successor_of(1, "code")) {
                Ok(next) => {
                    hops += 1;
                    prop_assert_eq!(next.hop, hops);
                    envelope = next;
                }
                Err(limit) => {
                    prop_assert_eq!((limit.hop, limit.max_hops), (hops + 1, max.get()));
                    break;
                }
            }
        }
        prop_assert_eq!(hops, max.get());
    }
}

#[test]
fn a_hop_at_the_end_of_its_type_is_refused_and_does_not_overflow() {
    let mut envelope = full_envelope();
    envelope.hop = u32::MAX;
    assert!(envelope.successor(successor_of(1, "code")).is_err());
}

#[test]
fn constraints_of_any_depth_are_hashed_without_exhausting_the_stack() {
    let deep = format!("{}{}", "[".repeat(200_000), "]".repeat(200_000));
    let hash = |text: &str| full_envelope().with_constraints(json(text)).constraints_hash;
    assert_ne!(hash(&deep), hash("[]"));
    assert_eq!(hash(&deep), hash(&format!(" {deep}\n")));
}

#[test]
fn the_hash_is_the_one_in_the_document() {
    // docs/protocol.md gives this example: an implementation in another language checks itself against it.
    let envelope = full_envelope().with_constraints(json(
        r#"{ "max_cost": 1.50, "do_not": ["e\u006dail", "\u00e9"], "a": {} }"#,
    ));
    let document = include_str!("../../../../docs/protocol.md");
    let hash = envelope.constraints_hash.expect("there are constraints");
    assert!(document.contains(&hash), "docs/protocol.md should give {hash}");
}

#[test]
fn constraints_of_null_are_none() {
    let envelope = full_envelope().with_constraints(Json::null());
    assert_eq!((envelope.constraints, envelope.constraints_hash), (None, None));
}

#[test]
fn an_agent_may_not_add_constraints_on_the_way() {
    let mut envelope = full_envelope().with_constraints(Json::null());
    envelope.hop = 1;
    let next = envelope.successor(successor_of(1, "code")).expect("a hop");
    assert!(envelope.check_must_carry(&next.with_constraints(json("{}"))).is_err());
}

#[test]
fn a_handoff_to_the_next_of_the_itinerary_takes_it_off() {
    let mut envelope = full_envelope();
    envelope.itinerary = vec![agent("qa"), agent("ship")];
    let elsewhere = envelope.successor(successor_of(1, "code")).expect("a hop");
    assert_eq!(elsewhere.itinerary, vec![agent("qa"), agent("ship")]);
    let next = elsewhere.successor(successor_of(2, "qa")).expect("a hop");
    assert_eq!(next.itinerary, vec![agent("ship")]);
}

#[test]
fn who_stands_in_has_no_turn_of_its_own_and_next_is_who_follows_the_one_it_stands_in_for() {
    let mut envelope = full_envelope();
    (envelope.to, envelope.stands_in) = (agent("write"), None);
    envelope.itinerary = vec![agent("code"), agent("ship")];
    let stands_in = envelope.passed_by();
    let passed = envelope
        .passed_on(successor_of(1, "code"), Some(stands_in))
        .expect("a hop");
    assert_eq!((&passed.to, passed.meant_for()), (&agent("code"), &agent("write")));
    assert_eq!(passed.itinerary, vec![agent("code"), agent("ship")]);
    assert_eq!(passed.next_agent(), Some(&agent("code")));
    let mut passed = Envelope {
        itinerary: Vec::new(),
        ..passed
    };
    passed.next = BTreeMap::from([(agent("write"), vec![agent("qa"), agent("write")])]);
    assert_eq!(passed.next_agent(), Some(&agent("qa")));
    passed.next.clear();
    assert_eq!(passed.next_agent(), None);
}

#[test]
fn the_hop_limit_shows_the_cycle_and_how_often_the_path_ends_with_it() {
    let path: Vec<PathEntry> = "start write qa write qa"
        .split(' ')
        .map(|name| PathEntry {
            agent: agent(name),
            version: version("1.0.0"),
            extra: Extra::new(),
        })
        .collect();
    let shown = |to: &str| {
        let to = agent(to);
        closing_cycle(&path, &to).map(|(cycle, times)| {
            let cycle: Vec<&str> = cycle.into_iter().map(AgentName::as_str).collect();
            format!("{} x{times}", cycle.join(" "))
        })
    };
    assert_eq!(shown("write").as_deref(), Some("write qa write x2"));
    assert_eq!(shown("start").as_deref(), Some("start write qa write qa start x1"));
    assert_eq!(shown("ship"), None);
}

#[test]
fn the_same_work_again_has_a_new_id_and_names_the_old_one() {
    let envelope = full_envelope();
    let again = envelope.again(envelope_id(9));
    assert_eq!(
        (again.id, again.previous, again.hop),
        (envelope_id(9), Some(envelope.id), envelope.hop)
    );
    assert_eq!(again.payload, envelope.payload);
    assert_eq!(again.payload_encoding, envelope.payload_encoding);
}
