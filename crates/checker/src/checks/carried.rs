//! I10: must-carry constraints arrive unchanged at every hop. I11: unknown fields survive any chain.
//!
//! What the load wrote must appear, letter for letter, in every envelope of the intent; and the hash must match section
//! 7 of `docs/protocol.md`, which this module computes independently.
//!
//! Not seen: fields inside objects that the protocol knows; the load adds its own only at the top.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::value::RawValue;

use crate::history::Context;
use crate::signed::hash_of;
use crate::verdict::Violation;

pub(crate) fn check(context: &Context<'_>, found: &mut Vec<Violation>) {
    for history in context.histories.values() {
        let Some(tried) = context.tried_of(history) else {
            continue;
        };
        for (record, envelope) in history.envelopes() {
            let (is, was) = (envelope.raw("constraints"), tried.constraints.as_deref());
            if is != was {
                let what = format!("record {}: constraints {is:?}, submitted as {was:?}", record.seq);
                found.push(Violation::of("I10", &history.intent, what));
            }
            let (is, was) = (envelope.text("constraints_hash"), was.and_then(hash));
            if is != was {
                let what = format!(
                    "record {}: the hash of the constraints is {is:?}, not {was:?}",
                    record.seq
                );
                found.push(Violation::of("I10", &history.intent, what));
            }
            for (name, value) in &tried.unknown {
                let is = envelope.raw(name);
                if is != Some(value) {
                    let what = format!("record {}: {name} is {is:?}, submitted as {value:?}", record.seq);
                    found.push(Violation::of("I11", &history.intent, what));
                }
            }
        }
    }
}

/// The hash of constraints; `None` if they are not JSON.
pub(crate) fn hash(constraints: &str) -> Option<String> {
    let mut text = String::new();
    canonical(constraints, &mut text)?;
    Some(hash_of(text.as_bytes()))
}

/// The canonical text, for nesting no deeper than the load writes.
fn canonical(json: &str, into: &mut String) -> Option<()> {
    let json = json.trim();
    match json.chars().next()? {
        '{' => {
            let fields: BTreeMap<String, Box<RawValue>> = serde_json::from_str(json).ok()?;
            into.push('{');
            for (index, (key, value)) in fields.iter().enumerate() {
                into.push_str(if index > 0 { "," } else { "" });
                string(key, into);
                into.push(':');
                canonical(value.get(), into)?;
            }
            into.push('}');
        }
        '[' => {
            let items: Vec<Box<RawValue>> = serde_json::from_str(json).ok()?;
            into.push('[');
            for (index, item) in items.iter().enumerate() {
                into.push_str(if index > 0 { "," } else { "" });
                canonical(item.get(), into)?;
            }
            into.push(']');
        }
        '"' => string(&serde_json::from_str::<String>(json).ok()?, into),
        _ => into.push_str(json),
    }
    Some(())
}

fn string(text: &str, into: &mut String) {
    into.push('"');
    for c in text.chars() {
        match c {
            '"' => into.push_str("\\\""),
            '\\' => into.push_str("\\\\"),
            '\u{8}' => into.push_str("\\b"),
            '\u{c}' => into.push_str("\\f"),
            '\n' => into.push_str("\\n"),
            '\r' => into.push_str("\\r"),
            '\t' => into.push_str("\\t"),
            c if c < ' ' => {
                let written = write!(into, "\\u{:04x}", u32::from(c));
                debug_assert!(written.is_ok(), "a string takes all text");
            }
            c => into.push(c),
        }
    }
    into.push('"');
}
