//! The immutable message that carries an intent to one agent.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest as _, Sha256};

use crate::convert;
use crate::error::{DecodeError, HopLimit, MustCarryBroken};
use crate::ids::{EnvelopeId, IntentId};
use crate::json::Json;
use crate::mutants::Mutant;
use crate::names::{AgentName, AgentVersion};
use crate::parts::{Budget, Expects, HistoryEntry, MemoryRef, Task};
use crate::pinning::Pinning;
use crate::protocol::{PROTOCOL, Protocol};
use crate::timestamp::Timestamp;
use crate::wire::{Extra, wire_object};

/// How many hops an intent may take when it says nothing: long enough for real relays, short enough to stop a loop.
pub const MAX_HOPS_DEFAULT: u32 = 10;
/// The most hops that an intent may ask for.
pub const MAX_HOPS_LIMIT: u32 = 64;

macro_rules! bounded {
    ($(#[$meta:meta])* $name:ident, $int:ty, $low:expr, $high:expr, $default:expr, $what:literal) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name($int);

        impl $name {
            /// Takes a number in the range.
            ///
            /// # Errors
            /// When it is outside; the text names the value and the range.
            pub fn new(value: i64) -> Result<Self, String> {
                match <$int>::try_from(value) {
                    Ok(number) if ($low..=$high).contains(&number) => Ok(Self(number)),
                    Ok(_) | Err(_) => {
                        Err(format!("{} {value} is out of range: expected {} to {}", $what, $low, $high))
                    }
                }
            }

            /// The number.
            pub const fn get(self) -> $int {
                self.0
            }
        }

        impl Default for $name {
            fn default() -> Self {
                Self($default)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                self.0.serialize(serializer)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                Self::new(i64::deserialize(deserializer)?).map_err(serde::de::Error::custom)
            }
        }
    };
}

bounded! {
    /// 1 (least urgent) to 10 (most urgent), default 5.
    Priority, u8, 1, 10, 5, "priority"
}
bounded! {
    /// How many hops the intent may take: 1 to 64, default 10.
    MaxHops, u32, 1, MAX_HOPS_LIMIT, MAX_HOPS_DEFAULT, "max_hops"
}

wire_object! {
    by_hand
    /// The message that carries an intent to one agent. An agent never edits one: it makes the next, which names it
    /// in `previous`.
    ///
    /// It is written in the form that `protocol` names, and read by [`Envelope::decode`] from any form that is known
    /// here; `Deserialize` alone reads only the major of [`PROTOCOL`].
    pub struct Envelope {
        /// The version of the contract that this was written in.
        req protocol: Protocol,
        /// The id of this envelope.
        req id: EnvelopeId,
        /// The intent that it carries.
        req intent: IntentId,
        /// The first intent of the tree that this one belongs to; absent when that is the intent itself.
        opt root: IntentId,
        /// The intent that this is a child of.
        opt parent: IntentId,
        /// The envelope that this one follows.
        opt previous: EnvelopeId,
        /// The kind of work, such as `invoice.extract.v1`.
        opt kind: String,
        /// Who made it: `agent@version`, or a name of the client's choice.
        opt from: String,
        /// The agent that it is for.
        req to: AgentName,
        /// The version of that agent which the route gave when it was written.
        opt to_version: AgentVersion,
        /// Which hop this is, from 1.
        req hop: u32,
        /// The limit on `hop`.
        def max_hops: MaxHops,
        /// How urgent.
        def priority: Priority,
        /// When the intent must be done.
        opt deadline: Timestamp,
        /// What is wanted, where it stands, what is asked.
        opt task: Task,
        /// What is remembered elsewhere.
        def memory: Vec<MemoryRef>,
        /// Who did and decided what.
        def history: Vec<HistoryEntry>,
        /// Must-carry constraints: any JSON object; every successor carries it unchanged.
        opt constraints: Json,
        /// The SHA-256 of the constraints, in hex; present when they are.
        opt constraints_hash: String,
        /// What is expected back.
        opt expects: Expects,
        /// The work itself: any JSON.
        def payload: Json,
        /// `base64` when the payload is a string of base64 because the body was not text.
        opt payload_encoding: String,
        /// What may be spent, and what was.
        opt budget: Budget,
        /// Agent versions that this intent is held to.
        def pins: BTreeMap<AgentName, AgentVersion>,
        /// The agents to go to after this one, if that was configured.
        def itinerary: Vec<AgentName>,
        /// The join that this child takes part in.
        opt join: Json,
        /// A subject that is told the result.
        opt reply_to: String,
        /// W3C trace context.
        opt traceparent: String,
        /// By which routes its hops find their versions; absent for each hop by the route of its moment.
        opt pinning: Pinning,
    }
}

impl Serialize for Envelope {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.protocol.is_native() {
            self.write_fields(serializer)
        } else {
            convert::write(self, serializer)
        }
    }
}

/// What is new in the envelope that follows another.
#[derive(Debug, Clone)]
pub struct Successor {
    /// The id of the new envelope.
    pub id: EnvelopeId,
    /// The agent that it is for.
    pub to: AgentName,
    /// The version of that agent.
    pub to_version: AgentVersion,
    /// Who makes it, as `agent@version`.
    pub from: String,
    /// The payload.
    pub payload: Json,
    /// The kind, where it changes.
    pub kind: Option<String>,
    /// What the author did and decided.
    pub history: Option<HistoryEntry>,
}

impl Envelope {
    /// An envelope for the first hop, with only what must be there.
    pub fn first(id: EnvelopeId, intent: IntentId, to: AgentName, payload: Json) -> Self {
        Self {
            protocol: PROTOCOL,
            id,
            intent,
            root: None,
            parent: None,
            previous: None,
            kind: None,
            from: None,
            to,
            to_version: None,
            hop: 1,
            max_hops: MaxHops::default(),
            priority: Priority::default(),
            deadline: None,
            task: None,
            memory: Vec::new(),
            history: Vec::new(),
            constraints: None,
            constraints_hash: None,
            expects: None,
            payload,
            payload_encoding: None,
            budget: None,
            pins: BTreeMap::new(),
            itinerary: Vec::new(),
            join: None,
            reply_to: None,
            traceparent: None,
            pinning: None,
            extra: Extra::new(),
        }
    }

    /// Reads an envelope, in any form that is known here; `protocol` then names that form.
    ///
    /// # Errors
    /// Names the field, the value and what is wrong; for a document of another major, the versions that are read.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        serde_json::from_slice(bytes).or_else(|error| convert::read_envelope(bytes, &error))
    }

    /// The first intent of the tree that this one belongs to.
    pub fn root(&self) -> &IntentId {
        self.root.as_ref().unwrap_or(&self.intent)
    }

    /// Sets the must-carry constraints and their hash; `null` is none, as everywhere on the wire.
    #[must_use]
    pub fn with_constraints(mut self, constraints: Json) -> Self {
        let constraints = Some(constraints).filter(|some| !some.is_null());
        self.constraints_hash = constraints.as_ref().map(constraints_hash);
        self.constraints = constraints;
        self
    }

    /// The envelope of the next hop: same intent, one hop further, constraints and unknown fields carried along. It is
    /// in the form of this build, whatever form this one came in; [`Envelope::in_form`] makes it one for the receiver.
    ///
    /// # Errors
    /// When the handoff would pass `max_hops`.
    pub fn successor(&self, new: Successor) -> Result<Self, HopLimit> {
        let hop = self.hop.saturating_add(1);
        if hop > self.max_hops.get() + u32::from(Mutant::I9OneHopMore.is_on()) {
            return Err(HopLimit {
                to: new.to,
                hop,
                max_hops: self.max_hops.get(),
            });
        }
        let mut next = self.again(new.id);
        next.hop = hop;
        next.from = Some(new.from);
        next.to = new.to;
        next.to_version = Some(new.to_version);
        next.kind = new.kind.or(next.kind);
        next.payload = new.payload;
        next.payload_encoding = None;
        convert::forget_payload(&mut next.extra);
        next.history.extend(new.history);
        if next.itinerary.first() == Some(&next.to) {
            next.itinerary.remove(0);
        }
        Ok(next)
    }

    /// The same work once more under a new envelope id, so that its ticket is not taken for a repeat.
    #[must_use]
    pub fn again(&self, id: EnvelopeId) -> Self {
        Self {
            protocol: PROTOCOL,
            id,
            previous: Some(self.id),
            ..self.clone()
        }
    }

    /// Checks that `next` carries this envelope's constraints unchanged (invariant I10).
    ///
    /// # Errors
    /// When they were dropped, altered, or no longer match their hash.
    pub fn check_must_carry(&self, next: &Self) -> Result<(), MustCarryBroken> {
        let hash = |envelope: &Self| envelope.constraints.as_ref().map(constraints_hash).unwrap_or_default();
        let expected = self.constraints_hash.clone().unwrap_or_else(|| hash(self));
        let found = hash(next);
        let stated = next.constraints_hash.clone().unwrap_or_else(|| found.clone());
        if (found == expected && stated == expected) || Mutant::I10Uncarried.is_on() {
            Ok(())
        } else {
            Err(MustCarryBroken { expected, found })
        }
    }
}

/// How deep the hash looks into the constraints; what is nested deeper is hashed as it was written, so that a hostile
/// document cannot exhaust the stack.
const CANONICAL_DEPTH: u32 = 128;

/// The SHA-256 of a JSON value with its object keys sorted and no white space, in hex; numbers keep their spelling.
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

#[cfg(test)]
mod tests {
    use super::*;

    fn first() -> Envelope {
        Envelope::first(
            EnvelopeId::generate(Timestamp::from_unix_millis(1), [1; 10]),
            "order-1".parse().expect("id"),
            "research".parse().expect("name"),
            Json::string("otters"),
        )
    }

    fn to(agent: &str) -> Successor {
        Successor {
            id: EnvelopeId::generate(Timestamp::from_unix_millis(2), [2; 10]),
            to: agent.parse().expect("name"),
            to_version: "1.0.0".parse().expect("version"),
            from: "research@1.0.0".to_owned(),
            payload: Json::null(),
            kind: None,
            history: None,
        }
    }

    #[test]
    fn the_hop_after_max_hops_is_refused() {
        let mut envelope = first();
        envelope.max_hops = MaxHops::new(2).expect("in range");
        let second = envelope.successor(to("code")).expect("hop 2 of 2");
        assert_eq!(second.previous, Some(envelope.id));
        let error = second.successor(to("qa")).expect_err("hop 3 of 2");
        assert_eq!((error.hop, error.max_hops), (3, 2));
    }

    #[test]
    fn altered_constraints_are_seen_whatever_their_spelling() {
        let envelope = first().with_constraints(Json::parse(r#"{"b":1, "a":[1.50,{"x":"y"}]}"#).expect("json"));
        let mut next = envelope.successor(to("code")).expect("hop 2");
        next.constraints = Some(Json::parse(r#"{"a":[1.50,{"x":"y"}],"b":1}"#).expect("json"));
        assert_eq!(envelope.check_must_carry(&next), Ok(()));
        next.constraints = Some(Json::parse(r#"{"a":[1.5,{"x":"y"}],"b":1}"#).expect("json"));
        assert!(envelope.check_must_carry(&next).is_err());
        next.constraints = None;
        assert!(envelope.check_must_carry(&next).is_err());
    }

    #[test]
    fn a_bad_field_is_named_with_its_value() {
        let text = serde_json::to_string(&first()).expect("json");
        let bad = text.replace("\"hop\":1", "\"hop\":1,\"priority\":11");
        let error = Envelope::decode(bad.as_bytes()).expect_err("priority 11");
        assert_eq!((error.field.as_str(), error.value.as_deref()), ("priority", Some("11")));
        assert!(error.fix().contains("1 (least urgent) to 10"), "{}", error.fix());
        assert_eq!(Envelope::decode(b"{}").expect_err("empty").field, "protocol");
        assert_eq!(Envelope::decode(b"{\"a\":").expect_err("cut").field, ".");
    }
}
