//! Arbitrary JSON, names, versions and times.

use baton_envelope::*;
use proptest::collection::{btree_map, vec};
use proptest::option::of;
use proptest::prelude::*;

use super::text;

/// Any JSON value in any spelling: long numbers, escapes, white space, key order.
pub(crate) fn any_json() -> impl Strategy<Value = Json> {
    json_text().prop_map(|text| Json::parse(&text).expect("the generator writes JSON"))
}

/// Any JSON value but null, which in an optional field means the same as leaving it out.
pub(crate) fn any_json_but_null() -> impl Strategy<Value = Json> {
    any_json().prop_filter("null is absence", |json| !json.is_null())
}

pub(crate) fn json_text() -> impl Strategy<Value = String> {
    let number = prop_oneof![
        "-?(0|[1-9][0-9]{0,3})",
        // Longer than any machine number.
        "-?[1-9][0-9]{29}",
        "-?(0|[1-9][0-9]{0,2})\\.[0-9]{1,30}",
        "[1-9]\\.[0-9]{1,4}[eE][+-]?[0-9]{1,3}",
    ];
    let string = prop_oneof![
        ".{0,12}".prop_map(|text| serde_json::to_string(&text).expect("a string")),
        Just("\"\\u00e9\\/\\n\"".to_owned()),
        Just("\"\\ud83e\\udda6\"".to_owned()),
    ];
    let leaf = prop_oneof![
        Just("null".to_owned()),
        Just("true".to_owned()),
        Just("false".to_owned()),
        number,
        string,
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        let space = prop_oneof![Just(""), Just(" "), Just("\n\t")];
        let key = ".{0,6}".prop_map(|text| serde_json::to_string(&text).expect("a key"));
        prop_oneof![
            (vec(inner.clone(), 0..4), space.clone())
                .prop_map(|(items, space)| { format!("[{space}{}{space}]", items.join(&format!(",{space}"))) }),
            (vec((key, inner), 0..4), space).prop_map(|(members, space)| {
                let members: Vec<String> = members.iter().map(|(k, v)| format!("{k}{space}:{space}{v}")).collect();
                format!("{{{space}{}{space}}}", members.join(&format!("{space},")))
            }),
        ]
    })
}

/// Fields that no version knows. No known field starts with `x`.
pub(crate) fn any_extra() -> impl Strategy<Value = Extra> {
    btree_map("x.{0,8}", any_json(), 0..3)
}

pub(crate) fn any_agent() -> impl Strategy<Value = AgentName> {
    "[a-z0-9][a-z0-9-]{0,62}".prop_map(|name| name.parse().expect("valid"))
}

pub(crate) fn any_intent() -> impl Strategy<Value = IntentId> {
    "[A-Za-z0-9][A-Za-z0-9_-]{0,127}".prop_map(|id| id.parse().expect("valid"))
}

/// A semantic version as text, as the specification's grammar has it, at most 64 characters.
pub(crate) fn version_text() -> impl Strategy<Value = String> {
    let number = prop_oneof![
        4 => (0_u64..20).prop_map(|n| n.to_string()),
        1 => any::<u64>().prop_map(|n| n.to_string()),
    ];
    let pre = prop_oneof!["(0|[1-9][0-9]{0,4})", "[0-9]{0,2}[A-Za-z-][0-9A-Za-z-]{0,4}"];
    (vec(number, 3), of(vec(pre, 1..4)), of(vec("[0-9A-Za-z-]{1,6}", 1..3)))
        .prop_map(|(numbers, pre, build)| {
            let mut text = numbers.join(".");
            if let Some(pre) = pre {
                text = format!("{text}-{}", pre.join("."));
            }
            if let Some(build) = build {
                text = format!("{text}+{}", build.join("."));
            }
            text
        })
        .prop_filter("at most 64 characters", |text| text.len() <= 64)
}

pub(crate) fn any_version() -> impl Strategy<Value = AgentVersion> {
    version_text().prop_map(|text| text.parse().expect("valid"))
}

/// Any point in time that RFC 3339 can write.
pub(crate) fn any_time() -> impl Strategy<Value = Timestamp> {
    (-62_167_219_200_000_i64..=253_402_300_799_999).prop_map(Timestamp::from_unix_millis)
}

pub(crate) fn any_envelope_id() -> impl Strategy<Value = EnvelopeId> {
    (any_time(), any::<[u8; 10]>()).prop_map(|(at, random)| EnvelopeId::generate(at, random))
}

pub(crate) fn any_record_id() -> impl Strategy<Value = RecordId> {
    (any_time(), any::<[u8; 10]>()).prop_map(|(at, random)| RecordId::generate(at, random))
}

pub(crate) fn any_raw_kept() -> impl Strategy<Value = RawKept> {
    (text(), vec((text(), text()), 0..3), text(), any_extra()).prop_map(|(subject, headers, body_base64, extra)| {
        RawKept {
            subject,
            headers,
            body_base64,
            extra,
        }
    })
}
