//! Must-carry constraints: their hash, and the check that a successor carries them unchanged.

use std::collections::BTreeMap;

use sha2::{Digest as _, Sha256};

use crate::base::json::Json;
use crate::base::mutants::Mutant;
use crate::message::envelope::Envelope;
use crate::message::error::MustCarryBroken;

impl Envelope {
    /// Sets the must-carry constraints and their hash; `null` means none, as everywhere on the wire.
    #[must_use]
    pub fn with_constraints(mut self, constraints: Json) -> Self {
        let constraints = Some(constraints).filter(|some| !some.is_null());
        self.constraints_hash = constraints.as_ref().map(constraints_hash);
        self.constraints = constraints;
        self
    }

    /// Checks that `next` carries this envelope's constraints unchanged (invariant I10).
    ///
    /// # Errors
    /// When they were dropped or altered, or do not match their hash.
    pub fn check_must_carry(&self, next: &Self) -> Result<(), MustCarryBroken> {
        // None where there are no constraints, so that an empty hash is not taken for theirs.
        let hash = |envelope: &Self| envelope.constraints.as_ref().map(constraints_hash);
        let expected = self.constraints_hash.clone().or_else(|| hash(self));
        let found = hash(next);
        let stated = next.constraints_hash.clone().or_else(|| found.clone());
        if (found == expected && stated == expected) || Mutant::I10Uncarried.is_on() {
            Ok(())
        } else {
            Err(MustCarryBroken {
                expected: expected.unwrap_or_default(),
                found: found.unwrap_or_default(),
            })
        }
    }
}

/// The depth to which the hash sorts object keys. Anything deeper is hashed as written, so that a hostile document
/// cannot exhaust the stack.
const CANONICAL_DEPTH: u32 = 128;

/// The SHA-256 of a JSON value, in hex, with its object keys sorted and without white space. Numbers keep their
/// spelling.
fn constraints_hash(constraints: &Json) -> String {
    let mut canonical = String::new();
    canonicalize(constraints, CANONICAL_DEPTH, &mut canonical);
    Sha256::digest(canonical.as_bytes())
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

fn canonicalize(value: &Json, depth: u32, out: &mut String) {
    let deeper = depth.saturating_sub(1);
    if depth == 0 {
        out.push_str(value.get());
    } else if let Ok(object) = value.read::<BTreeMap<String, Json>>() {
        out.push('{');
        for (index, (key, member)) in object.iter().enumerate() {
            if index > 0 {
                out.push(',');
            }
            out.push_str(Json::string(key).get());
            out.push(':');
            canonicalize(member, deeper, out);
        }
        out.push('}');
    } else if let Ok(list) = value.read::<Vec<Json>>() {
        out.push('[');
        for (index, member) in list.iter().enumerate() {
            if index > 0 {
                out.push(',');
            }
            canonicalize(member, deeper, out);
        }
        out.push(']');
    } else if let Ok(text) = value.read::<String>() {
        out.push_str(Json::string(&text).get());
    } else {
        out.push_str(value.get());
    }
}
